/** Why an activity failed, as a workflow sees it. Called by `tracker/pool.ts` and `tracker/tracker.ts`. */
import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import type { ErrorType } from './errors';

/** True where an activity has failed with this type (`failure()` of `activities/lib/failures.ts`). */
export function isFailureOf(error: unknown, type: ErrorType): boolean {
  return error instanceof ActivityFailure && error.cause instanceof ApplicationFailure && error.cause.type === type;
}
