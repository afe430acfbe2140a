/** Starts the root workflow of a tracker. Called by `handle.ts`. */
import { trackerWorkflowId, type TrackerInput } from '../../workflows/tracker/contract';
import type { TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import { temporalCommon } from '../temporal-client';
import { TASK_QUEUE } from '../../workflows/lib/contract';

/** Starts the root workflow; false when it runs already. */
export async function startRoot(
  connections: Connections,
  tracker: string,
  options: TrackerOptions | undefined,
): Promise<boolean> {
  const input: TrackerInput = { tracker, options };
  const { defineSearchAttributeKey, TypedSearchAttributes } = temporalCommon();
  const key = defineSearchAttributeKey('LongwatchTracker', 'KEYWORD');
  const operations = Object.entries(options?.operations ?? {}).map(([name, { everyMs }]) => `${name} (${everyMs} ms)`);
  try {
    await connections.temporal((client) =>
      client.workflow.start('tracker', {
        workflowId: trackerWorkflowId(tracker),
        taskQueue: TASK_QUEUE,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: `tracker ${tracker}`,
        staticDetails: `Root of the tracker **${tracker}**: its options, layout and state. ${operations.join(', ')}`,
        typedSearchAttributes: new TypedSearchAttributes([{ key, value: tracker }]),
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof temporalCommon().WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}
