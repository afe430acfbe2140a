/**
 * Takes chunks back to memory from their way to PostgreSQL: while PostgreSQL is away, so that batches go on without it,
 * and after a store that failed. Called by `shard.ts` before each step, and by `spill.ts`.
 */
import { ageOf, noteKeys, survivors, without, type KeyIndex } from './keys';
import { mayOvertake, storeIsThere } from './outage';
import { checksKeys, inMemory, LANES, putInto } from './queue';
import type { Chunk, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

/**
 * While PostgreSQL is away what was on its way there stays in memory as far as there is room, so that batches go on
 * without it. It overtakes what lies there, where it may (`next-batch.ts`). The front is small, and what it has must
 * not keep the back waiting.
 */
export function bridge(state: ShardState, index: KeyIndex, prefix: string): void {
  // Nothing runs without PostgreSQL if keys must be looked up there.
  if (storeIsThere(state) || checksKeys(state)) return;
  const { bound } = state.options;
  const overtakes = mayOvertake(state);
  for (const lane of LANES) {
    const { stored, overflow, chunks } = state[lane];
    if (!overtakes && stored.entries > 0) continue;
    const isFull = (): boolean => lane !== 'front' && inMemory(state).bytes >= bound.bytes;
    const hasRoom = (): boolean =>
      lane === 'later'
        ? chunks.length < SHARD_TUNABLES.laterChunks && !isFull()
        : !isFull() || !chunks.some(isRunnable);
    for (let at = 0; at < overflow.length && hasRoom();) {
      const chunk = overflow[at]!;
      // One that was sent may be there all the same, and would be fetched with those that were before it.
      const mayBeThere = chunk.place !== undefined && (lane === 'later' || stored.entries > 0 || at > 0);
      if (!isRunnable(chunk) || mayBeThere) {
        if (!overtakes) break;
        at++;
        continue;
      }
      overflow.splice(at, 1);
      if (chunk.place !== undefined) state.forget.push(`${prefix}.${chunk.place}`);
      delete chunk.place;
      for (const rest of comesBack(state, index, chunk, prefix)) {
        putInto(state, lane, rest);
        noteKeys(index, rest);
      }
    }
  }
}

/** It is here, and not on its way out. */
const isRunnable = ({ entries, storing }: Chunk): boolean => entries !== undefined && !storing;

/**
 * Chunks come back to memory from the way out: not where a newer one of its key is on that way, or in memory; and an
 * older one does not go on there, where nobody would know of the newer one.
 */
export function comesBack(state: ShardState, index: KeyIndex, chunk: Chunk, prefix: string): Chunk[] {
  if (!chunk.keys || !chunk.entries) return [chunk];
  const newest = new Map<string, number>();
  const note = (other: Chunk): void =>
    other.keys?.forEach((key, i) => {
      if (key !== null) newest.set(key, Math.max(newest.get(key) ?? 0, ageOf(other, i)));
    });
  const isPassed =
    (other: Chunk) =>
    (i: number): boolean =>
      other.keys?.[i] != null && (newest.get(other.keys[i]) ?? 0) > ageOf(other, i);
  for (const lane of LANES) state[lane].overflow.forEach(note);
  const back = without(state, chunk, isPassed(chunk)).flatMap((run) => survivors(state, index, run));
  newest.clear();
  back.forEach(note);
  for (const lane of LANES) {
    if (!state[lane].overflow.some((other) => other.keys?.some((_, i) => isPassed(other)(i)))) continue;
    const rest = state[lane].overflow.flatMap((other) => {
      if (other.storing || !other.keys?.some((_, i) => isPassed(other)(i))) return [other];
      // It may be there under the number that it had.
      if (other.place !== undefined && other.entries) state.forget.push(`${prefix}.${other.place}`);
      delete other.place;
      return without(state, other, isPassed(other));
    });
    state[lane].overflow.splice(0, Infinity, ...rest);
  }
  return back;
}
