/**
 * Runs one compensation that had failed for good, once an operator has mended what was in its way. Started by
 * `longwatch saga retry` (`client/durable/handle.ts`).
 */
import type { CompensationRetry } from './contract';
import { durableActivity } from './proxy';

export async function compensation({ activity, taskQueue, input }: CompensationRetry): Promise<unknown> {
  return durableActivity(activity, { taskQueue })(input);
}
