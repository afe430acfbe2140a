/**
 * How Longwatch's workflows try their short activities again: for ever, at most ten seconds apart, but for errors that
 * stay (`errors.ts`). A change of these numbers changes the commands of running histories.
 */
import { NON_RETRYABLE } from './errors';

export const RETRY = { initialInterval: 100, maximumInterval: 10_000, nonRetryableErrorTypes: [...NON_RETRYABLE] };
