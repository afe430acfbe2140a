/**
 * How Longwatch's workflows try their short activities again: for ever, at most ten seconds apart, but for errors that
 * stay (`errors.ts`). A change of these numbers changes the commands of running histories.
 */
import { NON_RETRYABLE } from './errors';

export const RETRY = { initialInterval: 100, maximumInterval: 10_000, nonRetryableErrorTypes: [...NON_RETRYABLE] };

/** For activities whose caller tries again itself, with what is known by then: once more at once, for a lost worker. */
export const RETRY_ONCE = { maximumAttempts: 2, initialInterval: 100, nonRetryableErrorTypes: [...NON_RETRYABLE] };

/**
 * A shift is tried again at once. Its attempts count from its beginning, which may be half a day ago: with waits that
 * grow, the ids of a pool would wait the longer the more of its nodes have died since. One that fails says itself when
 * to try again (`activities/tracker/shift/failed-attempt.ts`).
 */
export const RETRY_SHIFT = {
  initialInterval: 100,
  backoffCoefficient: 1,
  maximumInterval: 10_000,
  nonRetryableErrorTypes: [...NON_RETRYABLE],
};
