/** The ends of a shift before it has begun, with a real node on the real PostgreSQL. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { keepPool } from '../../activities/tracker/shift/keep';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Node } from '../../activities/tracker/shift/node';
import { Database } from '../../activities/lib/database';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import type { TemporalLink } from '../../activities/lib/temporal';
import { heartbeatFor } from '../../activities/tracker/placement/heartbeat';
import { readOpening } from '../../activities/tracker/roster/layout';
import { defineTracker } from '../../exports';
import type { ShiftResult } from '../../workflows/tracker/contract';
import { Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });
const look = defineTracker({ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } });

let stack: Stack;
let database: Database;
let node: Node;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  const { options } = rowOf(look);
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify({ ...options, heartbeatTimeoutMs: 30_000, shiftMs: 120_000, historyEvents: 777 }),
  ]);
  node = new Node({
    row: { name: 'n', host: 'h', pid: 1, metricsUrl: null },
    database,
    values: database,
    trackers: [look],
    log,
    metrics: new NodeMetrics(),
    isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
    watchdog: undefined,
    nodeConcurrency: 100,
  });
  await node.start();
});
afterAll(async () => {
  await node.stop();
  await database.close();
  await stack.close();
});

function keep(attempt: number, shift: number, durationMs: number, heartbeatTimeoutMs = 5_000): Promise<ShiftResult> {
  const temporal = { isCurrent: () => Promise.resolve(true), reachable: () => Promise.resolve(true) };
  const environment = new MockActivityEnvironment({ attempt, heartbeatTimeoutMs });
  return environment.run(() =>
    keepPool(
      { node, database, temporal: temporal as unknown as TemporalLink, log },
      { tracker: 't', pool: 0, shift, durationMs },
    ),
  );
}

const OPTIONS = { heartbeatTimeoutMs: 30_000, shiftMs: 120_000, historyEvents: 777 };

test('a shift that is tried again with a heartbeat time-out that has been changed hands back and says which holds now', async () => {
  expect(await keep(2, 1, 60_000)).toMatchObject({ end: 'handed back', options: OPTIONS });
});

test('the first attempt keeps the pool, whatever was changed; its result says what holds now', async () => {
  expect(await keep(1, 2, 50)).toMatchObject({ end: 'elapsed', options: OPTIONS });
});

describe('in a cluster of 5,000 pools', () => {
  const wanted = { ...OPTIONS, heartbeatTimeoutMs: heartbeatFor(OPTIONS.heartbeatTimeoutMs, 5_000).timeoutMs };
  beforeAll(async () => {
    const { options } = rowOf(look);
    const big = (name: string, state: string) =>
      stack.sql(`insert into longwatch.tracker (name, options, pools, state) values ($1, $2, 4999, $3)`, [name, JSON.stringify(options), state]); // prettier-ignore
    await big('big', 'paused');
    // It has no shifts.
    await big('gone', 'stopped');
  });
  afterAll(() => stack.sql(`delete from longwatch.tracker where name <> 't'`));

  test('openings and results say the timeout at which all of them together do not beat too often', async () => {
    expect(wanted.heartbeatTimeoutMs).toBeGreaterThan(30_000);
    expect(await readOpening(database, 't', 0)).toMatchObject(wanted);
    expect(await keep(1, 3, 50)).toMatchObject({ end: 'elapsed', to: 'n', options: wanted });
  });

  test('a shift that is tried again is not handed back for a timeout that a cluster of another size gave', async () => {
    for (const [at, timeoutMs] of [30_000, 37_500, wanted.heartbeatTimeoutMs].entries()) {
      expect(await keep(2, 4 + at, 50, timeoutMs)).toMatchObject({ end: 'elapsed' });
    }
    expect(await keep(2, 9, 50, 31_000)).toMatchObject({ end: 'handed back', options: wanted });
  });

  test('with a label, it is said too', async () => {
    await stack.sql(
      `update longwatch.tracker set changes = '{"placement.on": "gpu"}', version = version + 1 where name = 't'`,
    );
    expect(await readOpening(database, 't', 0)).toMatchObject({ ...wanted, label: 'gpu', beginWithinMs: 60_000 });
    await stack.sql(`update longwatch.tracker set changes = '{}', version = version + 1 where name = 't'`);
    expect(await readOpening(database, 't', 0)).not.toHaveProperty('label');
  });
});
