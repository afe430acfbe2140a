/**
 * The pool's workflow on a real server, with activities of the test's own: what no timing of real ones brings about for
 * sure.
 */
import { CompleteAsyncError, Context } from '@temporalio/activity';
import {
  addSignal,
  poolWorkflowId,
  wakeSignal,
  type RosterApplied,
  type RosterChange,
  type ShiftInput,
  type ShiftResult,
} from '../../workflows/tracker/contract';
import { eventually } from '../support/stack';
import { OPENING as USUAL, POOL_QUEUE as TASK_QUEUE, PoolStack } from './pool-kit';

const OPENING = { ...USUAL, historyEvents: 10 };

let stack: PoolStack;
beforeAll(async () => {
  stack = await PoolStack.start();
});
// One worker at a time on the queue.
afterEach(() => stack.endWorkers());
afterAll(() => stack?.close());

const startWorker = (activities: object): Promise<() => Promise<void>> => stack.worker(activities);

test('a signal in the very task in which a full history may be left behind does not leave the pool waiting for ever', async () => {
  const { client } = stack;
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

test.each([
  ['asks its root to grow when a pool that it has written to is too full', 501, true],
  ['does not ask while all of them have room', 500, false],
])('of a tracker with a route, a pool %s', async (_what, fullest, asks) => {
  const { client } = stack;
  const tracker = `routed-${fullest}`;
  let applied = 0;
  const stop = await startWorker({
    openPool: () => USUAL,
    shift: () => Context.current().cancelled,
    applyRoster: ({ changes }: { changes: RosterChange[] }): RosterApplied => {
      applied += changes.length;
      return { added: changes.length, removed: 0, poolMembers: 0, poolSize: 500, fullest };
    },
  });
  const handle = await client.workflow.start('pool', {
    workflowId: poolWorkflowId(tracker, 0),
    taskQueue: TASK_QUEUE,
    args: [{ tracker, pool: 0 }],
  });
  const asked = async (): Promise<number> => {
    const { events } = await handle.fetchHistory();
    return events!.filter((event) => event.signalExternalWorkflowExecutionInitiatedEventAttributes).length;
  };
  for (let n = 0; n < 2; n++) {
    await handle.signal(addSignal, { ids: [`id-${n}`], stamp: n + 1 });
    await eventually('it is applied', () => applied > n);
  }
  if (asks) await eventually('it asks', async () => (await asked()) > 0);
  await handle.cancel();
  await expect(handle.result()).rejects.toBeDefined();
  expect((await asked()) > 0).toBe(asks);
  await stop();
});

describe('a pool that is cancelled', () => {
  const id = (n: number) => `id-${n}`;

  test.each([
    ['has written all of it', 0],
    ['and PostgreSQL does not take it at first, has written all of it too', 2],
  ])('applies what it had accepted before it ends, %s', async (_what, failures) => {
    const { client } = stack;
    const tracker = `cancelled-${failures}`;
    const workflowId = poolWorkflowId(tracker, 0);
    const applied: string[] = [];
    let failing = failures;
    const stop = await startWorker({
      openPool: () => OPENING,
      shift: () => Context.current().cancelled,
      applyRoster: ({ changes }: { changes: RosterChange[] }): RosterApplied => {
        if (applied.length >= 4 && failing-- > 0) throw new Error('not now');
        applied.push(...changes.map((change) => change.id));
        return { added: changes.length, removed: 0, poolMembers: 1, poolSize: 500 };
      },
    });
    const handle = await client.workflow.start('pool', {
      workflowId,
      taskQueue: TASK_QUEUE,
      args: [{ tracker, pool: 0 }],
    });
    // More than are applied at once, so that some wait for their time when it is cancelled.
    for (let n = 0; n < 4; n++) {
      await handle.signal(addSignal, { ids: [id(n)], stamp: n + 1 });
      await eventually('it is applied', () => applied.length > n);
    }
    for (let n = 4; n < 12; n++) await handle.signal(addSignal, { ids: [id(n)], stamp: n + 1 });
    await handle.cancel();
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    expect([...new Set(applied)].sort()).toEqual(Array.from({ length: 12 }, (_, n) => id(n)).sort());
    await stop();
  });

  test('while it opens applies what came before it had', async () => {
    const { client } = stack;
    const workflowId = poolWorkflowId('opening', 0);
    const applied: string[] = [];
    let opening = false;
    const stop = await startWorker({
      openPool: async () => {
        opening = true;
        await Context.current().cancelled.catch(() => undefined);
        throw new Error('cannot be opened');
      },
      applyRoster: ({ changes }: { changes: RosterChange[] }): RosterApplied => {
        applied.push(...changes.map((change) => change.id));
        return { added: changes.length, removed: 0, poolMembers: 1, poolSize: 500 };
      },
    });
    const handle = await client.workflow.signalWithStart('pool', {
      workflowId,
      taskQueue: TASK_QUEUE,
      args: [{ tracker: 'opening', pool: 0 }],
      signal: addSignal,
      signalArgs: [{ ids: ['early'], stamp: 1 }],
    });
    await eventually('it opens', () => opening);
    await handle.cancel();
    await expect(handle.result()).rejects.toBeDefined();
    expect(applied).toEqual(['early']);
    await stop();
  });
});

test('options that a shift has followed hold for the next one: how long it lasts, its heartbeats, and when the history is full', async () => {
  const { client } = stack;
  const workflowId = poolWorkflowId('reconfigured', 0);
  const seen: { durationMs: number; heartbeatTimeoutMs: number | undefined }[] = [];
  let opened = 0;
  const stop = await startWorker({
    openPool: () => {
      opened += 1;
      return { ...OPENING, shiftMs: 1_000_000, historyEvents: 1_000 };
    },
    shift: async ({ durationMs }: ShiftInput): Promise<ShiftResult> => {
      const { info } = Context.current();
      seen.push({ durationMs, heartbeatTimeoutMs: info.heartbeatTimeoutMs });
      if (seen.length > 2 && opened === 1) await Context.current().cancelled.catch(() => undefined);
      const options = { shiftMs: 100_000, heartbeatTimeoutMs: 30_000, historyEvents: seen.length > 1 ? 10 : 1_000 };
      return { end: 'elapsed', node: 'n', members: 1, ranMs: 1, fetched: 0, failed: 0, skipped: 0, options };
    },
  });
  await client.workflow.start('pool', {
    workflowId,
    taskQueue: TASK_QUEUE,
    args: [{ tracker: 'reconfigured', pool: 0 }],
  });
  await eventually('it has continued as new by the number that came last', () => opened > 1);
  await client.workflow.getHandle(workflowId).terminate();
  expect(seen[0]!.heartbeatTimeoutMs).toBe(5_000);
  expect(seen[1]!.heartbeatTimeoutMs).toBe(30_000);
  expect(seen[1]!.durationMs).toBeLessThanOrEqual(120_000);
  await stop();
});
