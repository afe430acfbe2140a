/**
 * The weight of a shard's state where a limit is met: of a payload, a task's commands, the arguments of
 * continue-as-new. Bytes of JSON as UTF-8, never less than what they really are. `plan.ts` decides by it when to store,
 * to continue and to let senders wait.
 */
import { jsonBytes } from '../lib/size';
import { thinMarks } from './marks';
import { LANES } from './queue';
import type { Chunk, ShardState } from './state';

/** Entries that continue-as-new may carry (a payload's limit is 2 MB, a warning comes at 512 KB). Bytes. */
export const CARRY_BYTES = 256 * 1024;
/**
 * All that it may carry, entries and marks: what PostgreSQL does not take now, rather than a history past its limit.
 * Bytes.
 */
export const CARRY_BYTES_AT_MOST = 1_600_000;
/** While PostgreSQL is away, senders wait at this: a message may still come to it, and its answer. Bytes. */
export const BRIDGE_BYTES = 1_000_000;
/** The most that one command carries, except for an entry that is larger by itself. Bytes. */
export const COMMAND_BYTES = 440_000;
/** The most that the commands of one task carry together, before the next one goes (the server takes 4 MB). Bytes. */
export const TASK_BYTES = 1_500_000;
/** A larger entry fits into no command. Bytes. */
export const ENTRY_BYTES = 1_900_000;
/** How many of the carried bytes remembered errors may use. Beyond that each error is cut to `LAST_WORD` characters. */
const WORD_BYTES = CARRY_BYTES / 3;
const LAST_WORD = 80;
/** The most that the marks of senders may use. Bytes. */
const MARKS_BYTES = 150_000;
const MARKS_LEFT = 20;
/** A chunk's own words and numbers. Bytes. */
const CHUNK_BYTES = 260;

/** A chunk as JSON, at most. */
export function weightOf(chunk: Chunk): number {
  const { entries, row, bytes, keys, ages, errors } = chunk;
  return (
    CHUNK_BYTES +
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
  return jsonBytes([senders, userState, deadOrders, options, lastError]) + 1_500;
}

function wordy(state: ShardState): Chunk[] {
  const all = LANES.flatMap((lane) => [...state[lane].chunks, ...state[lane].overflow]);
  return [...all, ...state.burying].filter(({ errors }) => errors);
}

/** Whether what is remembered of failures and of senders is more than continue-as-new should carry. */
export function isWordy(state: ShardState): boolean {
  const errors = wordy(state).reduce((sum, chunk) => sum + jsonBytes(chunk.errors), 0);
  return errors > WORD_BYTES || marksTooMany(state);
}

function marksTooMany({ senders }: ShardState): boolean {
  return jsonBytes(senders) > MARKS_BYTES && Object.values(senders).some(({ above }) => above.length > MARKS_LEFT);
}

/**
 * Forgets errors where continue-as-new would carry too many: first all but the beginning of each entry's last one, then
 * that. If a sender's messages came out of turn, the oldest beyond a gap are forgotten: those that have not come may
 * still come.
 */
export function slim(state: ShardState): void {
  if (marksTooMany(state)) {
    thinMarks(state, MARKS_LEFT);
    return;
  }
  const all = wordy(state);
  const long = all.filter(({ errors }) => errors!.length > 1 || jsonBytes(errors![0]!.error) > LAST_WORD + 2);
  for (const chunk of long.length > 0 ? long : all) {
    const { at, error } = chunk.errors!.at(-1)!;
    const word = error.slice(0, LAST_WORD);
    if (chunk.errors!.length > 1 || word !== error) chunk.errors = [{ at, error: word }];
    else delete chunk.errors;
  }
}
