/** Why an activity failed, as a workflow sees it. Called by the workflows of trackers, buffers and jobs. */
import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';
import type { ErrorType } from './errors';

/** True where an activity has failed with this type (`failure()` of `activities/lib/failures.ts`). */
export function isFailureOf(error: unknown, type: ErrorType): boolean {
  return error instanceof ActivityFailure && error.cause instanceof ApplicationFailure && error.cause.type === type;
}

/** True where no worker has taken the activity, or its next attempt, from its queue in time. */
export function neverStarted(error: unknown): boolean {
  return (
    error instanceof ActivityFailure &&
    error.cause instanceof TimeoutFailure &&
    error.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}

/** The error with which an activity has failed, without the shell that Temporal puts round it. */
export function causeOf(error: unknown): unknown {
  return error instanceof ActivityFailure && error.cause ? error.cause : error;
}
