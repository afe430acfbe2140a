/**
 * Keeps what a shard knows of PostgreSQL being away: since when, when it is asked again, and what may go on without it.
 * Changed by what the shard's activities come to (`storage.ts`, `reports.ts`, `settle.ts`); read by `plan.ts`,
 * `next-batch.ts` and `bridge.ts`.
 */

import type { ShardState } from './state';

/**
 * From one question to the next while PostgreSQL is away, at first and at most; where it is there and refuses.
 * Milliseconds.
 */
const ASK_MS = 1_000;
const ASK_AT_MOST_MS = 5_000;
const REFUSED_AT_MOST_MS = 300_000;

/** PostgreSQL did not answer, or refused what it was given: the next question comes later than this one did. */
export function storeFailed(state: ShardState, nowMs: number, isOutage: boolean): void {
  // Once for all that failed together.
  if (!storeIsThere(state) && nowMs < state.outage!.untilMs) return;
  const failures = (state.outage?.failures ?? 0) + 1;
  const pause = Math.min(isOutage ? ASK_AT_MOST_MS : REFUSED_AT_MOST_MS, ASK_MS * 2 ** Math.min(20, failures - 1));
  state.outage = { failures, untilMs: nowMs + pause };
}

/** It answers: what it did not take may be said again. */
export function storeReached(state: ShardState): void {
  if (state.outage) state.outage.reached = true;
}

/** It took what it was given. */
export function storeAnswered(state: ShardState): void {
  delete state.outage;
}

/** PostgreSQL is not known to be away. */
export const storeIsThere = ({ outage }: ShardState): boolean => outage === undefined || outage.reached === true;

/** While PostgreSQL is away, what lies there may be overtaken; not where nothing runs, which would win nothing. */
export const mayOvertake = ({ options, paused, stopped }: ShardState): boolean =>
  !options.ordered && !paused && !stopped;
