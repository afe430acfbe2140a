/** Why an activity failed, as a workflow sees it. Called by the workflows of trackers, buffers and jobs. */
import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import type { ErrorType } from './errors';

/** True where an activity has failed with this type (`failure()` of `activities/lib/failures.ts`). */
export function isFailureOf(error: unknown, type: ErrorType): boolean {
  return error instanceof ActivityFailure && error.cause instanceof ApplicationFailure && error.cause.type === type;
}

/** The error with which an activity has failed, without the shell that Temporal puts round it. */
export function causeOf(error: unknown): unknown {
  return error instanceof ActivityFailure && error.cause ? error.cause : error;
}
