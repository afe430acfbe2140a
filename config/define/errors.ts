/**
 * Errors that a user's code throws to say more than 'it failed': the upstream asks to be left alone (`HoldError`), or
 * takes less at once (`TooLargeError`). Read by `activities/` (the shift, a batch, a durable call), which obeys them.
 */

/** For a hold that does not say how long, or says what cannot be. Milliseconds. */
export const DEFAULT_HOLD_MS = 15_000;
/** The longest hold, unless an operation's `maxHold` allows more. Milliseconds. */
export const MAX_HOLD_MS = 60 * 60 * 1_000;
/** No hold is longer, whatever an option says. */
export const LONGEST_HOLD_MS = 7 * 24 * 60 * 60 * 1_000;

/**
 * The one place that bounds how long something is held: a number of milliseconds from 0 to `maxMs`. A value that is not
 * a number, or is below zero, gives the default. Everything that reads a HoldError asks here, for the error may come
 * from another copy of this package, or look like one.
 */
export function boundedHold(afterMs: unknown, maxMs = MAX_HOLD_MS): number {
  const given = typeof afterMs === 'number' && afterMs >= 0 ? afterMs : DEFAULT_HOLD_MS;
  return Math.round(Math.min(given, Math.max(0, maxMs), LONGEST_HOLD_MS));
}

/**
 * The reach of a hold: this operation for this member, this operation for every member, every operation of the tracker.
 */
export type HoldScope = 'member' | 'operation' | 'tracker';

/** Marks a hold across copies of this package: a config that is loaded from its source may bring a second one. */
const HOLD = Symbol.for('longwatch.HoldError');

/**
 * The upstream asks to be left alone (429, 420, 503 with Retry-After): nothing of the scope runs until then, on any
 * node and after any restart; `longwatch hold list` shows it, `hold open` lifts it.
 * - `member`: this operation for this member (a bucket of its own, as ESI's per-character limiter).
 * - `operation`: this operation for every member (the default).
 * - `tracker`: every operation of the tracker (a limiter of the whole address).
 */
export class HoldError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    try {
      return typeof value === 'object' && value !== null && HOLD in value;
    } catch {
      // A proxy that does not say.
      return false;
    }
  }
  readonly [HOLD] = true;
  override readonly name = 'HoldError';
  readonly scope: HoldScope;
  /**
   * How long from now, milliseconds: from 0 to a week. The reader may have a shorter bound: an operation's `maxHold`.
   */
  readonly afterMs: number;
  constructor(message: string, options: { afterMs: number; scope?: HoldScope; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.afterMs = boundedHold(options.afterMs, LONGEST_HOLD_MS);
    this.scope = options.scope ?? 'operation';
  }
}

/**
 * Thrown by `run`, or given to it by an upstream: the batch is more than the upstream takes (413, 'range too wide'). It
 * is halved without using an attempt, and the size that works is remembered. A time-out counts as one.
 */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}
