/** The roster on the real PostgreSQL: slots, splits that move no row, and counts that every change keeps. */
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { applyRoster } from '../../activities/tracker/roster/apply';
import { readOpening, splitPools } from '../../activities/tracker/roster/layout';
import { recountOne } from '../../activities/tracker/roster/recount';
import { takeFence } from '../../activities/tracker/store/fence';
import { Writer, type WriterHost } from '../../activities/tracker/shift/writer';
import { Database } from '../../activities/lib/database';
import { changedMembers, freshnessOf, membersOf } from '../../activities/tracker/store/members';
import { readSlots } from '../../activities/tracker/store/pools';
import type { TrackerRow } from '../../activities/tracker/store/trackers';
import { defineTracker } from '../../exports';
import type { ChangeNotice, RosterChange } from '../../workflows/tracker/contract';
import { poolOf } from '../../workflows/tracker/plan';
import { holds, slotOf, slotsOf } from '../../workflows/tracker/slots';
import { wrongCounts } from '../support/roster';
import { Stack } from '../support/stack';
import { rowOf, shiftOf, type Kit } from './shift-kit';
import { hashId } from '../../workflows/lib/hash';

const look = defineTracker({
  name: 't',
  poolSize: 10,
  operations: { look: { every: '50ms', run: ({ id }) => ({ value: id }) } },
});

let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), connections: 8 });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  await stack.sql(`delete from longwatch.tracker`);
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify(rowOf(look).options),
  ]);
});

const change = (ids: string[], what: 'add' | 'remove' = 'add'): RosterChange[] =>
  ids.map((id) => ({ id, change: what }));
const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `id-${from + i}`);
const apply = (changes: RosterChange[], pool = 0) => applyRoster(database, { tracker: 't', pool, changes });
const grow = (members: number) => splitPools(database, { tracker: 't', members });
const listed = async (pool: number): Promise<string[]> =>
  database.transaction(async (db) => {
    const rows = await membersOf(db, 't', await readSlots(db, 't', pool));
    return rows.map((row) => row.id).sort();
  });
const layout = async (): Promise<number> =>
  (await stack.sql<{ pools: number }>(`select pools from longwatch.tracker`))[0]!.pools;

test('slot_of and slotOf agree', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 500 }), async (random) => {
      const hashes = [...random, 0, 1, 0x7fffffff, 0x80000000, 0xffffffff];
      const rows = await stack.sql<{ slot: number }>(
        `select longwatch.slot_of(h)::float8 as slot from unnest($1::bigint[]) with ordinality as x (h, o) order by o`,
        [hashes],
      );
      expect(rows.map((row) => row.slot)).toEqual(hashes.map(slotOf));
    }),
    { numRuns: 10 },
  );
});

describe('a split', () => {
  test('moves no row: members are what and where they were, also when a bulk makes forty pools of one', async () => {
    await apply(change(names(0, 200)));
    const rows = () => stack.sql(`select ctid::text, xmin::text, m.* from longwatch.member m order by key`);
    const before = await rows();
    expect(await grow(400)).toEqual({ pools: 40, members: 200 });
    expect(await rows()).toEqual(before);

    const everyone = new Set<string>();
    for (let pool = 0; pool < 40; pool++) {
      const here = await listed(pool);
      expect(here.every((id) => poolOf(hashId(id), 40) === pool)).toBe(true);
      for (const id of here) everyone.add(id);
    }
    expect(everyone.size).toBe(200);
  });

  test('reads no member while the tracker is locked', async () => {
    await apply(change(names(0, 200)));
    // A split that reads or writes there would wait for this lock.
    const holding = await holdMembers();
    try {
      const splitting = grow(400);
      await untilLayout(40);
      await holding.release();
      await splitting;
    } finally {
      await holding.release();
    }
    expect(await wrongCounts(stack)).toEqual([]);
  });

  test('leaves counts that are those of the members, and tells a tracker what each pool holds', async () => {
    await apply(change(names(0, 333)));
    await grow(0);
    expect(await stack.sql(`select 1 from longwatch.pool where recount`)).toEqual([]);
    expect(await wrongCounts(stack)).toEqual([]);
    const pools = await layout();
    expect(pools).toBe(34);
    const sizes = await Promise.all(Array.from({ length: pools }, (_, pool) => readOpening(database, 't', pool)));
    expect(sizes.reduce((sum, { members }) => sum + members, 0)).toBe(333);
  });

  test('raises the versions of two pools and of none other, and no version of the tracker', async () => {
    await apply(change(names(0, 10)));
    await grow(30);
    const versions = () =>
      stack.sql(`select pool, roster_version::int as v, reload_version::int as r from longwatch.pool order by pool`);
    const [tracker] = await stack.sql(`select version::int from longwatch.tracker`);
    // Pool 0 was split into 0 and 1, then into 0 and 2; 1 has not been touched by the second.
    expect(await versions()).toEqual([
      { pool: 0, v: 3, r: 0 },
      { pool: 1, v: 2, r: 2 },
      { pool: 2, v: 3, r: 3 },
    ]);
    await grow(40);
    expect(await versions()).toEqual([
      { pool: 0, v: 3, r: 0 },
      { pool: 1, v: 3, r: 2 },
      { pool: 2, v: 3, r: 3 },
      { pool: 3, v: 3, r: 3 },
    ]);
    expect(await stack.sql(`select version::int from longwatch.tracker`)).toEqual([tracker]);
  });

  async function holdMembers(): Promise<{ release: () => Promise<void> }> {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    let locked!: () => void;
    const isLocked = new Promise<void>((resolve) => (locked = resolve));
    const held = database.transaction(async (db) => {
      await db.query({ text: 'lock table longwatch.member in access exclusive mode', values: [] });
      locked();
      await released;
    });
    await isLocked;
    return {
      release: async () => {
        release();
        await held;
      },
    };
  }

  async function untilLayout(pools: number): Promise<void> {
    const deadline = Date.now() + 5_000;
    while ((await layout()) < pools) {
      if (Date.now() > deadline) throw new Error('the layout has not grown: the split waits for the members');
      await delay(10);
    }
  }
});

describe('a shift', () => {
  /** Keeps a pool as `keep.ts` and the flush do, under a clock that stands. */
  async function keeping(pool: number): Promise<{ kit: Kit; flush: () => Promise<void>; loads: () => number }> {
    const claim = { tracker: 't', pool, runId: 'run', shift: 1, attempt: 1, node: 'n' };
    const fence = await takeFence(database, claim, () => Promise.resolve(true));
    const kit = shiftOf(look, { pool, token: fence.token });
    kit.shift.rosterVersion = fence.rosterVersion;
    let loads = 0;
    const loadAll = kit.shift.loadAll.bind(kit.shift);
    kit.shift.loadAll = (rows, freshness) => {
      loads++;
      loadAll(rows, freshness);
    };
    await database.transaction(async (db) => {
      const rows = await membersOf(db, 't', await readSlots(db, 't', pool));
      kit.shift.loadAll(
        rows,
        await freshnessOf(
          db,
          rows.map(({ key }) => key),
        ),
      );
    });
    const host: WriterHost = {
      shifts: new Set([kit.shift]),
      trackers: new Map<string, TrackerRow>(),
      clock: kit.host.clock,
      log: pino({ level: 'silent' }),
      onError: () => undefined,
      flushed: (outcome) => {
        if ('error' in outcome) throw outcome.error;
      },
      fenced: (shift) => shift.end('fenced'),
    };
    const writer = new Writer(database, host);
    const flush = async (): Promise<void> => {
      kit.shift.hinted = true;
      await writer.flush();
    };
    closing.push(() => writer.stop());
    return { kit, flush, loads: () => loads };
  }
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  const idsOf = (kit: Kit): string[] => {
    const ids: string[] = [];
    kit.shift.members.forEach((slot) => ids.push(kit.shift.members.id(slot)));
    return ids.sort();
  };

  test('of a pool that was split drops those who left, and loads nobody anew; what it has of them is not written', async () => {
    await apply(change(names(0, 60)));
    const { kit, flush, loads } = await keeping(0);
    expect(kit.shift.members.size).toBe(60);
    await kit.pass(20);
    await grow(40);
    await flush();
    expect(idsOf(kit)).toEqual(await listed(0));
    expect(kit.shift.members.size).toBeLessThan(60);
    expect(loads()).toBe(1);
    const written = await stack.sql<{ id: string }>(
      `select m.id from longwatch.value v join longwatch.member m on m.key = v.member order by m.id`,
    );
    expect(written.map(({ id }) => id).every((id) => idsOf(kit).includes(id))).toBe(true);
  });

  test('of a number that was no pool when it began loads what a split gives it', async () => {
    await apply(change(names(0, 60)));
    const { kit, flush } = await keeping(3);
    expect(kit.shift.members.size).toBe(0);
    await grow(40);
    await flush();
    expect(kit.shift.members.size).toBeGreaterThan(5);
    expect(idsOf(kit)).toEqual(await listed(3));
  });

  test('that begins in a new pool finds nobody to be changed since', async () => {
    for (let i = 0; i < 5; i++) await apply(change(names(10 * i, 10 * i + 10)));
    await grow(20);
    const fence = await takeFence(
      database,
      { tracker: 't', pool: 1, runId: 'run', shift: 1, attempt: 1, node: 'n' },
      () => Promise.resolve(true),
    );
    const since = await database.transaction(async (db) =>
      changedMembers(db, 't', await readSlots(db, 't', 1), fence.rosterVersion),
    );
    expect(since).toEqual([]);
  });

  test('over random lives of a roster keeps exactly the members of its pool after each flush', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('add' as const), ids: fc.array(fc.nat(80), { maxLength: 30 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant('remove' as const), ids: fc.array(fc.nat(80), { maxLength: 20 }) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('split' as const) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('flush' as const), pool: fc.nat(3) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        await stack.sql(`delete from longwatch.member`);
        await stack.sql(`delete from longwatch.pool`);
        await stack.sql(`update longwatch.tracker set pools = 1`);
        const model = new Set<string>();
        const shifts = await Promise.all([0, 1, 2, 3].map((pool) => keeping(pool)));
        for (const one of steps) {
          if (one.do === 'split') {
            await grow((await layout()) * 10 + 1);
          } else if (one.do === 'flush') {
            await shifts[one.pool]!.flush();
          } else {
            const ids = [...new Set(one.ids)].map((n) => `id-${n}`);
            await apply(change(ids, one.do));
            for (const id of ids) if (one.do === 'add') model.add(id);
            for (const id of ids) if (one.do === 'remove') model.delete(id);
          }
          expect(await wrongCounts(stack)).toEqual([]);
        }
        const pools = await layout();
        for (const [pool, { kit, flush }] of shifts.entries()) {
          await flush();
          const expected = [...model].filter((id) => holds(slotsOf(pool, pools), slotOf(hashId(id))));
          expect(idsOf(kit)).toEqual(expected.sort());
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

describe('counts', () => {
  test('follow adds, removals, what comes twice and what comes late, for whichever pool it is', async () => {
    await grow(40);
    const two = await apply(change(['a', 'b', 'a']), 2);
    expect(two).toMatchObject({ added: 2, removed: 0 });
    await apply([{ id: 'a', change: 'remove', stamp: 1_000_000 }]);
    await apply([{ id: 'a', change: 'add', stamp: 999_999 }]);
    await apply(change(['nobody'], 'remove'));
    expect(await wrongCounts(stack)).toEqual([]);
    const [sum] = await stack.sql(`select sum(members)::int as members from longwatch.pool`);
    expect(sum).toEqual({ members: 1 });
  });

  test('of changes that meet, on the same ids and others, are right', async () => {
    await grow(30);
    const rounds = Array.from({ length: 24 }, (_, i) =>
      apply(change(names(i % 7, (i % 7) + 20), i % 3 === 0 ? 'remove' : 'add'), i % 3),
    );
    const splits = [grow(35), grow(60)];
    await Promise.all([...rounds, ...splits]);
    expect(await wrongCounts(stack)).toEqual([]);
  });

  test('one that is wrong is found and mended, one pool at a time, and the next look finds nothing', async () => {
    await grow(30);
    await apply(change(names(0, 50)));
    await stack.sql(`update longwatch.pool set members = members + 7 where pool = 1`);
    const mended = [];
    for (let i = 0; i < 3; i++) mended.push(await recountOne(database, 't'));
    expect(mended.filter(Boolean)).toMatchObject([{ pool: 1, wrong: true }]);
    expect(await wrongCounts(stack)).toEqual([]);
    expect(await recountOne(database, 't')).toBeUndefined();
  });

  test('a change in the middle of counting is not counted over', async () => {
    await apply(change(names(0, 10)));
    await stack.sql(`update longwatch.pool set members = 3`);
    // As a recount that has read its moment, and then waits.
    const seen = await stack.sql<{ version: number }>(`select roster_version::float8 as version from longwatch.pool`);
    await apply(change(['late']));
    const stale = await stack.sql(
      `update longwatch.pool set members = 10 where roster_version = $1 returning members`,
      [seen[0]!.version],
    );
    expect(stale).toEqual([]);
    expect(await recountOne(database, 't')).toMatchObject({ pool: 0, was: 4, members: 11 });
  });
});

test('what has changed in a pool is looked for in the index, and the rows of the others are not read', async () => {
  await stack.sql(`insert into longwatch.member (tracker, id, hash, stamp, roster_version)
                   select 't', 'm' || i, (i::bigint * 2654435761) % 4294967296, i, 1 from generate_series(1, 20000) i`);
  await stack.sql(`analyze longwatch.member`);
  const { first, last } = slotsOf(7, 40);
  const [row] = await stack.sql<{ 'QUERY PLAN': [{ Plan: Record<string, unknown> }] }>(
    `explain (analyze, buffers, format json)
     select key, id from longwatch.member where tracker = 't' and slot between ${first} and ${last} and roster_version > 1`,
  );
  const plan = JSON.stringify(row!['QUERY PLAN'][0].Plan);
  expect(plan).toContain('member_by_slot');
  expect(plan).not.toContain('Seq Scan');
  // The index alone says that nobody has changed: some pages of it, none of the table.
  expect(row!['QUERY PLAN'][0].Plan['Shared Hit Blocks']).toBeLessThan(20);
});

describe('an announcement of any number of pools is taken', () => {
  test.each([
    ['a few pools are named', 3, true],
    ['so many that PostgreSQL would refuse the payload are not', 2_500, false],
  ])('%s', async (_what, pools, named) => {
    await stack.sql(`update longwatch.tracker set pools = 4000`);
    // One id each for so many pools.
    const ids = new Map<number, string>();
    for (let i = 0; ids.size < pools; i++) {
      const pool = poolOf(hashId(`n${i}`), 4_000);
      if (pool < pools || pools > 3) ids.set(pool, `n${i}`);
    }
    const listener = database.listener();
    await listener.connect();
    try {
      await listener.query('listen longwatch');
      const heard = new Promise<string>((resolve) => {
        listener.on('notification', ({ payload }) => resolve(payload ?? ''));
      });
      await apply([...ids.values()].map((id, i) => ({ id, change: 'add', stamp: i + 1 })));
      const notice = JSON.parse(await heard) as ChangeNotice;
      expect(notice.tracker).toBe('t');
      expect(notice.pools?.length).toBe(named ? pools : undefined);
    } finally {
      await listener.end();
    }
    expect(await wrongCounts(stack)).toEqual([]);
  });
});
