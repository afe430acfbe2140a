/**
 * Entries that are dead: which are buried next, and what becomes of those that an operator takes out again. `plan.ts`
 * asks when; `storage.ts` makes the calls.
 */
import { jsonBytes } from '../lib/size';
import type { DeadPage } from './activities';
import { weightOf } from './carry';
import { admit } from './intake';
import { isPassed, keepable, type KeyIndex } from './keys';
import { pieceOf, settleRow } from './queue';
import type { Chunk, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

/** The next dead letters to be buried, and what the command weighs. */
export function beginBury(state: ShardState): { chunks: Chunk[]; bytes: number } {
  const chunks: Chunk[] = [];
  let bytes = 0;
  let entries = 0;
  const [first] = state.burying;
  if (first && first.count > SHARD_TUNABLES.buryEntries) {
    const rest = pieceOf(first, SHARD_TUNABLES.buryEntries, first.count - SHARD_TUNABLES.buryEntries);
    state.burying.splice(0, 1, pieceOf(first, 0, SHARD_TUNABLES.buryEntries), rest);
  }
  for (const chunk of state.burying) {
    const weight = weightOf(chunk);
    const many =
      chunks.length >= SHARD_TUNABLES.buryChunks ||
      bytes + weight > SHARD_TUNABLES.commandBytes ||
      entries + chunk.count > SHARD_TUNABLES.buryEntries;
    if (chunks.length > 0 && many) break;
    chunks.push(chunk);
    bytes += weight;
    entries += chunk.count;
  }
  return { chunks, bytes };
}

/** Chunks that were buried: they are dead now. */
export function endBury(state: ShardState, count: number): void {
  for (const chunk of state.burying.splice(0, count)) {
    state.counts.dead += chunk.count;
    settleRow(state, chunk);
  }
}

/**
 * A page of dead letters that an operator has taken out: dropped, or pending again. The pending ones get new numbers,
 * for their rows keep the old ones as a record, and are not newer for it: where another one of their key has come
 * since, that one wins.
 */
export function revive(
  state: ShardState,
  index: KeyIndex,
  page: DeadPage,
  order: { action: 'retry' | 'drop'; front?: boolean },
): void {
  const { count, bytes, entries, row, keys, ages } = page;
  state.counts.dead -= count;
  if (order.action === 'drop') {
    state.counts.dropped += count;
    return;
  }
  const first = state.nextEntry;
  state.nextEntry += count;
  if (row !== undefined && count === 1 && keys && ages && isPassed(state, index, keys[0]!, ages[0]!)) {
    state.counts.merged++;
    state.forget.push(row);
    return;
  }
  const where = row === undefined ? { entries: entries ?? [] } : { row, from: 0 };
  const of = { ...(keys && entries ? { keys: keepable(keys) } : {}), ...(ages ? { ages } : {}) };
  const chunk: Chunk = { first, count, bytes: entries ? jsonBytes(entries) : bytes, since: 0, ...where, ...of };
  admit(state, index, order.front ? 'front' : 'back', chunk);
}
