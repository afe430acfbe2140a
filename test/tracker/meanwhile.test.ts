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
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Node } from '../../activities/tracker/shift/node';
import { takeBackFence } from '../../activities/tracker/store/fence';
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
  // With its token, as if it had never ended; and it has not ended cleanly.
  expect(await pool()).toEqual({ token, free: false, clean: false });
  expect(node.shifts.size).toBe(1);

  const next = shift(600_000);
  await eventually('the next shift has it', async () => Number((await pool()).token) === Number(token) + 1);
  await eventually('it alone', () => node.shifts.size === 1 && [...node.shifts][0]!.token === Number(token) + 1);
  await goesOn();
  for (const one of node.shifts) one.end('handed back');
  await next;
}, 30_000);

test('whoever has taken it since keeps it, and so does a later attempt of the same shift', async () => {
  await shift(300);
  const claim = { tracker: 't', pool: 0, runId: 'run', shift: shifts, attempt: 1, node: 'n' };
  const token = Number((await pool()).token);
  expect(await takeBackFence(database, { ...claim, attempt: 2 }, token)).toBeUndefined();
  expect(await takeBackFence(database, claim, token)).toEqual({ token, rosterVersion: 0 });
  await stack.sql('update longwatch.pool set token = token + 1');
  expect(await takeBackFence(database, claim, token)).toBeUndefined();
});

test('one that the next shift has taken in time is left alone', async () => {
  await shift(300);
  await stack.sql('update longwatch.pool set token = token + 1');
  await shift(300, { pool: 1 });
  // By then it has looked at both.
  await goesOn();
  expect([...node.shifts].map(({ claim }) => claim.pool)).toEqual([1]);
  expect((await pool()).free).toBe(true);
}, 30_000);

test('one that was taken and handed back at once, for it was scheduled with another time-out, is kept on as well', async () => {
  await expect(shift(300, { attempt: 2, heartbeatTimeoutMs: 1_234 })).resolves.toMatchObject({ end: 'handed back' });
  await goesOn();
  expect(node.shifts.size).toBe(1);
}, 30_000);

test('one that PostgreSQL has refused for too long is kept on again', async () => {
  await shift(300);
  await goesOn();
  // As it is ended after its patience.
  for (const one of node.shifts) one.end('handed back');
  await eventually('it is free', async () => (await pool()).free);
  await goesOn();
}, 30_000);

test('a node that ends lets it go', async () => {
  await shift(300);
  await goesOn();
  node.drain();
  await eventually('it is free', async () => (await pool()).free);
}, 30_000);
