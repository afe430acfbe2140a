/**
 * The fence on the real PostgreSQL: who may take it, that one of many does, and that a flush with an old token writes
 * nothing.
 */
import { pino } from 'pino';
import { lockFences, recordCrash, releaseFence, takeFence, type PoolClaim } from '../../activities/tracker/store/fence';
import type { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Writer, type WriterHost } from '../../activities/tracker/shift/writer';
import { Database } from '../../activities/lib/database';
import { writeUnbegun } from '../../activities/tracker/store/pools';
import type { TrackerRow } from '../../activities/tracker/store/trackers';
import { defineTracker } from '../../exports';
import { Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';
import { member, rowOf, shiftOf, TestClock, type Kit } from './shift-kit';

const look = defineTracker({ name: 't', operations: { look: { every: '50ms', run: ({ id }) => ({ value: id }) } } });

let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), connections: 12 });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify(rowOf(look).options),
  ]);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  await stack.sql(`delete from longwatch.pool`);
  await stack.sql(`delete from longwatch.member`);
});

const claim = (over: Partial<PoolClaim> = {}): PoolClaim => ({
  tracker: 't',
  pool: 0,
  runId: 'run-a',
  shift: 5,
  attempt: 2,
  node: 'n',
  ...over,
});
const current = (answer: boolean) => () => Promise.resolve(answer);
const never = () => Promise.reject(new Error('Temporal must not be asked'));
const tokenOf = async (pool = 0) =>
  (await stack.sql<{ token: number }>(`select token::int from longwatch.pool where pool = $1`, [pool]))[0]!.token;

test('a shift that no node begins is written down with its pool, until somebody takes that', async () => {
  const noted = () =>
    stack.sql<{ since: number | null; unbegun_on: string | null }>(
      `select extract(epoch from now() - unbegun_since)::int as since, unbegun_on from longwatch.pool`,
    );
  const write = (sinceMs: number, tracker = 't') =>
    database.transaction((db) => writeUnbegun(db, tracker, 0, { queue: 'q', sinceMs, untilMs: 60_000, times: 1 }));
  // The workflow's clock is far from this one's, and its pool has no row yet.
  await write(0);
  const since = async () => {
    const [row] = await noted();
    expect(row).toMatchObject({ unbegun_on: 'q' });
    return row!.since as number;
  };
  // And some seconds more, on a machine that is busy.
  expect(Math.floor((await since()) / 40)).toBe(1);
  await write(-40_000);
  expect(Math.floor((await since()) / 50)).toBe(2);
  // A tracker that is not there any more has no pools.
  await write(0, 'gone');
  expect(await noted()).toHaveLength(1);
  await takeFence(database, claim(), never);
  expect(await noted()).toEqual([{ since: null, unbegun_on: null }]);
});

describe('within one run the numbers decide, and Temporal is not asked', () => {
  test.each([
    ['a later shift', { shift: 6, attempt: 1 }, true],
    ['a later attempt', { shift: 5, attempt: 3 }, true],
    ['the same attempt again', { shift: 5, attempt: 2 }, false],
    ['an earlier attempt', { shift: 5, attempt: 1 }, false],
    ['an earlier shift, whatever its attempt', { shift: 4, attempt: 9 }, false],
  ])('%s', async (_who, over, may) => {
    await takeFence(database, claim(), never);
    const taking = takeFence(database, claim(over), never);
    if (may) expect((await taking).token).toBe(2);
    else await expect(taking).rejects.toMatchObject({ type: 'Fenced', nonRetryable: true });
    expect(await tokenOf()).toBe(may ? 2 : 1);
  });
});

describe('another run may have it only when Temporal says that it is the current one', () => {
  test.each([
    ['later numbers, current', { shift: 9 }, true],
    ['equal numbers, current', {}, true],
    ['earlier numbers (reset, started anew), current', { shift: 1, attempt: 1 }, true],
    ['later numbers, not current', { shift: 9 }, false],
    ['earlier numbers, not current', { shift: 1 }, false],
  ])('%s', async (_who, over, isCurrent) => {
    await takeFence(database, claim(), never);
    const taking = takeFence(database, claim({ ...over, runId: 'run-b' }), current(isCurrent));
    if (isCurrent) expect((await taking).token).toBe(2);
    else await expect(taking).rejects.toMatchObject({ type: 'Fenced' });
  });

  test('an answer about one run does not let in over a third that came meanwhile and is asked about again', async () => {
    await takeFence(database, claim(), never);
    const answers = [true, false];
    const late = takeFence(database, claim({ runId: 'run-b' }), async () => {
      const answer = answers.shift()!;
      if (answer) await takeFence(database, claim({ runId: 'run-c' }), current(true));
      return answer;
    });
    await expect(late).rejects.toMatchObject({ type: 'Fenced' });
    expect(answers).toEqual([]);
    expect(await tokenOf()).toBe(2);
  });
});

test('of many that take it at once in one run, the tokens are distinct and the last holder is the greatest', async () => {
  const claims = Array.from({ length: 10 }, (_, i) => claim({ shift: 1 + (i % 5), attempt: 1 + Math.floor(i / 5) }));
  const taken = await Promise.allSettled(claims.map((one) => takeFence(database, one, never)));
  const tokens = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value.token] : []));
  expect(new Set(tokens).size).toBe(tokens.length);
  const rows = await stack.sql(`select token::int, shift, attempt from longwatch.pool`);
  expect(rows).toEqual([{ token: tokens.length, shift: 5, attempt: 2 }]);
});

test('of two that are the same claim, exactly one wins', async () => {
  const taken = await Promise.allSettled(Array.from({ length: 8 }, () => takeFence(database, claim(), never)));
  expect(taken.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
});

test('of two shifts of one pool that are on one node, only the newer one holds it, in whatever order they are asked about', async () => {
  const older = {
    claim: claim({ attempt: 1 }),
    token: (await takeFence(database, claim({ attempt: 1 }), never)).token,
  };
  const newer = { claim: claim(), token: (await takeFence(database, claim(), never)).token };
  const other = { claim: claim({ pool: 1 }), token: (await takeFence(database, claim({ pool: 1 }), never)).token };
  const held = { rosterVersion: 0, reloadVersion: 0 };
  const ask = (...owners: (typeof older)[]) => database.transaction((db) => lockFences(db, owners));
  expect(await ask(older, newer, other)).toEqual(['fenced', held, held]);
  expect(await ask(other, newer, older)).toEqual([held, held, 'fenced']);
  await database.transaction(async (db) => {
    await db.query({ text: `select 1 from longwatch.pool where pool = 0 for update`, values: [] });
    expect(await ask(older, newer, other)).toEqual(['fenced', 'later', held]);
  });
});

test('taking waits half a second for a lock that somebody else holds, and says that it is passing', async () => {
  await takeFence(database, claim(), never);
  await database.transaction(async (db) => {
    await db.query({ text: 'select 1 from longwatch.pool for update', values: [] });
    const took = stopwatch();
    await expect(takeFence(database, claim({ shift: 6 }), never)).rejects.toMatchObject({ code: '55P03' });
    expect(took()).toBeLessThan(5_000);
  });
  expect((await takeFence(database, claim({ shift: 6 }), never)).token).toBe(2);
});

test('taking waits for a flush that holds the lock, and its token is void afterwards', async () => {
  const { token } = await takeFence(database, claim(), never);
  const order: string[] = [];
  let taking: Promise<unknown> | undefined;
  await database.transaction(async (db) => {
    expect(await lockFences(db, [{ claim: claim(), token }])).toMatchObject([{ rosterVersion: 0 }]);
    // On a machine that is busy half a second may be over before the flush is.
    const insists = (): Promise<unknown> =>
      takeFence(database, claim({ shift: 6 }), never).catch((error: unknown) => {
        if ((error as { code?: unknown }).code !== '55P03') throw error;
        return insists();
      });
    taking = insists().then(() => order.push('taken'));
    await stack.sql(`select pg_sleep(0.2)`);
    order.push('flushed');
  });
  await taking;
  expect(order).toEqual(['flushed', 'taken']);
  expect(await database.transaction((db) => lockFences(db, [{ claim: claim(), token }]))).toEqual(['fenced']);
  expect(await tokenOf()).toBe(2);
});

describe('crashes', () => {
  let shift = 0;
  beforeEach(() => (shift = 0));
  const take = async () => {
    const own = claim({ shift: ++shift });
    const { token } = await takeFence(database, own, never);
    return { own, token, crash: () => recordCrash(database, own, token, new Error('bug')) };
  };

  test('three in a row quarantine; the next taking clears it and counts from none', async () => {
    expect(await (await take()).crash()).toBe(false);
    expect(await (await take()).crash()).toBe(false);
    expect(await (await take()).crash()).toBe(true);
    expect(await stack.sql(`select quarantined_at is not null as q, last_error from longwatch.pool`)).toEqual([
      { q: true, last_error: 'bug' },
    ]);
    expect(await (await take()).crash()).toBe(false);
    expect(await stack.sql(`select quarantined_at, crashes from longwatch.pool`)).toEqual([
      { quarantined_at: null, crashes: 1 },
    ]);
  });

  test('a clean end, or a minute of work, begins the count anew; an old holder counts nothing', async () => {
    const first = await take();
    await first.crash();
    await releaseFence(database, first.own, first.token);
    const second = await take();
    expect(await first.crash()).toBe(false);
    await second.crash();
    await stack.sql(`update longwatch.pool set crashes = 2, taken_at = now() - interval '2 minutes'`);
    expect(await second.crash()).toBe(false);
    expect(await stack.sql(`select crashes from longwatch.pool`)).toEqual([{ crashes: 1 }]);
  });

  test('TR-L4: a token that a failover has given twice is its last taker’s alone', async () => {
    const first = await take();
    // The server is back where it was before that, and another shift gets the same token.
    await stack.sql(`update longwatch.pool set token = token - 1`);
    const second = await take();
    expect(second.token).toBe(first.token);
    const standing = async ({ own, token }: typeof first) =>
      (await database.transaction((db) => lockFences(db, [{ claim: own, token }])))[0];
    expect(await standing(first)).toBe('fenced');
    expect(await standing(second)).toMatchObject({ rosterVersion: 0 });
    await first.crash();
    await releaseFence(database, first.own, first.token);
    expect(await stack.sql(`select crashes, released_at from longwatch.pool`)).toEqual([
      { crashes: 0, released_at: null },
    ]);
  });
});

describe('a flush', () => {
  let fenced: PoolShift[];
  let failures: Error[];

  function writerOf(kits: Kit[]): Writer {
    fenced = [];
    failures = [];
    const host: WriterHost = {
      shifts: new Set(kits.map((kit) => kit.shift)),
      trackers: new Map<string, TrackerRow>(),
      clock: kits[0]!.host.clock,
      log: pino({ level: 'silent' }),
      onError: () => undefined,
      flushed: (outcome) => {
        if ('error' in outcome) failures.push(outcome.error);
      },
      fenced: (shift) => {
        fenced.push(shift);
        shift.end('fenced');
      },
    };
    return new Writer(database, host);
  }

  /** A pool with one member, fetched and not flushed. */
  async function poolWith(pool: number, id: string, clock: TestClock): Promise<Kit> {
    const fence = await takeFence(database, claim({ pool }), never);
    const rows = await stack.sql<{ key: number }>(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', $1, 0, 1, 0)
       returning key::int`,
      [id],
    );
    const kit = shiftOf(look, { claim: claim({ pool }), token: fence.token, clock });
    kit.shift.loadAll([member(id, { key: rows[0]!.key })], []);
    await kit.pass(20);
    expect(kit.shift.hasResults).toBe(true);
    return kit;
  }

  const written = async () =>
    (await stack.sql<{ value: string }>(`select value from longwatch.value order by value`)).map((row) => row.value);

  test('with a stale token writes nothing of that pool and all of the others, in one transaction', async () => {
    const clock = new TestClock();
    const kits = [await poolWith(0, 'a', clock), await poolWith(1, 'b', clock), await poolWith(2, 'c', clock)];
    await takeFence(database, claim({ pool: 1, shift: 6 }), never);
    const writer = writerOf(kits);
    await writer.flush();
    await writer.stop();
    expect(failures).toEqual([]);
    expect(fenced).toEqual([kits[1]!.shift]);
    expect(kits[1]!.shift.isOver).toBe(true);
    expect(await written()).toEqual(['a', 'c']);
  });

  test('of a pool whose row is gone writes nothing', async () => {
    const kit = await poolWith(0, 'a', new TestClock());
    await stack.sql(`delete from longwatch.pool`);
    const writer = writerOf([kit]);
    await writer.flush();
    await writer.stop();
    expect(fenced).toEqual([kit.shift]);
    expect(await written()).toEqual([]);
  });

  test('drops the results of who was removed since the roster was loaded', async () => {
    const clock = new TestClock();
    const kit = await poolWith(0, 'a', clock);
    await stack.sql(`update longwatch.pool set roster_version = 1`);
    await stack.sql(`update longwatch.member set removed_at = now(), roster_version = 1, stamp = 2`);
    const writer = writerOf([kit]);
    await writer.flush();
    await writer.stop();
    expect(fenced).toEqual([]);
    expect(kit.shift.members.size).toBe(0);
    expect(await written()).toEqual([]);
  });

  test('that fails keeps its results, and the next one writes them', async () => {
    const kit = await poolWith(0, 'a', new TestClock());
    await stack.sql(`alter table longwatch.value rename to hidden`);
    const writer = writerOf([kit]);
    await writer.flush();
    expect(failures).toHaveLength(1);
    expect(kit.shift.hasResults).toBe(true);
    await stack.sql(`alter table longwatch.hidden rename to value`);
    await writer.flush();
    await writer.stop();
    expect(await written()).toEqual(['a']);
    expect(kit.shift.hasResults).toBe(false);
  });
});
