/** Starts the root workflow of a tracker. Called by `handle.ts`. Next: `workflows/tracker/tracker.ts`. */
import type { Client } from '@temporalio/client';
import { TASK_QUEUE } from '../../workflows/lib/contract';
import { trackerWorkflowId, type TrackerInput } from '../../workflows/tracker/contract';
import type { TrackerOptions } from '../../workflows/tracker/options';
import type { tracker as workflow } from '../../workflows/tracker/tracker';
import { temporalCommon } from '../temporal-client';

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
