/** A query that a worker gets with events of a task that has not begun: it may not lead to what no replay comes to. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection, QueryNotRegisteredError, type WorkflowHandle } from '@temporalio/client';
import { bundleWorkflowCode, NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import { WORKFLOW_INTERCEPTORS } from '../../workers/own-workflows';
import { installRuntime } from '../../workers/runtime';
import { HALF_TASK, halfTasks } from '../../workflows/interceptors';
import { Stack } from '../support/stack';
import type { busy, poked } from './half-task.workflow';

let stack: Stack;
let client: Client;
let connection: NativeConnection;
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  stack = await Stack.start();
  await installRuntime(stack.log);
  const { temporalAddress: address, namespace } = stack.servers;
  client = new Client({ connection: await Connection.connect({ address }), namespace });
  connection = await NativeConnection.connect({ address });
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: require.resolve('./half-task.workflow.ts'),
    workflowInterceptorModules: WORKFLOW_INTERCEPTORS,
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
  });
});
afterAll(async () => {
  await connection?.close();
  await client?.connection.close();
  await stack?.close();
});

/** Tasks at once of a worker. */
const PLACES = 2;

/** A worker for a while. */
async function whileWorking<T>(act: () => Promise<T>): Promise<T> {
  const { namespace } = stack.servers;
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: 'poked',
    workflowBundle,
    activities: { takeLong: () => delay(3_000) },
    // One of either comes after the other.
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    maxConcurrentWorkflowTaskExecutions: PLACES,
  });
  return worker.runUntil(act);
}

/** A workflow that waits to be poked. */
async function begun(): Promise<WorkflowHandle<typeof poked>> {
  const workflowId = randomUUID();
  const handle = await client.workflow.start<typeof poked>('poked', { taskQueue: 'poked', workflowId });
  await handle.query('pokes');
  return handle;
}

/**
 * Asks and pokes it while there is no worker, so that the one that comes next has both: either may be the first.
 * @returns whether the query was refused
 */
async function round(): Promise<boolean> {
  const handle = await whileWorking(begun);
  const asked = handle.query<number>('pokes').then(
    (count) => ({ count }),
    (error: unknown) => ({ error }),
  );
  await handle.signal('poke');
  const answer = await whileWorking(async () => {
    await handle.result();
    return asked;
  });
  await Worker.runReplayHistory({ workflowBundle }, await handle.fetchHistory(), handle.workflowId);
  expect((await handle.describe()).memo).toEqual({ whole: true });
  if ('count' in answer) return false;
  expect(answer.error).toBeInstanceOf(QueryNotRegisteredError);
  expect(String(answer.error)).toContain(HALF_TASK);
  return true;
}

test('a query that comes with events of a task that has not begun is refused, and the task is decided as a whole', async () => {
  while (!(await round()));
});

test('a worker that has refused many queries has all of its places for tasks', async () => {
  let refused = 0;
  while (refused <= PLACES) {
    const handles = await whileWorking(() => Promise.all(Array.from({ length: 10 }, begun)));
    const asked = handles.map((handle) => handle.query('pokes').catch(() => void refused++));
    await Promise.all(handles.map((handle) => handle.signal('poke')));
    await whileWorking(async () => {
      await Promise.all(handles.map((handle) => handle.result()));
      await Promise.all(asked);
    });
  }
});

test('tasks of other kinds are not refused: local activities that outlast a task, signals together, updates that are refused', async () => {
  const handle = await whileWorking(async () => {
    const started = await client.workflow.start<typeof busy>('busy', {
      taskQueue: 'poked',
      workflowId: randomUUID(),
      workflowTaskTimeout: '2s',
    });
    for (let pokesLeft = 5; pokesLeft > 0; pokesLeft -= 1) {
      await expect(started.executeUpdate('refused')).rejects.toThrow();
      await started.signal('poke');
    }
    await started.result();
    return started;
  });
  const history = await handle.fetchHistory();
  const refusals = history.events!.filter(({ workflowTaskFailedEventAttributes: failed }) =>
    failed?.failure?.message?.includes(HALF_TASK),
  );
  expect(refusals).toEqual([]);
  await Worker.runReplayHistory({ workflowBundle }, history, handle.workflowId);
});

describe('a task whose time is that of the task before', () => {
  type Activation = Parameters<ReturnType<typeof halfTasks>>[0];
  const NOW_S = 1_000_000;
  const task = (seconds: number, historyLength: number, more: Partial<Activation> = {}): Activation => ({
    timestamp: { seconds: seconds as never, nanos: 0 },
    historyLength,
    isReplaying: false,
    jobs: [{ signalWorkflow: {} }],
    ...more,
  });
  /** Hands it the tasks in their order. */
  const hand = (...tasks: Activation[]): void => {
    const refuseHalfTask = halfTasks(() => NOW_S * 1_000);
    for (const each of tasks) refuseHalfTask(each);
  };

  test('is refused, also if the clock has gone back by less than a minute', () => {
    expect(() => hand(task(NOW_S - 5, 3), task(NOW_S - 5, 6))).toThrow(HALF_TASK);
    expect(() => hand(task(NOW_S + 59, 3), task(NOW_S + 59, 6))).toThrow(HALF_TASK);
  });

  test('is taken if the clock of the server was set back by more: no workflow waits for hours', () => {
    hand(task(NOW_S + 60, 3), task(NOW_S + 60, 6), task(NOW_S + 60, 10));
  });

  test('is taken in a replay, as the rest of a task, and as a question', () => {
    hand(task(NOW_S, 3), task(NOW_S, 6, { isReplaying: true }));
    hand(task(NOW_S, 3), task(NOW_S, 3));
    hand(task(NOW_S, 3), task(NOW_S, 6, { jobs: [{ queryWorkflow: {} }] }), task(NOW_S + 1, 6));
  });
});
