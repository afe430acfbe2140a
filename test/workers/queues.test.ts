/** The task queues that a worker asks, on the real server: of which kind, and that it asks no other. */
import type { Client } from '@temporalio/client';
import { defineTracker } from '../../exports';
import { TASK_QUEUE } from '../../workflows/lib/contract';
import { nodeShiftQueue, sharedShiftQueue } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';

const config = {
  trackers: [defineTracker({ name: 't', operations: { look: { every: '1s', run: () => ({ value: 1 }) } } })],
};
/** Kinds of task queues, as Temporal numbers them. */
const KINDS = { workflows: 1, activities: 2 };

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

/** The workers that ask a queue for tasks of a kind. */
async function askers({ workflowService }: Client, queue: string, kind: keyof typeof KINDS): Promise<string[]> {
  const { pollers } = await workflowService.describeTaskQueue({
    namespace: stack.servers.namespace,
    taskQueue: { name: queue },
    taskQueueType: KINDS[kind],
  });
  return pollers.map(({ identity }) => identity!);
}

test('TR-M12: shifts have queues of their own beside that of all other work: the shared one, one for each label, one for the node', async () => {
  await stack.worker(config, { nodeName: 'n', labels: ['gpu', 'eu'] });
  const shifts = [sharedShiftQueue(), sharedShiftQueue('gpu'), sharedShiftQueue('eu'), nodeShiftQueue('n')];
  await withTemporal(stack.servers, async (client) => {
    const asked = (queue: string, kind: keyof typeof KINDS) =>
      eventually(`${queue} is asked for ${kind}`, async () => (await askers(client, queue, kind)).includes('n'));
    await asked(TASK_QUEUE, 'workflows');
    await asked(TASK_QUEUE, 'activities');
    for (const queue of shifts) {
      await asked(queue, 'activities');
      expect(await askers(client, queue, 'workflows')).toEqual([]);
    }
    expect(await askers(client, sharedShiftQueue('other'), 'activities')).toEqual([]);
  });
});
