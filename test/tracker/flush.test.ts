/**
 * The flush of a node on the real PostgreSQL: what is stored in the end whatever fails in between, whom a row, a pool
 * or a lock harms and whom it does not, and what of its transaction others have to wait for.
 */
import fc from 'fast-check';
import { Client } from 'pg';
import { pino } from 'pino';
import { BufferFeed } from '../../activities/buffer/feed';
import { takeFence, type PoolClaim } from '../../activities/tracker/store/fence';
import { failure } from '../../activities/lib/failures';
import { setPointHook, type Point } from '../../activities/lib/points';
import type { Clock } from '../../activities/tracker/shift/clock';
import { ValueFeed } from '../../activities/tracker/shift/feed';
import { begin } from '../../activities/tracker/shift/keep';
import { Lateness } from '../../activities/tracker/shift/lateness';
import type { Operation } from '../../activities/tracker/shift/host';
import type { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Semaphore } from '../../activities/tracker/shift/semaphore';
import { Writer, type WriterHost } from '../../activities/tracker/shift/writer';
import { freshnessOf } from '../../activities/tracker/store/members';
import { Database, VALUES_LIMITS, type Queryable, type TransactionOptions } from '../../activities/lib/database';
import {
  defineBuffer,
  defineTracker,
  HoldError,
  resolveConfig,
  type RunResult,
  type TrackerDefinition,
} from '../../exports';
import { ErrorType } from '../../workflows/lib/errors';
import { histories } from '../support/simulate';
import { eventually, Stack } from '../support/stack';
import { member, rowOf, shiftOf, TestClock, type Kit } from './shift-kit';

const log = pino({ level: 'silent' });
let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify(rowOf(trackerOf(() => ({ value: 1 }))).options),
  ]);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
let closing: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  closing = [];
  await stack.sql(`delete from longwatch.pool`);
  await stack.sql(`delete from longwatch.member`);
  await stack.sql(`delete from longwatch.buffer_outbox`);
  await stack.sql(`delete from longwatch.buffer_chunk`);
});
afterEach(async () => {
  setPointHook(undefined);
  for (const close of closing.reverse()) await close();
});

type Code = (context: { id: string; etag?: string }) => RunResult | Promise<RunResult>;
function trackerOf(run: Code, over: object = {}): TrackerDefinition {
  return defineTracker({
    name: 't',
    operations: { look: { every: '50ms', stagger: { window: 0 }, run, ...over } },
  });
}

interface Node {
  writer: Writer;
  fenced: PoolShift[];
  errors: { id: string; error: Error }[];
  outcomes: ({ rows: number; ms: number } | { error: Error })[];
}

/** A node's writer over these shifts. */
function writerOf(kits: Kit[], on: Database = database, more: Partial<WriterHost> = {}): Node {
  const node: Omit<Node, 'writer'> = { fenced: [], errors: [], outcomes: [] };
  const host: WriterHost = {
    shifts: new Set(kits.map((kit) => kit.shift)),
    trackers: new Map(),
    clock: kits[0]!.host.clock,
    log,
    onError: (error, _operation, id) => node.errors.push({ id, error }),
    flushed: (outcome) => node.outcomes.push(outcome),
    fenced: (shift) => {
      node.fenced.push(shift);
      shift.end('fenced');
    },
    ...more,
  };
  const writer = new Writer(on, host);
  closing.push(() => writer.stop());
  return { ...node, writer };
}

let shifts = 0;
const claimOf = (pool: number): PoolClaim => ({
  tracker: 't',
  pool,
  runId: 'r',
  shift: ++shifts,
  attempt: 1,
  node: 'n',
});
const never = () => Promise.reject(new Error('Temporal must not be asked'));

/** A pool whose members are in the database and in a shift, with nothing fetched yet. */
async function poolOf(pool: number, ids: string[], definition: TrackerDefinition, clock: TestClock): Promise<Kit> {
  const claim = claimOf(pool);
  const fence = await takeFence(database, claim, never);
  const rows = await stack.sql<{ key: number; id: string }>(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) select 't', id, 0, 1, 0 from unnest($1::text[]) id
     returning key::int, id`,
    [ids],
  );
  const kit = shiftOf(definition, { claim, token: fence.token, clock });
  kit.shift.rosterVersion = fence.rosterVersion;
  kit.shift.loadAll(
    rows.map(({ id, key }) => member(id, { key })),
    [],
  );
  return kit;
}

const valueOf = async (id: string) =>
  (
    await stack.sql<{ value: unknown; etag: string | null; failures: number; error: string | null }>(
      `select v.value, v.etag, v.failures, v.error from longwatch.value v join longwatch.member m on m.key = v.member where m.id = $1`,
      [id],
    )
  )[0];
const valuesOf = async () =>
  (
    await stack.sql<{ id: string }>(
      `select m.id from longwatch.value v join longwatch.member m on m.key = v.member where v.value is not null order by m.id`,
    )
  ).map(({ id }) => id);

/** Refuses what `refuses` says (SQL over `new` of `longwatch.value`), with this SQLSTATE. */
async function refusing(refuses: string, state: string): Promise<void> {
  await failing(refuses, `raise exception 'not this one' using errcode = '${state}'`);
}

/** A trigger that does this where a row is so. */
async function failing(where: string, statement: string): Promise<void> {
  await stack.sql(`create function longwatch.refuse() returns trigger language plpgsql as $$
    begin if ${where} then ${statement}; end if; return new; end $$`);
  await stack.sql(
    `create trigger refuse before insert or update on longwatch.value for each row execute function longwatch.refuse()`,
  );
  closing.push(() => stack.sql('drop function longwatch.refuse cascade'));
}
const keyOf = async (id: string) =>
  (await stack.sql<{ key: number }>(`select key::int from longwatch.member where id = $1`, [id]))[0]!.key;

describe('a result that the store will not have harms nobody else (TR-C3)', () => {
  test('one row is its member’s failure: beside the value, reported, counted; the others are written', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id, etag: `of ${id}` }));
    const kits = [await poolOf(0, ['a', 'bad', 'c'], look, clock), await poolOf(1, ['d', 'e'], look, clock)];
    await refusing(`new.member = ${await keyOf('bad')} and new.value is not null`, 'P0001');
    await kits[0]!.pass(20);
    await kits[1]!.pass(20);
    const { writer, errors } = writerOf(kits);
    await writer.flush();
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'c', 'd', 'e']);
    expect(await valueOf('bad')).toMatchObject({
      value: null,
      failures: 1,
      error: 'error: not this one',
    });
    expect(errors).toMatchObject([{ id: 'bad' }]);
    const loop = kits[0]!.shift.loops.get('look')!;
    expect(loop.counts.failed).toBe(1);
    expect(kits.map(({ shift }) => shift.isOver || shift.hasResults)).toEqual([false, false]);
    // Its ETag stands for a value that nobody has.
    const bad = kits[0]!.shift.members.slotOf('bad')!;
    expect(loop.known.etag(bad)).toBeUndefined();
  });

  test('a member whose row is gone is forgotten, and the others are written', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kit = await poolOf(0, ['a', 'gone', 'c'], look, clock);
    await stack.sql(`delete from longwatch.member where id = 'gone'`);
    await kit.pass(20);
    const { writer } = writerOf([kit]);
    await writer.flush();
    kit.shift.hinted = true;
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'c']);
    expect(kit.shift.members.slotOf('gone')).toBeUndefined();
  });

  test('unchanged after a value that could not be stored is no value: the next run asks for all of it', async () => {
    const clock = new TestClock();
    const etags: (string | undefined)[] = [];
    const look = trackerOf(({ etag }) => {
      etags.push(etag);
      return etag === 'e2' ? { unchanged: true } : { value: 2, etag: 'e2' };
    });
    const kit = await poolOf(0, ['a'], look, clock);
    await refusing(`new.value = '2'`, '23514');
    await kit.pass(60);
    await writerOf([kit]).writer.flush();
    await stack.sql('drop trigger refuse on longwatch.value');
    await kit.pass(120);
    await writerOf([kit]).writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: 2, etag: 'e2', failures: 0 });
    expect(etags).toContain('e2');
  });

  test('nor is it for a run that was under way when the value was refused', async () => {
    const clock = new TestClock();
    const etags: (string | undefined)[] = [];
    let answer: ((result: RunResult) => void) | undefined;
    const look = trackerOf(({ etag }) => {
      etags.push(etag);
      return etag === undefined ? { value: 2, etag: 'e2' } : new Promise((resolve) => (answer = resolve));
    });
    const kit = await poolOf(0, ['a'], look, clock);
    await refusing(`new.value = '2'`, '23514');
    await kit.pass(20);
    const { writer } = writerOf([kit]);
    // The second run has been sent with the ETag of the value that is refused now.
    await kit.pass(60);
    expect(etags).toEqual([undefined, 'e2']);
    await writer.flush();
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: null, failures: 1 });
    // Before the next run is due, which would bring the value again.
    answer!({ unchanged: true, etag: 'e2' });
    await kit.pass(5);
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: null, etag: null, failures: 2 });
    await kit.pass(60);
    expect(etags).toEqual([undefined, 'e2', undefined]);
  });

  test('a pool that fails as a whole crashes, so that it can be quarantined; the others go on', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kits = [await poolOf(0, ['a', 'b'], look, clock), await poolOf(1, ['c'], look, clock)];
    // Not raised, which would be the rows' own: the table of a trigger is gone.
    await failing(`new.member in (${await keyOf('a')}, ${await keyOf('b')})`, 'perform 1 from longwatch.nowhere');
    for (const kit of kits) await kit.pass(20);
    const { writer } = writerOf(kits);
    await writer.flush();
    await writer.flush();
    expect(await valuesOf()).toEqual(['c']);
    expect(kits.map(({ shift }) => shift.isOver)).toEqual([true, false]);
    const ending = await kits[0]!.shift.ended;
    expect(ending).toBeInstanceOf(Error);
    expect(kits[1]!.shift.refusedFor(performance.now())).toBe(0);
  });

  test('where nothing at all can be written no pool is to blame: results are kept, as in an outage', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    for (const kit of kits) await kit.pass(20);
    const { writer } = writerOf(kits);
    await stack.sql(`alter table longwatch.value rename to hidden`);
    await writer.flush();
    // Once is not for long: the process may have stood still meanwhile.
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
    await writer.flush();
    expect(kits.map(({ shift }) => [shift.isOver, shift.hasResults])).toEqual([
      [false, true],
      [false, true],
    ]);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBeGreaterThan(0);
    await stack.sql(`alter table longwatch.hidden rename to value`);
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'b']);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
  });
});

describe('a buffer’s key is the user’s code (BU-H8)', () => {
  const KEYS: [string, (entry: { value: { name: string } }) => string][] = [
    ['throws', (entry) => entry.value.name.toLowerCase()],
    [
      'throws nothing',
      (entry) => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what users throw is what is tested here
        if (entry.value === null) throw undefined;
        return entry.value.name;
      },
    ],
  ];
  test.each(KEYS)(
    'one that %s for a value is that entry’s failure; all values and entries are stored',
    async (_what, key) => {
      const clock = new TestClock();
      const look = trackerOf(({ id }) => ({ value: id === 'bad' ? null : { name: id } }));
      const kit = await poolOf(0, ['a', 'bad', 'c'], look, clock);
      const failed: string[] = [];
      const { writer, outcomes } = writerOf([kit], database, {
        feed: feedOf(look, kit.host.clock, key as never, (_error, _buffer, _loop, id) => failed.push(id)),
      });
      await kit.pass(20);
      await writer.flush();
      expect(outcomes).toMatchObject([{ rows: 3 }]);
      expect(await valuesOf()).toEqual(['a', 'bad', 'c']);
      expect(failed).toEqual(['bad']);
      expect((await entriesFed()).map(({ id }) => id).sort()).toEqual(['a', 'bad', 'c']);
    },
  );
});

test.each([
  ['a NUL', '\0'],
  ['half of a pair', '\ud800'],
  ['more than an index takes', 'k'.repeat(4_000)],
])('a key that has %s is a key: no value and no entry fails for it', async (_what, text) => {
  const clock = new TestClock();
  const look = trackerOf(({ id }) => ({ value: { name: id } }));
  const kit = await poolOf(0, ['a', 'odd', 'c'], look, clock);
  const { writer, outcomes } = writerOf([kit], database, {
    feed: feedOf(look, kit.host.clock, ((entry: { id: string }) => (entry.id === 'odd' ? text : entry.id)) as never),
  });
  await kit.pass(20);
  await writer.flush();
  expect(outcomes).toMatchObject([{ rows: 3 }]);
  expect((await entriesFed()).map(({ id }) => id).sort()).toEqual(['a', 'c', 'odd']);
});

function feedOf(
  definition: TrackerDefinition,
  clock: Clock,
  key?: string | ((entry: unknown) => string),
  failed: (error: Error, buffer: string, loop: Operation, id: string) => void = (error) => {
    throw error;
  },
): ValueFeed {
  const buffer = resolveConfig({
    buffers: [defineBuffer({ name: 'b', run: () => undefined, ...(key === undefined ? {} : { key: key }) })],
  }).buffers[0]!;
  const push = () => Promise.reject(new Error('nobody is told here'));
  const feed = new BufferFeed(new Map([['b', buffer]]), database, push, log);
  const look = { ...definition.operations.look!, buffer: 'b' };
  return new ValueFeed(new Map([[definition.name, { ...definition, operations: { look } }]]), feed, clock, failed);
}

/** The entries that the buffer has been given, in the order in which it was. */
async function entriesFed(): Promise<{ id: string; value: unknown }[]> {
  const rows = await stack.sql<{ entries: string }>(
    `select c.entries from longwatch.buffer_outbox o join longwatch.buffer_chunk c on c.buffer = o.buffer and c.id = o.id
     order by o.made_at, o.seq`,
  );
  return rows.flatMap(({ entries }) => JSON.parse(entries) as { id: string; value: unknown }[]);
}

describe('a lock that somebody holds keeps his pool waiting, and no other (TR-C4, TR-M6)', () => {
  /** Somebody in psql, or a process that is frozen. */
  async function locked(sql: string): Promise<Client> {
    const client = new Client({ connectionString: stack.servers.databaseUrl });
    client.on('error', () => undefined);
    await client.connect();
    closing.push(() => client.end());
    await client.query('begin');
    await client.query(sql);
    return client;
  }

  test.each([
    ['the pool’s row', `select 1 from longwatch.pool where pool = 0 for update`],
    [
      'a value of it',
      `update longwatch.value set failures = 7 where member = (select key from longwatch.member where id = 'a')`,
    ],
  ])('%s', async (_what, sql) => {
    const clock = new TestClock();
    let value = 1;
    const look = trackerOf(() => ({ value }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    const { writer, fenced } = writerOf(kits);
    for (const kit of kits) await kit.pass(20);
    await writer.flush();
    const client = await locked(sql);
    value = 2;
    for (const kit of kits) await kit.pass(100);
    await writer.flush();
    await writer.flush();
    expect(fenced).toEqual([]);
    expect(await valueOf('b')).toMatchObject({ value: 2 });
    expect(await valueOf('a')).toMatchObject({ value: 1 });
    expect(kits[0]!.shift.hasResults).toBe(true);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBeGreaterThan(0);
    expect(kits[1]!.shift.refusedFor(performance.now())).toBe(0);
    await client.query('rollback');
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: 2 });
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
  });

  test('a pool whose row is gone is fenced', async () => {
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    await kit.pass(20);
    await stack.sql('delete from longwatch.pool');
    const { writer, fenced } = writerOf([kit]);
    await writer.flush();
    expect(fenced).toEqual([kit.shift]);
  });

  test.each<Point>(['flush.locked', 'flush.written'])(
    'a node that freezes at %s lets go of its pools, and another takes them within seconds',
    async (point) => {
      const clock = new TestClock();
      const look = trackerOf(() => ({ value: 1 }));
      const kit = await poolOf(0, ['a'], look, clock);
      await kit.pass(20);
      let frozen!: () => void;
      const reached = new Promise<void>((resolve) => (frozen = resolve));
      let thaw!: () => void;
      setPointHook((at) => {
        if (at !== point) return undefined;
        frozen();
        return new Promise<void>((resolve) => (thaw = resolve));
      });
      const values = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS, connections: 1 });
      closing.push(() => values.close());
      const { writer, fenced } = writerOf([kit], values);
      const flushing = writer.flush();
      await reached;
      const began = performance.now();
      const taken = await eventually('taken', () => takeFence(database, claimOf(0), never).catch(() => undefined));
      expect(taken.token).toBe(2);
      expect(performance.now() - began).toBeLessThan(5_000);
      // It goes on, and nothing of what it had is written.
      setPointHook(undefined);
      thaw();
      await flushing;
      await writer.flush();
      expect(await valuesOf()).toEqual([]);
      expect(fenced).toEqual([kit.shift]);
    },
  );
});

describe('a shift follows its tracker’s row (TR-H3)', () => {
  test('also when it came with an older one than another shift of the node', async () => {
    const clock = new TestClock();
    const look = trackerOf(() => ({ value: 1 }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    await stack.sql(`update longwatch.tracker set state = 'paused', version = 2 where name = 't'`);
    closing.push(() => stack.sql(`update longwatch.tracker set state = 'running', version = 1 where name = 't'`));
    const newer = { ...rowOf(look), state: 'paused' as const, version: 2 };
    kits[1]!.shift.follow(newer);
    const { writer } = writerOf(kits, database, { trackers: new Map([['t', newer]]) });
    for (const kit of kits) kit.shift.hinted = true;
    await writer.flush();
    expect(kits.map(({ shift }) => [shift.trackerVersion, shift.closed()])).toEqual([
      [2, 'paused'],
      [2, 'paused'],
    ]);
  });

  test('it begins with the newer one that its node knows, and does not put the older one in its place', async () => {
    const look = trackerOf(() => ({ value: 1 }));
    const newer = { ...rowOf(look), state: 'paused' as const, version: 2 };
    const { host } = shiftOf(look);
    const trackers = new Map([['t', newer]]);
    const latenessOf = () => new Lateness(host.clock.now());
    const node = { ...host, trackers, loading: new Semaphore(1), latenessOf, join: () => undefined };
    const claim = claimOf(0);
    const fence = await takeFence(database, claim, never);
    const shift = await begin({ node, database }, claim, { fence, tracker: rowOf(look) }, look, log);
    expect([shift.trackerVersion, shift.closed()]).toEqual([2, 'paused']);
    expect(trackers.get('t')).toBe(newer);
    shift.close();
  });
});

test('TR-M3: what is stored is of the database’s clock, and what is read of it of the node’s, a minute behind', async () => {
  const AHEAD = 60_000;
  const clock = new TestClock();
  clock.toStore = (ms) => ms + AHEAD;
  clock.fromStore = (ms) => ms - AHEAD;
  const look = trackerOf(
    ({ id }) => {
      if (id === 'refused') throw new HoldError('429', { afterMs: 30_000, scope: 'member' });
      return { value: 1, expiresAt: clock.time + 20_000 };
    },
    { maxExpiry: '1h', maxHold: '1h' },
  );
  const kit = await poolOf(0, ['fetched', 'refused'], look, clock);
  const { writer } = writerOf([kit], database, { feed: feedOf(look, kit.host.clock) });
  await kit.pass(20);
  const ours = kit.shift.loops.get('look')!.known.fetchedAt(kit.shift.members.slotOf('fetched')!)!;
  await writer.flush();
  const ms = (column: string) => `(extract(epoch from v.${column}) * 1000)::float8`;
  const times = await stack.sql<{ key: number; [time: string]: number | null }>(
    `select m.key::int, ${ms('fetched_at')} as fetched, ${ms('expires_at')} as expires, ${ms('failed_at')} as failed,
            ${ms('held_until')} as held
     from longwatch.value v join longwatch.member m on m.key = v.member order by m.id`,
  );
  expect(times).toMatchObject([
    { fetched: ours + AHEAD, expires: ours + AHEAD + 20_000, failed: null, held: null },
    { fetched: null, expires: null, failed: ours + AHEAD, held: ours + AHEAD + 30_000 },
  ]);
  expect(await entriesFed()).toMatchObject([{ id: 'fetched', fetchedAt: ours + AHEAD }]);
  // The next shift of the same node reads them back.
  const next = shiftOf(look, { beside: kit, claim: claimOf(0), token: 2 }).shift;
  const [fetched, refused] = times.map(({ key }) => key) as [number, number];
  next.loadAll(
    [member('fetched', { key: fetched }), member('refused', { key: refused })],
    await database.transaction((db) => freshnessOf(db, [fetched, refused])),
  );
  const { known } = next.loops.get('look')!;
  const slot = next.members.slotOf('fetched')!;
  expect([known.fetchedAt(slot), known.expiresAt(slot)]).toEqual([ours, ours + 20_000]);
});

describe('an operation that was declared before begins again while a shift runs', () => {
  test('with what is stored of it: its ETags, its expiries, its failures', async () => {
    const runs: string[] = [];
    const both = defineTracker({
      name: 't',
      operations: {
        look: {
          every: '5m',
          maxExpiry: '1d',
          stagger: { window: 0 },
          run: ({ id, etag }) => {
            runs.push(`${id}:${etag ?? '-'}`);
            return { value: id };
          },
        },
        other: { every: '1d', run: () => ({ value: 1 }) },
      },
    });
    const row = rowOf(both);
    const one = { ...row.options, operations: { other: row.options.operations.other! } };
    const setOptions = (options: object, version: number) =>
      stack.sql(`update longwatch.tracker set options = $1, version = $2 where name = 't'`, [
        JSON.stringify(options),
        version,
      ]);
    const [before] = await stack.sql<{ options: object }>(`select options from longwatch.tracker where name = 't'`);
    closing.push(() => setOptions(before!.options, 1));
    const [{ now }] = (await stack.sql<{ now: number }>(
      'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
    )) as [{ now: number }];
    const kit = await poolOf(0, ['fresh', 'due', 'failing', 'new'], both, new TestClock(now));
    // The shift began when `look` was not declared.
    const shift = shiftOf(both, { beside: kit, claim: kit.shift.claim, token: kit.shift.token, options: one }).shift;
    kit.shift.close();
    const rows = await stack.sql<{ key: number; id: string }>('select key::int, id from longwatch.member');
    shift.loadAll(
      rows.map(({ id, key }) => member(id, { key, addedAt: now - 3_600_000 })),
      [],
    );
    shift.rosterVersion = kit.shift.rosterVersion;
    await stack.sql(
      `insert into longwatch.value (member, operation, value, etag, fetched_at, expires_at, failures, failed_at)
       select key, 'look', '1', 'of ' || id, now() - interval '10 minutes',
              case id when 'fresh' then now() + interval '1 hour' end,
              case id when 'failing' then 7 else 0 end, case id when 'failing' then now() - interval '9 minutes' end
       from longwatch.member where id <> 'new'`,
    );
    await setOptions(row.options, 2);
    const { writer } = writerOf([{ ...kit, shift }]);
    shift.hinted = true;
    await writer.flush();
    await kit.pass(2_000);
    expect(runs.sort()).toEqual(['due:of due', 'failing:of failing', 'new:-']);
    await kit.pass(600_000);
    expect(runs.filter((run) => run.startsWith('fresh'))).toEqual([]);
  });
});

describe('when a node flushes', () => {
  test('TR-M16: however many changes are announced, not more often than each 20 ms', async () => {
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    const { writer, outcomes } = writerOf([kit]);
    await writer.flush();
    const before = outcomes.length;
    const began = performance.now();
    for (let i = 0; i < 200; i++) {
      kit.shift.hinted = true;
      writer.hint();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('a flush', () => outcomes.length > before && !kit.shift.hinted);
    expect(outcomes.length - before).toBeLessThanOrEqual(2 + (performance.now() - began) / 20);
  });

  test('OP-B1: what has piled up is written in several transactions, one after the other', async () => {
    const clock = new TestClock();
    const large = 'ж'.repeat(1_000_000);
    const ids = Array.from({ length: 40 }, (_, i) => `m${i}`);
    const kit = await poolOf(
      0,
      ids,
      trackerOf(() => ({ value: large })),
      clock,
    );
    const { writer, outcomes } = writerOf([kit]);
    await kit.pass(20);
    await writer.flush();
    expect(await valuesOf()).toHaveLength(40);
    expect(outcomes.length).toBeGreaterThan(1);
    expect(kit.shift.hasResults).toBe(false);
  });
});

/** A connection that does as it is told: refuses before anything was done, or loses the answer to COMMIT. */
class Unreliable extends Database {
  next: 'works' | 'refuses' | 'loses' = 'works';

  override async transaction<T>(work: (db: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T> {
    const how = this.next;
    const away = () => failure(ErrorType.StoreUnavailable, 'the answer was lost');
    if (how === 'refuses') throw away();
    const result = await super.transaction(work, options);
    if (how === 'loses') throw away();
    return result;
  }
}

type Step = { kind: 'pass'; ms: number } | { kind: 'change'; id: string } | { kind: 'fail'; id: string } | Flushing;
interface Flushing {
  kind: 'flush';
  how: 'works' | 'refuses' | 'loses';
}

test('TR-C1, TR-M18: what is stored is the last value returned, and a buffer gets each change once, whatever the connection loses', async () => {
  const unreliable = new Unreliable({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS });
  closing.push(() => unreliable.close());
  const ids = ['a', 'b'];
  const id = fc.constantFrom(...ids);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 10, max: 150 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('change' as const), id }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), id }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('flush' as const),
        how: fc.constantFrom('works' as const, 'refuses' as const, 'loses' as const),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20 }), async (steps) => {
      await stack.sql(`delete from longwatch.pool`);
      await stack.sql(`delete from longwatch.member`);
      await stack.sql(`delete from longwatch.buffer_outbox`);
      await stack.sql(`delete from longwatch.buffer_chunk`);
      // An upstream with a version a member, which says 304 to who has it.
      const versions = new Map(ids.map((one) => [one, 1]));
      const failing = new Set<string>();
      const returned = new Map<string, number>();
      const inARow = new Map<string, number>();
      const look = trackerOf(({ id: of, etag }) => {
        if (failing.delete(of)) {
          inARow.set(of, (inARow.get(of) ?? 0) + 1);
          throw new Error('down');
        }
        inARow.set(of, 0);
        const version = versions.get(of)!;
        if (etag === `v${version}`) return { unchanged: true };
        returned.set(of, version);
        return { value: version, etag: `v${version}` };
      });
      const kit = await poolOf(0, ids, look, new TestClock());
      const { writer } = writerOf([kit], unreliable, { feed: feedOf(look, kit.host.clock) });
      for (const one of steps) {
        if (one.kind === 'pass') await kit.pass(one.ms);
        else if (one.kind === 'change') versions.set(one.id, versions.get(one.id)! + 1);
        else if (one.kind === 'fail') failing.add(one.id);
        else {
          unreliable.next = one.how;
          await writer.flush();
        }
      }
      unreliable.next = 'works';
      await writer.flush();
      await writer.stop();
      const fed = await entriesFed();
      for (const [of, version] of returned) {
        expect([of, await valueOf(of)]).toMatchObject([
          of,
          { value: version, etag: `v${version}`, failures: inARow.get(of) },
        ]);
        const seen = fed.filter((entry) => entry.id === of).map(({ value }) => value as number);
        expect(seen.at(-1)).toBe(version);
        expect(seen).toEqual([...new Set(seen)].sort((x, y) => x - y));
      }
    }),
    histories(60),
  );
}, 120_000);
