/**
 * Anything that is broken by hand mends itself: forced crashes and quarantine, a pool's workflow that is terminated,
 * reset or started anew in the Temporal UI, a root that is terminated. Members are the same afterwards, and every one
 * is fetched.
 */
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { patrol } from '../../activities/patrol';
import { Database } from '../../activities/lib/database';
import { TemporalLink } from '../../activities/lib/temporal';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import { poolWorkflowId, trackerWorkflowId } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { TASK_QUEUE } from '../../workflows/lib/contract';

const runs = new Map<string, number>();
const config = defineConfig({
  trackers: ['crashing', 'terminated', 'reset', 'anew', 'root-reset'].map((name) =>
    defineTracker({
      name,
      heartbeatTimeout: '2s',
      flush: '100ms',
      operations: {
        look: {
          every: '200ms',
          run: ({ id }) => {
            runs.set(`${name}/${id}`, (runs.get(`${name}/${id}`) ?? 0) + 1);
            return { value: id };
          },
        },
      },
    }),
  ),
});
const IDS = Array.from({ length: 20 }, (_, i) => `id-${i}`);

let stack: Stack;
let longwatch: Longwatch;
let connection: Connection;
let temporal: Client;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  temporal = new Client({ connection, namespace: stack.servers.namespace });
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database?.close();
  await connection?.close();
  await stack?.close();
});

async function started(name: string): Promise<TrackerHandle> {
  const tracker = longwatch.tracker(name);
  await tracker.start(resolveConfig(config).trackers.find((one) => one.name === name)!.options);
  await tracker.add(IDS, { wait: true });
  await everybodyRuns(name, IDS);
  return tracker;
}

async function everybodyRuns(name: string, ids: string[]): Promise<void> {
  for (const id of ids) runs.delete(`${name}/${id}`);
  await eventually(`all of ${name} are fetched`, () => ids.every((id) => (runs.get(`${name}/${id}`) ?? 0) > 1));
}

const poolRow = async (name: string) =>
  (
    await stack.sql<{ token: number; run_id: string; quarantined: boolean; crashes: number }>(
      `select token::int, run_id, quarantined_at is not null as quarantined, crashes
       from longwatch.pool where tracker = $1 and pool = 0`,
      [name],
    )
  )[0]!;

/** Forces a crash and waits until it has been noted, or someone else has the pool. */
async function crash(tracker: TrackerHandle): Promise<void> {
  const { token } = await eventually('it is kept', async () => {
    const [pool] = await tracker.pools();
    return pool!.onShift ? poolRow(tracker.name) : undefined;
  });
  await tracker.crash(0);
  await eventually('it has crashed', async () => {
    const now = await poolRow(tracker.name);
    return now.token > token || now.quarantined;
  });
}

test('a forced crash restarts the pool with all of its members, also those added later', async () => {
  const tracker = await started('crashing');
  await tracker.add(['later'], { wait: true });
  await crash(tracker);
  await everybodyRuns('crashing', [...IDS, 'later']);
});

test('three crashes in a row put a pool in quarantine; resume releases it with all of its members', async () => {
  const tracker = longwatch.tracker('crashing');
  // One whose node stood still just then begins anew without having crashed.
  for (let i = 0; i < 10 && !(await poolRow('crashing')).quarantined; i++) await crash(tracker);
  expect(await poolRow('crashing')).toMatchObject({ quarantined: true, crashes: 3 });
  const [pool] = await tracker.pools();
  expect(pool).toMatchObject({ onShift: false, lastError: 'pool 0 was made to crash' });
  // Adds are still taken, and nothing of the pool runs.
  await tracker.add(['in-quarantine'], { wait: true });
  expect(runs.get('crashing/in-quarantine')).toBeUndefined();
  const { state } = await temporal.workflow.getHandle(poolWorkflowId('crashing', 0)).query<{ state: string }>('status');
  expect(state).toBe('quarantined');

  await tracker.resume();
  await everybodyRuns('crashing', [...IDS, 'later', 'in-quarantine']);
  expect((await poolRow('crashing')).quarantined).toBe(false);
});

test('a pool whose workflow is terminated goes on; its orphaned shift wakes a successor, which fences it', async () => {
  await started('terminated');
  const before = await poolRow('terminated');
  await temporal.workflow.getHandle(poolWorkflowId('terminated', 0)).terminate('by hand');
  await eventually('another run has the pool', async () => {
    const now = await poolRow('terminated');
    return now.run_id !== before.run_id && now.token > before.token;
  });
  await everybodyRuns('terminated', IDS);
  await longwatch.tracker('terminated').add(['after'], { wait: true });
  await everybodyRuns('terminated', [...IDS, 'after']);
});

test('pool and root that are both gone are found by the patrol', async () => {
  const tracker = longwatch.tracker('terminated');
  await temporal.workflow.getHandle(trackerWorkflowId('terminated')).terminate('by hand');
  await temporal.workflow.getHandle(poolWorkflowId('terminated', 0)).terminate('by hand');
  const link = new TemporalLink(temporal);
  await eventually('the patrol has started both', async () => {
    await patrol(database, link, pino({ level: 'silent' }));
    const running = await link.runningWorkflows();
    return running.has(trackerWorkflowId('terminated')) && running.has(poolWorkflowId('terminated', 0));
  });
  await tracker.set({ 'operations.look.every': '100ms' });
  expect((await tracker.options()).operations.look!.everyMs).toBe(100);
  await everybodyRuns('terminated', [...IDS, 'after']);
});

test('a root that is reset to before its last commands knows what the tracker has become, and takes the next one', async () => {
  const tracker = await started('root-reset');
  await tracker.pause();
  await tracker.set({ 'operations.look.every': '300ms' });
  const workflowId = trackerWorkflowId('root-reset');
  const handle = temporal.workflow.getHandle(workflowId);
  const { events } = await handle.fetchHistory();
  const update = events!.findIndex((event) => event.workflowExecutionUpdateAcceptedEventAttributes != null);
  const before = events!.slice(0, update).filter((event) => event.workflowTaskCompletedEventAttributes != null);
  await connection.workflowService.resetWorkflowExecution({
    namespace: stack.servers.namespace,
    workflowExecution: { workflowId, runId: (await handle.describe()).runId },
    reason: 'by hand',
    workflowTaskFinishEventId: before.at(-2)!.eventId,
    requestId: 'root-reset-by-hand',
    resetReapplyType: 2,
  });
  expect(await tracker.resume()).toEqual({ state: 'running', changed: true });
  expect((await tracker.options()).operations.look!.everyMs).toBe(300);
  expect((await tracker.pause()).changed).toBe(true);
  const [row] = await stack.sql<{ state: string }>(`select state from longwatch.tracker where name = 'root-reset'`);
  expect(row).toEqual({ state: 'paused' });
});

test('a pool that is reset to an earlier point goes on with its members, and takes changes', async () => {
  const tracker = await started('reset');
  await tracker.remove(['id-0'], { wait: true });
  const before = await poolRow('reset');
  const workflowId = poolWorkflowId('reset', 0);
  const handle = temporal.workflow.getHandle(workflowId);
  const { events } = await handle.fetchHistory();
  const firstTask = events!.find((event) => event.workflowTaskCompletedEventAttributes != null)!;
  await connection.workflowService.resetWorkflowExecution({
    namespace: stack.servers.namespace,
    workflowExecution: { workflowId, runId: (await handle.describe()).runId },
    reason: 'by hand',
    workflowTaskFinishEventId: firstTask.eventId,
    requestId: 'reset-by-hand',
  });
  await eventually('the new run has the pool', async () => {
    const now = await poolRow('reset');
    return now.run_id !== before.run_id && now.token > before.token;
  });
  await tracker.add(['after-reset'], { wait: true });
  await everybodyRuns('reset', [...IDS.slice(1), 'after-reset']);
  const ids: string[] = [];
  for await (const { id } of tracker.list()) ids.push(id);
  // The signals of before the reset came again; their stamps were older.
  expect(ids.sort()).toEqual([...IDS.slice(1), 'after-reset'].sort());
});

test('a pool that is started anew in its place goes on with its members', async () => {
  await started('anew');
  const before = await poolRow('anew');
  await temporal.workflow.start('pool', {
    workflowId: poolWorkflowId('anew', 0),
    taskQueue: TASK_QUEUE,
    args: [{ tracker: 'anew', pool: 0 }],
    workflowIdConflictPolicy: 'TERMINATE_EXISTING',
  });
  await eventually('the new run has the pool', async () => {
    const now = await poolRow('anew');
    return now.run_id !== before.run_id && now.token > before.token;
  });
  await everybodyRuns('anew', IDS);
});
