/**
 * Takes back from PostgreSQL: which lane's next rows, where they go, and what of them is gone. `plan.ts`
 * asks when; `storage.ts` makes the calls; what was fetched is in a lane, for `next-batch.ts`.
 */
import type { FoundRows } from './activities';
import { batchSize, concurrencyOf } from './next-batch';
import type { LaneName, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

/** The lane whose next stored chunks should come back. */
export function wantsFetch(state: ShardState, nowMs: number): LaneName | undefined {
  const enough = batchSize(state) * (concurrencyOf(state) + 1);
  for (const name of ['front', 'back'] as const) {
    const { chunks, stored } = state[name];
    if (stored.entries === 0 || chunks.length >= SHARD_TUNABLES.fetchRows) continue;
    if (chunks.reduce((sum, chunk) => sum + chunk.count, 0) < enough) return name;
  }
  const room = state.back.chunks.length < SHARD_TUNABLES.backChunks;
  return room && state.laterDue !== null && state.laterDue <= nowMs ? 'later' : undefined;
}

/**
 * Fetched chunks take their turn.
 * @param to the last place that was asked for; rows that have been stored since are not among them
 */
export function endFetch(state: ShardState, lane: LaneName, found: FoundRows, to: number, nowMs: number): void {
  const { stored: behind } = state[lane];
  for (const chunk of found.chunks) {
    behind.entries -= chunk.count;
    behind.bytes -= chunk.bytes;
    state.rows[chunk.row] = chunk.count;
    if (lane === 'later') state.back.chunks.push({ ...chunk, at: undefined, since: 0 });
    else state[lane].chunks.push(chunk);
  }
  behind.from = found.next;
  const grew = behind.to > to;
  const seenAll = lane === 'later' ? found.laterDue === null : found.chunks.length < SHARD_TUNABLES.fetchRows;
  if (seenAll && !grew) lost(state, lane, nowMs);
  if (lane !== 'later') return;
  // The next fetch tells of entries that were put off meanwhile.
  const next = grew ? Math.min(found.laterDue ?? Infinity, nowMs) : found.laterDue;
  state.laterDue = behind.entries > 0 ? next : null;
}

/**
 * All rows of a lane have been seen: entries that are counted and were not among them are gone. They are dead, and each
 * has a letter.
 */
function lost(state: ShardState, lane: LaneName, nowMs: number): void {
  const behind = state[lane].stored;
  const gone = behind.entries;
  Object.assign(behind, { entries: 0, bytes: 0 });
  if (gone <= 0) {
    // More than was known of: they came from somewhere.
    state.counts.accepted -= gone;
    return;
  }
  const error = `${gone} stored entries (${lane}) are gone from PostgreSQL`;
  state.lastError = error;
  for (let left = gone; left > 0; left -= SHARD_TUNABLES.lostEntries) {
    const count = Math.min(left, SHARD_TUNABLES.lostEntries);
    const row = `gone.${state.nextEntry}`;
    state.burying.push({
      first: state.nextEntry,
      count,
      bytes: 0,
      row,
      from: 0,
      since: 0,
      errors: [{ at: nowMs, error }],
    });
    state.nextEntry += count;
  }
}
