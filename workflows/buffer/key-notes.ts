/**
 * How long PostgreSQL remembers the newest entry of each key: as long as an older one may still be met. Called by
 * `reports.ts`, whose report tells PostgreSQL.
 */
import { hasStored, LANES } from './queue';
import type { ShardState } from './state';

/**
 * Up to which number PostgreSQL may forget the newest entries of keys: no older one of them is met any more. Null:
 * none.
 */
export function keysToForget(state: ShardState): number | null {
  if (state.options.key === null || hasStored(state)) return null;
  const alive = [
    ...LANES.flatMap((lane) => state[lane].chunks),
    ...Object.values(state.running).flatMap(({ chunks }) => chunks),
  ];
  const oldest = alive.reduce((least, { first, ages }) => Math.min(least, first, ...(ages ?? [])), state.nextEntry);
  return oldest - 1;
}

/** They are forgotten. */
export function keysForgotten(state: ShardState, upTo: number | null): void {
  if (upTo !== null && state.noted !== undefined && state.noted <= upTo && !hasStored(state)) delete state.noted;
}
