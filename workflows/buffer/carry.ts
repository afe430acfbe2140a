/**
 * The weight of a shard's state where a limit is met: of a payload, a task's commands, the arguments of
 * continue-as-new. Bytes of JSON as UTF-8, never less than what they really are. `plan.ts` decides by it when to store,
 * to continue and to let senders wait.
 */
import { jsonBytes } from '../lib/size';
import { thinMarks } from './marks';
import { LANES } from './queue';
import type { Chunk, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

/** A chunk as JSON, at most. */
export function weightOf(chunk: Chunk): number {
  const { entries, row, bytes, keys, ages, errors } = chunk;
  return (
    SHARD_TUNABLES.chunkBytes +
    (entries ? bytes : 0) +
    (row === undefined ? 0 : jsonBytes(row)) +
    (keys ? jsonBytes(keys) : 0) +
    (ages ? jsonBytes(ages) : 0) +
    (errors ? jsonBytes(errors) : 0)
  );
}

/** The bytes of entries that continue-as-new would carry. */
export function carriedBytes(state: ShardState): number {
  let bytes = jsonBytes(state.forget) + jsonBytes(state.rows);
  for (const lane of LANES) {
    for (const chunk of state[lane].chunks) bytes += weightOf(chunk);
    for (const chunk of state[lane].overflow) bytes += weightOf(chunk);
  }
  for (const chunk of state.burying) bytes += weightOf(chunk);
  return bytes;
}

/** The bytes that it carries beside the entries. */
export function marksBytes({ senders, userState, deadOrders, options, lastError }: ShardState): number {
  return jsonBytes([senders, userState, deadOrders, options, lastError]) + SHARD_TUNABLES.restBytes;
}

function wordy(state: ShardState): Chunk[] {
  const all = LANES.flatMap((lane) => [...state[lane].chunks, ...state[lane].overflow]);
  return [...all, ...state.burying].filter(({ errors }) => errors);
}

/** Whether what is remembered of failures and of senders is more than continue-as-new should carry. */
export function isWordy(state: ShardState): boolean {
  const errors = wordy(state).reduce((sum, chunk) => sum + jsonBytes(chunk.errors), 0);
  return errors > SHARD_TUNABLES.wordBytes || marksTooMany(state);
}

function marksTooMany({ senders }: ShardState): boolean {
  return (
    jsonBytes(senders) > SHARD_TUNABLES.marksBytes &&
    Object.values(senders).some(({ above }) => above.length > SHARD_TUNABLES.marksLeft)
  );
}

/**
 * Forgets errors where continue-as-new would carry too many: first all but the beginning of each entry's last one, then
 * that. If a sender's messages came out of turn, the oldest beyond a gap are forgotten: those that have not come may
 * still come.
 */
export function slim(state: ShardState): void {
  if (marksTooMany(state)) {
    thinMarks(state, SHARD_TUNABLES.marksLeft);
    return;
  }
  const all = wordy(state);
  const long = all.filter(
    ({ errors }) => errors!.length > 1 || jsonBytes(errors![0]!.error) > SHARD_TUNABLES.lastWord + 2,
  );
  for (const chunk of long.length > 0 ? long : all) {
    const { at, error } = chunk.errors!.at(-1)!;
    const word = error.slice(0, SHARD_TUNABLES.lastWord);
    if (chunk.errors!.length > 1 || word !== error) chunk.errors = [{ at, error: word }];
    else delete chunk.errors;
  }
}
