/**
 * A shift that came by its node's own queue has one attempt there: were its node to die, its pool's workflow would have
 * to schedule the next one, and that workflow may be cached on the node that died, or its task be swallowed by an open
 * poll of one that is frozen, for ten seconds each. So once the node has the pool, it asks Temporal to try this shift
 * again like any other: on the shared queue, without its workflow. Called by `keep.ts`.
 *
 * The request may be repeated as often as one likes, so one whose answer is lost is. A server that does not know it (it
 * is a preview, of Temporal 1.28) changes nothing: then the workflow does it, a little later.
 */
import { Context } from '@temporalio/activity';
import { errorMessage } from '../../../workflows/lib/text';
import { RETRY_SHIFT } from '../../../workflows/lib/retry';
import { nodeShiftQueue, poolWorkflowId, sharedShiftQueue } from '../../../workflows/tracker/contract';
import { labelOf, type TrackerOptions } from '../../../workflows/tracker/options';
import { sleep } from '../../lib/sleep';
import { isRefused, type TemporalLink } from '../../lib/temporal';
import { BEGIN_WITHIN_MS } from './shift-options';
import type { PoolClaim } from '../store/fence';
import type { Logger } from 'pino';

/** After a request that was not answered the next one comes this much later, and then twice as much. Milliseconds. */
const AGAIN_MS = 500;
const LATEST_AGAIN_MS = 30_000;

/**
 * Never rejects, and nobody waits for it.
 * @param over the shift has ended: it is not tried again in any case
 */
export async function retryAnywhere(
  temporal: Pick<TemporalLink, 'retryOn'>,
  { tracker, pool, runId, node }: PoolClaim,
  options: TrackerOptions,
  log: Logger,
  over: AbortSignal,
): Promise<void> {
  const { taskQueue, activityId } = Context.current().info;
  if (taskQueue !== nodeShiftQueue(node)) return;
  const activity = { workflowId: poolWorkflowId(tracker, pool), runId, activityId };
  const to = sharedShiftQueue(labelOf(options));
  for (let againMs = AGAIN_MS; !over.aborted; againMs = Math.min(2 * againMs, LATEST_AGAIN_MS)) {
    try {
      // Begun by nobody for so long, it is its workflow's business again.
      return await temporal.retryOn(to, activity, RETRY_SHIFT, BEGIN_WITHIN_MS);
    } catch (error) {
      const isRefusal = isRefused(error);
      const means = isRefusal ? 'if its node dies, the shift comes back by its workflow' : 'it is asked for again';
      log.debug({ err: errorMessage(error) }, `Temporal does not try the shift again on another queue; ${means}`);
      if (isRefusal) return;
      await sleep(againMs, { ref: false });
    }
  }
}
