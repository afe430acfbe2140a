/** An order: paid, reserved and shipped, or none of it. */
import { durable, saga } from 'longwatch/workflow';
import type * as activities from './activities';
import type { Order } from './activities';

const { pay, reserve, ship } = durable<typeof activities>({ heartbeatTimeout: '2s' });

export async function order(input: Order): Promise<{ parcel: number }> {
  return saga(async (steps) => {
    await steps.step(pay, input);
    await steps.step(reserve, input);
    return steps.step(ship, input, { uncertain: true });
  });
}
