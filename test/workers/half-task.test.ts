/** A query that a worker gets with events of a task that has not begun: it may not lead to what no replay comes to. */
import { randomUUID } from 'node:crypto';
import { Client, Connection, QueryNotRegisteredError } from '@temporalio/client';
import { bundleWorkflowCode, NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import { WORKFLOW_INTERCEPTORS } from '../../workers/own-workflows';
import { installRuntime } from '../../workers/runtime';
import { HALF_TASK } from '../../workflows/interceptors';
import { Stack } from '../support/stack';
import type { poked } from './half-task.workflow';

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

/** A worker for a while. */
async function whileWorking<T>(act: () => Promise<T>): Promise<T> {
  const { namespace } = stack.servers;
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: 'poked',
    workflowBundle,
    // One of either comes after the other.
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    maxConcurrentWorkflowTaskExecutions: 2,
  });
  return worker.runUntil(act);
}

/**
 * Asks and pokes it while there is no worker, so that the one that comes next has both: either may be the first.
 * @returns whether the query was refused
 */
async function round(): Promise<boolean> {
  const handle = await whileWorking(async () => {
    const workflowId = randomUUID();
    const started = await client.workflow.start<typeof poked>('poked', { taskQueue: 'poked', workflowId });
    await started.query('pokes');
    return started;
  });
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
