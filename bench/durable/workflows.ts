/** The workflows of the `durable` scenario: the same activities as a durable activity and as a plain one. */
import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import { durable, saga } from 'longwatch/workflow';
import type { bareActivities, durableActivities } from './activities';

const { wait, pay, reserve, ship } = durable<typeof durableActivities>();
const bare = proxyActivities<ReturnType<typeof bareActivities>>({ startToCloseTimeout: '1 minute' });

/** One after the other and by turns, so that both see the same machine. */
export async function effects(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const of = `${workflowInfo().runId} ${i}`;
    await bare.bareWait(of);
    await wait(of);
  }
}

export async function order(id: string): Promise<void> {
  await saga(async (steps) => {
    await steps.step(pay, id);
    await steps.step(reserve, id);
    await steps.step(ship, id);
  });
}
