/**
 * Keeps what a shard knows of PostgreSQL being away: since when, when it is asked again, and what may go on without it.
 * Changed by what the shard's activities come to (`storage.ts`, `reports.ts`, `settle.ts`); read by `plan.ts`,
 * `next-batch.ts` and `bridge.ts`.
 */

import type { ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

/** PostgreSQL did not answer, or refused what it was given: the next question comes later than this one did. */
export function storeFailed(state: ShardState, nowMs: number, isOutage: boolean): void {
  // Once for all that failed together.
  if (!storeIsThere(state) && nowMs < state.outage!.untilMs) return;
  const failures = (state.outage?.failures ?? 0) + 1;
  const pause = Math.min(
    isOutage ? SHARD_TUNABLES.askAtMostMs : SHARD_TUNABLES.refusedAtMostMs,
    SHARD_TUNABLES.askMs * 2 ** Math.min(20, failures - 1),
  );
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
