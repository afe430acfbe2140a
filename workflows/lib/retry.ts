/**
 * How Longwatch's workflows try their short activities again: for ever, at most ten seconds apart, but for errors that
 * stay (`errors.ts`). A change of these numbers changes the commands of running histories.
 */
import { NON_RETRYABLE } from './errors';

export const RETRY = { initialInterval: 100, maximumInterval: 10_000, nonRetryableErrorTypes: [...NON_RETRYABLE] };

/** For activities whose caller tries again itself, with what is known by then: once more at once, for a lost worker. */
export const RETRY_ONCE = { maximumAttempts: 2, initialInterval: 100, nonRetryableErrorTypes: [...NON_RETRYABLE] };
