/**
 * When Temporal tries a shift again that has failed: told with its error by `keep.ts`. An attempt that has lasted comes
 * again at once, however many there were before it; one that fails right away comes later each time.
 */
import { ApplicationFailure } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';

/** The last attempt was of use, and what ended it is new. Milliseconds. */
const LASTED_MS = 10_000;
const SOON_MS = 100;
const LATEST_MS = 10_000;

/** @param ranMs since the attempt began */
export function againAfterMs(attempt: number, ranMs: number): number {
  if (ranMs >= LASTED_MS) return SOON_MS;
  return Math.min(LATEST_MS, SOON_MS * 2 ** Math.min(attempt - 1, 10));
}

/** The same error with that time, unless it has one. */
export function failedAttempt(error: Error, attempt: number, ranMs: number): Error {
  if (error instanceof TemporalFailure && !(error instanceof ApplicationFailure)) return error;
  if (error instanceof ApplicationFailure && error.nextRetryDelay != null) return error;
  return ApplicationFailure.fromError(error, { nextRetryDelay: againAfterMs(attempt, ranMs) });
}
