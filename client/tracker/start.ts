/** Starts the root workflow of a tracker. Called by `handle.ts`. Next: `workflows/tracker/tracker.ts`. */
import type { Client } from '@temporalio/client';
import { routeInUse } from '../../activities/tracker/route';
import { isInUse } from '../../activities/tracker/store/trackers';
import { TASK_QUEUE, type RunState } from '../../workflows/lib/contract';
import { trackerWorkflowId, type TrackerInput } from '../../workflows/tracker/contract';
import type { TrackerOptions } from '../../workflows/tracker/options';
import type { tracker as workflow } from '../../workflows/tracker/tracker';
import type { Connections } from '../connections';
import { RefusedError } from '../errors';
import { temporalCommon } from '../temporal-client';

/**
 * Refuses a start with another route where there are members: the root workflow would refuse it, which nobody hears.
 * @throws RefusedError
 */
export async function refuseOtherRoute(
  connections: Connections,
  tracker: string,
  stored: { state: RunState; options: TrackerOptions } | undefined,
  options: TrackerOptions | undefined,
): Promise<void> {
  if (stored?.state !== 'stopped' || !options || stored.options.route === options.route) return;
  if (await connections.transaction((db) => isInUse(db, tracker)))
    throw new RefusedError(routeInUse(tracker, stored.options.route));
}

/** @throws WorkflowExecutionAlreadyStartedError */
export function startRoot(client: Client, tracker: string, options: TrackerOptions | undefined): Promise<unknown> {
  const input: TrackerInput = { tracker, options };
  const { defineSearchAttributeKey, TypedSearchAttributes } = temporalCommon();
  const key = defineSearchAttributeKey('LongwatchTracker', 'KEYWORD');
  const operations = Object.entries(options?.operations ?? {}).map(([name, { everyMs }]) => `${name} (${everyMs} ms)`);
  return client.workflow.start<typeof workflow>('tracker', {
    workflowId: trackerWorkflowId(tracker),
    taskQueue: TASK_QUEUE,
    args: [input],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    workflowIdConflictPolicy: 'FAIL',
    staticSummary: `tracker ${tracker}`,
    staticDetails: `Root of the tracker **${tracker}**: its options, layout and state. ${operations.join(', ')}`,
    typedSearchAttributes: new TypedSearchAttributes([{ key, value: tracker }]),
  });
}
