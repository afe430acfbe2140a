/**
 * Keeps workflows from deciding upon half a task. The server hands a query to a worker with all events that there are,
 * also with those of a task that has been scheduled and has not begun, and the SDK hands these to the workflow at once,
 * with the time and the history's size of the task before. The decision is sent as the answer to the task that begins
 * later. A replay has the same events with that task's own time, decides otherwise, and the workflow is stuck from then
 * on. Anybody's query can come so: the Temporal UI's, a program's, that of `status`. So it is refused, and the workflow
 * is loaded again. Part of every bundle (`workers/own-workflows.ts`).
 */
import { workflowInfo, type ActivateInput, type WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { MINUTE, SECOND } from './lib/time';

export const HALF_TASK = 'the query came with a task that has not begun; the workflow is loaded again: ask once more';

export const interceptors: WorkflowInterceptorsFactory = () => {
  const refuseHalfTask = halfTasks();
  return {
    internals: [
      {
        activate(input, next) {
          refuseHalfTask(input.activation);
          next(input);
        },
      },
    ],
  };
};

type Activation = Pick<ActivateInput['activation'], 'timestamp' | 'historyLength' | 'isReplaying' | 'jobs'>;

/**
 * Compares what a workflow is handed with what it was handed before: each task begins with an event that has a time of
 * its own. If the server's clock has gone back, a workflow's time stands still until the clock has come to it again:
 * for a minute at most its tasks are refused and tried again, and past that nothing is, for no workflow may wait for
 * hours.
 * @param nowMs the real time
 * @returns throws if events came without the beginning of their task
 */
export function halfTasks(nowMs: () => number = () => workflowInfo().unsafe.now()): (activation: Activation) => void {
  let last: { time: string; events: number } | undefined;
  return ({ timestamp, historyLength, isReplaying, jobs }) => {
    // A query is answered from what is there; the history of a replay is of the past, and whole.
    if (jobs?.every((job) => job.queryWorkflow)) return;
    const time = `${timestamp?.seconds?.toString()}.${timestamp?.nanos}`;
    const events = historyLength ?? 0;
    const standsStill = !isReplaying && last?.time === time && events > last.events;
    if (standsStill && Number(timestamp?.seconds) * SECOND - nowMs() < MINUTE) throw new Error(HALF_TASK);
    last = { time, events };
  };
}
