/**
 * A shift has ended, and the next one does not begin: Temporal is away, or a node that stands still has its task. The
 * node that had the pool keeps it on, by the fence that it has, until somebody takes it. On the real PostgreSQL, with a
 * node of its own and a stand-in for Temporal.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { createActivities } from '../../activities/tracker';
import { Database, OWN_LIMITS } from '../../activities/lib/database';
import type { TemporalLink } from '../../activities/lib/temporal';
import { setPointHook } from '../../activities/lib/points';
import { FailingPools } from '../../activities/tracker/shift/failing-pools';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Meanwhile } from '../../activities/tracker/shift/meanwhile';
import { Node } from '../../activities/tracker/shift/node';
import type { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Semaphore } from '../../activities/tracker/shift/semaphore';
import {
  isOfCleanEnd,
  releaseFence,
  takeBackFence,
  takeFence,
  type PoolClaim,
} from '../../activities/tracker/store/fence';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import { defineTracker } from '../../exports';
import type { ShiftInput, ShiftResult, TrackerActivities } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });
let runs = 0;
const look = defineTracker({
  name: 't',
  operations: { look: { every: '100ms', stagger: { window: 0 }, run: () => ({ value: ++runs }) } },
});

let stack: Stack;
let database: Database;
let node: Node;
let activities: TrackerActivities;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack.close());

beforeEach(async () => {
  for (const table of ['pool', 'member', 'tracker', 'node']) await stack.sql(`delete from longwatch.${table}`);
  await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', $1, 2)`, [
    JSON.stringify(rowOf(look).options),
  ]);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', 'zero', 0, 1, 0), ('t', 'one', 1, 1, 0)`,
  );
  database = new Database({ url: stack.servers.databaseUrl, log, ...OWN_LIMITS });
  node = new Node({
    row: { name: 'n', host: 'h', pid: 1, metricsUrl: null },
    database,
    trackers: [look],
    log,
    metrics: new NodeMetrics(),
    isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
    watchdog: undefined,
    nodeConcurrency: 100,
  });
  await node.start();
  const temporal = { reachable: () => Promise.resolve(true), isCurrent: () => Promise.resolve(true) };
  activities = createActivities({ node, database, temporal: temporal as unknown as TemporalLink, log });
});
afterEach(async () => {
  setPointHook(undefined);
  node.drain();
  await eventually('it keeps nothing', () => node.shifts.size === 0);
  await node.stop();
  await database.close();
});

let shifts = 0;
function shift(durationMs: number, { pool = 0, attempt = 1, heartbeatTimeoutMs = 5_000 } = {}): Promise<ShiftResult> {
  const workflowExecution = { workflowId: `pool/t/${pool}`, runId: 'run' };
  const environment = new MockActivityEnvironment({ heartbeatTimeoutMs, attempt, workflowExecution });
  const input = { tracker: 't', pool, shift: ++shifts, durationMs, hops: 2 };
  return environment.run<[ShiftInput], ShiftResult, TrackerActivities['shift']>(activities.shift, input);
}
const claimOf = (count: number) => ({ tracker: 't', pool: 0, runId: 'run', shift: count, attempt: 1, node: 'n' });
const pool = async () =>
  (
    await stack.sql<{ token: string; free: boolean; clean: boolean }>(
      `select token, released_at is not null as free, released_token is not null as clean from longwatch.pool
       where pool = 0`,
    )
  )[0]!;
const stored = async () =>
  Number((await stack.sql<{ value: number }>('select max(value::text::int) as value from longwatch.value'))[0]?.value);
/** Something new is written. */
const goesOn = async () => {
  const before = runs;
  await eventually('it is asked for, and written', async () => (await stored()) > before);
};

test('the pool is kept on until the next shift takes it; only that one writes then', async () => {
  await expect(shift(300)).resolves.toMatchObject({ end: 'elapsed', to: 'n' });
  const { token, free } = await pool();
  expect(free).toBe(true);
  await goesOn();
  // By a token of its own: what may still come of the shift that has ended comes too late.
  expect(await pool()).toMatchObject({ token: `${Number(token) + 1}`, free: false });
  expect(node.shifts.size).toBe(1);

  const next = shift(600_000);
  await eventually('the next shift has it', async () => Number((await pool()).token) === Number(token) + 2);
  await eventually('it alone', () => node.shifts.size === 1 && [...node.shifts][0]!.token === Number(token) + 2);
  await goesOn();
  for (const one of node.shifts) one.end('handed back');
  await next;
});

/** A shift that has ended, of which the node itself keeps nothing on. */
async function ended(): Promise<{ claim: PoolClaim; token: number }> {
  const claim = claimOf(++shifts);
  const { token } = await takeFence(database, claim, () => Promise.resolve(true));
  await releaseFence(database, claim, token);
  return { claim, token };
}

test('whoever has taken it since keeps it, and so does a later attempt of the same shift', async () => {
  const { claim, token } = await ended();
  expect(await takeBackFence(database, { ...claim, attempt: 2 }, token)).toBeUndefined();
  expect(await takeBackFence(database, claim, token)).toEqual({ token: token + 1, rosterVersion: 0 });
  // Once more, for the answer was lost.
  expect(await takeBackFence(database, claim, token)).toEqual({ token: token + 1, rosterVersion: 0 });
  await stack.sql('update longwatch.pool set token = token + 1');
  expect(await takeBackFence(database, claim, token)).toBeUndefined();
});

test('the note of the end that comes late, for its answer was lost, does not free a pool that is kept on', async () => {
  const { claim, token } = await ended();
  const back = (await takeBackFence(database, claim, token))!;
  await releaseFence(database, claim, token);
  expect((await pool()).free).toBe(false);
  await releaseFence(database, claim, back.token);
  expect((await pool()).free).toBe(true);
});

test('whoever keeps it on knows whether the shift had written everything, also that of the very first token', async () => {
  const first = { ...claimOf(1), runId: 'first' };
  const isCurrent = () => Promise.resolve(true);
  const { token } = await takeFence(database, first, isCurrent);
  expect(token).toBe(1);
  await takeBackFence(database, first, token);
  expect(await database.transaction((db) => isOfCleanEnd(db, first))).toBe(false);
  await releaseFence(database, first, 2);
  await takeBackFence(database, first, 2);
  expect(await database.transaction((db) => isOfCleanEnd(db, first))).toBe(true);
});

test('the next shift on this node ends what it has kept on before it begins itself: no id is asked for by two', async () => {
  await shift(300);
  await goesOn();
  const [kept] = node.shifts;
  const seen: boolean[] = [];
  setPointHook((point) => void (point === 'shift.fenced' && seen.push(kept!.isBroken)));
  const next = shift(600_000);
  await eventually('the next shift has it', () => [...node.shifts].some((one) => one !== kept));
  expect(seen).toEqual([true]);
  for (const one of node.shifts) one.end('handed back');
  await next;
});

test('one that the next shift has taken in time is left alone', async () => {
  await shift(300);
  await stack.sql('update longwatch.pool set token = token + 1');
  await shift(300, { pool: 1 });
  // By then it has looked at both.
  await goesOn();
  expect([...node.shifts].map(({ claim }) => claim.pool)).toEqual([1]);
  expect((await pool()).free).toBe(true);
});

test('one that was taken and handed back at once, for it was scheduled with another time-out, is kept on as well', async () => {
  await expect(shift(300, { attempt: 2, heartbeatTimeoutMs: 1_234 })).resolves.toMatchObject({ end: 'handed back' });
  await goesOn();
  expect(node.shifts.size).toBe(1);
});

test('one that PostgreSQL has refused for too long is kept on again', async () => {
  await shift(300);
  await goesOn();
  // As it is ended after its patience.
  for (const one of node.shifts) one.end('handed back');
  await eventually('it is free', async () => (await pool()).free);
  await goesOn();
});

test('a node that ends lets it go', async () => {
  await shift(300);
  await goesOn();
  node.drain();
  await eventually('it is free', async () => (await pool()).free);
});

describe('many at once', () => {
  const POOLS = 40;
  const claims = Array.from({ length: POOLS }, (_, at) => ({ ...claimOf(1), pool: at }));
  const ending = {
    ...{ definitions: new Map([['t', look]]), isDraining: false },
    ...{ taking: new Semaphore(2), arriving: new Semaphore(8) },
    failing: new FailingPools({ now: () => 0 }),
  };
  afterEach(() => (ending.isDraining = true));
  /** Keeps on what has ended; `begin` is of the test. @returns the tokens by which it has begun */
  const meanwhile = (begin: (claim: PoolClaim) => Promise<void>) => {
    const begun: number[] = [];
    const shifts: PoolShift[] = [];
    const said: string[] = [];
    const logger = pino({ level: 'error' }, { write: (line: string) => void said.push(line) });
    const kept = new Meanwhile({
      node: ending,
      database,
      log: logger,
      begin: async (claim, { fence }) => {
        await begin(claim);
        begun.push(fence.token);
        const ended: Partial<PoolShift> = {
          options: look as never,
          refusedFor: () => 0,
          log,
          claim,
          token: fence.token,
        };
        shifts.push(Object.assign(ended, { ended: new Promise((end) => (ended.end = end)) }) as PoolShift);
        return shifts.at(-1)!;
      },
      finish: () => Promise.resolve(),
    });
    return { kept, begun, shifts, said };
  };

  beforeEach(async () => {
    ending.isDraining = false;
    ending.failing = new FailingPools({ now: () => 0 });
    await stack.sql(
      `insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt, node, taken_at, released_at)
       select 't', pool, 7, 'run', 1, 1, 'n', now(), now() from generate_series(0, $1) pool`,
      [POOLS - 1],
    );
  });

  test('are taken back and loaded a few at a time: the others have the keeper who may take them meanwhile', async () => {
    const taken = async () =>
      Number((await stack.sql<{ n: string }>('select count(*) as n from longwatch.pool where token = 8'))[0]!.n);
    let [most, loads] = [0, 0];
    let secondBegins!: () => void;
    const second = new Promise<void>((resolve) => (secondBegins = resolve));
    const { kept, begun } = meanwhile(async () => {
      if (++loads === 2) secondBegins();
      // More than one at a time: the first one ends only when there is another.
      await second;
      most = Math.max(most, (await taken()) - begun.length);
    });
    for (const claim of claims) kept.ended(claim, 7);
    await eventually('all are kept on', () => begun.length === POOLS);
    expect(most).toBeLessThanOrEqual(8);
  });

  test('one that cannot be kept on keeps no other from it; it is said once, and tried again later each time', async () => {
    const tries: number[] = [];
    const { kept, begun, said } = meanwhile((claim) => {
      if (claim.pool === 0) tries.push(performance.now());
      return claim.pool === 0 && tries.length < 3 ? Promise.reject(new TypeError('a bug')) : Promise.resolve();
    });
    kept.ended(claims[0]!, 7);
    kept.ended(claims[1]!, 7);
    await eventually('both are kept on', () => begun.length === 2);
    // The third try of the first one is by the third token.
    expect(begun).toEqual([8, 10]);
    // After a second and a half, and after three; a machine that stands still makes both longer.
    expect(tries[1]! - tries[0]!).toBeGreaterThan(1_400);
    expect(tries[2]! - tries[1]!).toBeGreaterThan(2_900);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('a bug');
    expect(ending.failing.said()).toEqual({ pools: 1, example: 't/0: kept on meanwhile: a bug' });
  });

  test('one whose loading does not come to an end keeps no other from it', async () => {
    const { kept, begun } = meanwhile(({ pool }) => (pool === 0 ? new Promise(() => undefined) : Promise.resolve()));
    kept.ended(claims[0]!, 7);
    await eventually(
      'the first one is being loaded',
      async () => (await stack.sql('select 1 from longwatch.pool where pool = 0 and token = 8')).length > 0,
    );
    kept.ended(claims[1]!, 7);
    await eventually('the second one is kept on', () => begun.length === 1);
  });

  test('one that has crashed is kept on again: there may still be nobody else', async () => {
    const { kept, begun, shifts } = meanwhile(() => Promise.resolve());
    kept.ended(claims[0]!, 7);
    await eventually('it is kept on', () => shifts.length === 1);
    shifts[0]!.end(new Error('a crash'));
    await eventually('it is kept on again', () => begun.length === 2);
    expect(begun).toEqual([8, 9]);
  });

  test('one that crashes each time is kept on later each time, and the node says so', async () => {
    const { kept, shifts } = meanwhile(() => Promise.resolve());
    const crashes: number[] = [];
    const begins: number[] = [];
    kept.ended(claims[0]!, 7);
    for (const count of [1, 2, 3]) {
      await eventually(`it is kept on for the ${count}. time`, () => shifts.length === count);
      begins.push(performance.now());
      // A shift that is on the node has been begun, so what was said of it before is not so any more.
      ending.failing.begun(claims[0]!);
      crashes.push(performance.now());
      shifts.at(-1)!.end(new TypeError('a bug'));
    }
    await eventually('the node says so', () => ending.failing.said().pools === 1);
    expect(ending.failing.said().example).toBe('t/0: kept on meanwhile: a bug');
    expect(begins[1]! - crashes[0]!).toBeGreaterThanOrEqual(1_500);
    expect(begins[2]! - crashes[1]!).toBeGreaterThanOrEqual(3_000);
  });

  test('an outage is nothing to tell, and it is not tried less for it', async () => {
    let tries = 0;
    const away = Object.assign(new Error('away'), { type: 'StoreUnavailable' });
    const { kept, begun, said } = meanwhile(() => (++tries < 4 ? Promise.reject(away) : Promise.resolve()));
    kept.ended(claims[0]!, 7);
    await eventually('it is kept on', () => begun.length === 1);
    expect(said).toEqual([]);
  });
});
