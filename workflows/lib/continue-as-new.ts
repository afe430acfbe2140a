/**
 * The one way in which every workflow continues as new. A message that a handler has not taken in would be lost, so it
 * waits until all handlers have finished, looks once more whether the caller still may go, and then leaves with no
 * await in between. Called by the workflows of all rooms.
 */
import { allHandlersFinished, condition, workflowInfo } from '@temporalio/workflow';

/**
 * Runs `leave` (which must call `continueAsNew` synchronously) once all handlers have finished and `mayLeave` holds.
 * Returns false, without leaving, when `mayLeave` does not hold by then.
 */
export async function leaveWhenQuiet(mayLeave: () => boolean, leave: () => Promise<never>): Promise<boolean> {
  await condition(allHandlersFinished);
  if (!mayLeave() || !allHandlersFinished()) return false;
  return leave();
}

/** True when this run's history is past `events`, or the server suggests to continue as new. */
export function historyFull(events: number): boolean {
  const info = workflowInfo();
  return info.continueAsNewSuggested || info.historyLength >= events;
}
