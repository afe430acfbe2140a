/** The pool's workflow on a real server, with activities of the test's own: what no timing of real ones brings about for sure. */
import { CompleteAsyncError, Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import { poolWorkflowId, wakeSignal, type PoolOpening } from '../../workflows/tracker/contract';
import { installRuntime } from '../../workers/runtime';
import { eventually, Stack } from '../support/stack';

const TASK_QUEUE = 'pool-test';
const OPENING: PoolOpening = {
  state: 'running',
  members: 1,
  pools: 1,
  poolSize: 500,
  shiftMs: 60_000,
  heartbeatTimeoutMs: 5_000,
  historyEvents: 10,
};

let stack: Stack;
let connection: Connection;
let native: NativeConnection;
let workflowBundle: WorkflowBundle | { codePath: string };

beforeAll(async () => {
  stack = await Stack.start();
  await installRuntime(stack.log);
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  native = await NativeConnection.connect({ address: stack.servers.temporalAddress });
  workflowBundle = process.env.LONGWATCH_TEST_BUNDLE
    ? { codePath: process.env.LONGWATCH_TEST_BUNDLE }
    : await bundleWorkflowCode({ workflowsPath: require.resolve('../../workflows/index.ts') });
});
afterAll(async () => {
  for (const stop of stops) await stop();
  await native?.close();
  await connection?.close();
  await stack?.close();
});

const stops: (() => Promise<void>)[] = [];

async function startWorker(activities: object): Promise<() => Promise<void>> {
  const worker = await Worker.create({ connection: native, taskQueue: TASK_QUEUE, workflowBundle, activities });
  const ended = worker.run();
  const stop = async (): Promise<void> => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await ended;
  };
  stops.push(stop);
  return stop;
}

test('a signal in the very task in which a full history may be left behind does not leave the pool waiting for ever', async () => {
  const client = new Client({ connection });
  const workflowId = poolWorkflowId('held', 0);

  // The first opening is answered by hand, while no worker looks.
  let opening: Uint8Array | undefined;
  const stopFirst = await startWorker({
    openPool: () => {
      opening = Context.current().info.taskToken;
      throw new CompleteAsyncError();
    },
  });
  const handle = await client.workflow.start('pool', {
    workflowId,
    taskQueue: TASK_QUEUE,
    args: [{ tracker: 'held', pool: 0 }],
  });
  await eventually('it opens', () => opening !== undefined);
  await stopFirst();

  // So the signals, which fill the history, and the answer are seen in one task.
  for (let i = 0; i < 6; i++) await handle.signal(wakeSignal, {});
  await client.activity.complete(opening!, OPENING);

  let shifts = 0;
  await startWorker({
    openPool: () => ({ ...OPENING, historyEvents: 1_000 }),
    shift: () => {
      shifts += 1;
      return Context.current().cancelled;
    },
  });
  await eventually('it has continued as new, and a shift runs', () => shifts > 0);
  await client.workflow.getHandle(workflowId).terminate();
});
