/**
 * Decides, for durable activities, what is tried again, and when: the one place that does. Pure. Called by
 * `execute.ts`, which lets the database count the attempts and Temporal do the waiting.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { RetryPolicy } from '../../workflows/durable/contract';
import { NON_RETRYABLE, type ErrorType } from '../../workflows/lib/errors';
import { boundedHold, HoldError } from '../../config/define/errors';

/** Nobody waits for the upstream's other users here, so it may be longer than where a whole operation stands still. */
const LONGEST_HOLD_MS = 24 * 3_600_000;

export type Decision = { retry: false; why: 'not retryable' | 'no attempts left' } | { retry: true; afterMs: number };

/** @param used attempts used, this one included. */
export function decide(error: unknown, used: number, policy: RetryPolicy, random = Math.random): Decision {
  if (!isRetryable(error)) return { retry: false, why: 'not retryable' };
  if (used >= policy.attempts) return { retry: false, why: 'no attempts left' };
  // The upstream knows better than a formula.
  if (error instanceof HoldError) return { retry: true, afterMs: boundedHold(error.afterMs, LONGEST_HOLD_MS) };
  return { retry: true, afterMs: backoffMs(used, policy, random) };
}

/** The wait after attempt `used`: never above the cap, and with jitter somewhere in its upper half. */
export function backoffMs(used: number, policy: RetryPolicy, random = Math.random): number {
  const grown = policy.backoff === 'exponential' ? policy.baseMs * 2 ** Math.max(0, used - 1) : policy.baseMs;
  const wait = Math.min(grown, policy.capMs);
  return Math.round(policy.jitter ? wait * (1 - random() / 2) : wait);
}

/** An error says that trying again is of no use by `retryable: false`, or as Temporal's non-retryable failure. */
function isRetryable(error: unknown): boolean {
  if (error instanceof CancelledFailure) return false;
  if (error instanceof ApplicationFailure) {
    return !error.nonRetryable && !NON_RETRYABLE.includes(error.type as ErrorType);
  }
  return (error as { retryable?: unknown } | null | undefined)?.retryable !== false;
}
