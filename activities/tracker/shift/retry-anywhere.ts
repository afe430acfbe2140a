/**
 * A shift that came by its node's own queue has one attempt there: were its node to die, its pool's workflow would have
 * to schedule the next one, and that workflow may be cached on the node that died, or its task be swallowed by an open
 * poll of one that is frozen, for ten seconds each. So once the node has the pool, it asks Temporal to try this shift
 * again like any other: on the shared queue, without its workflow. Called by `keep.ts`.
 *
 * A server that does not know the request (it is a preview, of Temporal 1.28) changes nothing: then the workflow does
 * it, a little later.
 */
import { Context } from '@temporalio/activity';
import { errorMessage } from '../../../workflows/lib/text';
import { RETRY } from '../../../workflows/lib/retry';
import { nodeShiftQueue, poolWorkflowId, sharedShiftQueue } from '../../../workflows/tracker/contract';
import { labelOf, type TrackerOptions } from '../../../workflows/tracker/options';
import type { TemporalLink } from '../../lib/temporal';
import { BEGIN_WITHIN_MS } from './shift-options';
import type { PoolClaim } from '../store/fence';
import type { Logger } from 'pino';

/** Never rejects, and nobody waits for it. */
export async function retryAnywhere(
  temporal: Pick<TemporalLink, 'retryOn'>,
  { tracker, pool, runId, node }: PoolClaim,
  options: TrackerOptions,
  log: Logger,
): Promise<void> {
  const { taskQueue, activityId } = Context.current().info;
  if (taskQueue !== nodeShiftQueue(node)) return;
  try {
    const activity = { workflowId: poolWorkflowId(tracker, pool), runId, activityId };
    // Begun by nobody for so long, it is its workflow's business again.
    await temporal.retryOn(sharedShiftQueue(labelOf(options)), activity, RETRY, BEGIN_WITHIN_MS);
  } catch (error) {
    log.debug({ err: errorMessage(error) }, 'if its node dies, the shift comes back by its workflow');
  }
}
