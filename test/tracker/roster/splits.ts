/** Part of `roster.test.ts`: slots, splits that move no row, and announcements of any number of pools. */
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { readOpening } from '../../../activities/tracker/roster/layout';
import type { ChangeNotice } from '../../../workflows/tracker/contract';
import { poolOf } from '../../../workflows/tracker/plan';
import { slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { wrongCounts } from '../../support/roster';
import { hashId } from '../../../workflows/lib/hash';
import { stack, database, change, names, apply, grow, listed, layout } from './database';

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
