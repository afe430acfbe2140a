/**
 * The status of a shard, as its node, PostgreSQL and everybody who asks are told it. Called by `shard.ts`; shown by
 * `longwatch status` and the metrics.
 */
import type { ShardStatus } from './contract';
import type { ShardState } from './state';
import { countsOf, inMemory, laneEntries, LANES } from './queue';
import { SHARD_TUNABLES } from './tunables';

export function shardStatus(state: ShardState, buffer: string, shard: number, nowMs: number): ShardStatus {
  const memory = inMemory(state);
  const stored = LANES.reduce((sum, lane) => sum + state[lane].stored.entries, 0);
  const byReference = Object.values(state.rows).reduce((sum, count) => sum + count, 0);
  return {
    buffer,
    shard,
    ...countsOf(state),
    state: state.stopped ? 'stopped' : state.paused ? 'paused' : state.holdUntil > nowMs ? 'held' : 'running',
    inMemory: memory.entries,
    stored: stored + byReference,
    putOff: laneEntries(state.later),
    bytes: memory.bytes,
    batches: Object.keys(state.running).length,
    spilling: isSpilling(state),
    shrunk: state.shrunk,
    atMinimum: memory.bytes <= SHARD_TUNABLES.minimumBytes,
    learnedSize: state.learned?.size ?? null,
    failuresInRow: state.failuresInRow,
    userState: state.userState,
    stateVersion: state.stateVersion,
    lastError: state.lastError,
    runs: state.runs,
  };
}

/** Whether new entries would go to PostgreSQL: senders may as well put them there themselves. */
export function isSpilling(state: ShardState): boolean {
  if (state.shrunk && inMemory(state).bytes > SHARD_TUNABLES.minimumBytes) return true;
  return LANES.some((lane) => state[lane].stored.entries > 0 || state[lane].overflow.some((chunk) => chunk.entries));
}

/**
 * The moment of the next report or store: it orders those of all runs and lives of the shard. A run that is reset has
 * the clock of its new tasks.
 */
export function nextReportMoment(state: ShardState, nowMs: number): number {
  return (state.told = Math.max(nowMs, (state.told ?? 0) + 1 / 1_024));
}
