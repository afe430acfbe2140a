/**
 * Takes a message in: not twice, each entry measured and numbered, keys made one, and into the lane where
 * it belongs: in memory, or behind what lies in PostgreSQL already. Called by `shard.ts`; deterministic, as all of a
 * workflow's decisions.
 */
import { jsonBytes } from '../lib/size';
import { LAST_TIME } from '../lib/time';
import { carriedBytes } from './carry';
import { INIT_SENDER } from './contract';
import type { PushMessage, PushPayload } from './contract';
import { keepableKey, keyAt, mergeKeys, noteKeys, type KeyIndex } from './keys';
import { firstTime, isIn } from './marks';
import type { Chunk, LaneName, ShardState } from './state';
import type { BufferOptions } from './options';
import { append, hasStored, inMemory, overflowBytes, partsOf, pendingOf, putInto } from './queue';
import type { Json } from '../lib/json';
import { SHARD_TUNABLES } from './tunables';

/**
 * Reads a signal, also one typed by hand: a message, a list of entries, or one entry. A payload that is not a message
 * is an entry.
 */
export function readPush(payload: PushPayload): PushMessage {
  if (Array.isArray(payload)) return { entries: payload };
  if (typeof payload === 'object' && payload !== null) {
    const { entries, row, ...rest } = payload as PushMessage;
    const how = readHow(rest);
    if (Array.isArray(entries)) return { ...how, entries };
    if (
      typeof row?.id === 'string' &&
      Number.isSafeInteger(row.count) &&
      row.count > 0 &&
      row.count <= SHARD_TUNABLES.rowEntries
    ) {
      return { ...how, row: { id: row.id, count: row.count } };
    }
  }
  return payload === undefined ? {} : { entries: [payload as Json] };
}

/** Reads the fields beside the entries; a value that cannot be meant is left out. */
function readHow({ sender, seq, keys, bytes, front, at, last }: PushMessage): PushMessage {
  return {
    ...(typeof sender === 'string' && Number.isSafeInteger(seq) ? { sender, seq } : {}),
    ...(Array.isArray(keys) ? { keys } : {}),
    ...(typeof bytes === 'number' && Number.isInteger(bytes) && bytes >= 0 && bytes < 2 ** 31 ? { bytes } : {}),
    ...(front === true ? { front } : {}),
    ...(typeof at === 'number' && at >= 0 && at <= LAST_TIME ? { at } : {}),
    ...(last === true ? { last } : {}),
  };
}

export function countOf({ row, entries }: PushMessage): number {
  return row ? row.count : (entries?.length ?? 0);
}

/**
 * How long senders should wait; 0: there is room. While PostgreSQL is away that is what the next run can carry; else
 * what may be on its way there at once.
 */
export function pressureOf(state: ShardState): number {
  const full = pendingOf(state) >= Math.ceil(state.options.capacity / state.options.shards);
  if (full || overflowBytes(state) > SHARD_TUNABLES.bridgeBytes) return SHARD_TUNABLES.waitMs;
  return state.outage && carriedBytes(state) > SHARD_TUNABLES.bridgeBytes ? SHARD_TUNABLES.waitMs : 0;
}

/**
 * Why an update is not taken, before anything of it is in the history; undefined: it is. A message that is in already
 * is said to be in.
 */
export function refusalOf(
  state: ShardState,
  messages: readonly PushMessage[],
): 'stopped' | { waitMs: number } | undefined {
  if (state.stopped) return 'stopped';
  if (messages.every((message) => isIn(state, message))) return undefined;
  const front = messages.every((message) => message.front === true);
  const waitMs = front ? 0 : pressureOf(state);
  if (waitMs > 0) return { waitMs };
  // Entries pushed to the front are always admitted, as far as anything can be.
  return front && state.outage && carriedBytes(state) > SHARD_TUNABLES.frontBytes
    ? { waitMs: SHARD_TUNABLES.waitMs }
    : undefined;
}

/** Takes a message in; `false` when it was in already. */
export function accept(state: ShardState, index: KeyIndex, message: PushMessage, nowMs: number): boolean {
  if (!firstTime(state, message, nowMs)) return false;
  const { front, at } = message;
  const lane: LaneName = at !== undefined && at > nowMs ? 'later' : front ? 'front' : 'back';
  const put = lane === 'later' ? { at: at! } : {};
  if (message.row) {
    const { id, count } = message.row;
    const bytes = message.bytes ?? 0;
    admit(state, index, lane, { first: state.nextEntry, count, bytes, row: id, from: 0, since: nowMs, ...put });
    state.counts.accepted += count;
    state.nextEntry += count;
    return true;
  }
  const entries = message.entries ?? [];
  if (entries.length === 0) return true;
  const keys = readKeys(message, state.options);
  // Measured here, once: whoever sent it may have counted something else.
  const whole = {
    first: state.nextEntry,
    count: entries.length,
    bytes: jsonBytes(entries),
    entries,
    since: nowMs,
    ...put,
  };
  state.counts.accepted += entries.length;
  state.nextEntry += entries.length;
  for (const part of partsOf({ ...whole, ...(keys ? { keys } : {}) }, SHARD_TUNABLES.runBytes)) {
    if (part.bytes > SHARD_TUNABLES.entryBytes) tooLarge(state, part, nowMs);
    else admit(state, index, lane, part, { foundAgain: message.sender === INIT_SENDER });
  }
  return true;
}

/** A signal by hand may bring an entry that fits into nothing else: it is dead at once, and says so. */
function tooLarge(state: ShardState, part: Chunk, nowMs: number): void {
  const error = `an entry of ${part.bytes} bytes came by a signal; push one so large with the library or the command line`;
  state.lastError = error;
  const { first, count, since } = part;
  state.burying.push({ first, count, bytes: 6, entries: [null], since, errors: [{ at: nowMs, error }] });
}

/** Puts numbered entries into a lane. An entry whose key is pending in memory takes that entry's place instead. */
export function admit(
  state: ShardState,
  index: KeyIndex,
  lane: LaneName,
  given: Chunk,
  how: { foundAgain?: boolean } = {},
): void {
  const chunk = given.keys && given.entries ? mergeKeys(state, index, lane, given, how) : given;
  if (chunk.count === 0) return;
  if (mustStore(state, lane, chunk)) {
    append(state[lane].overflow, chunk);
    return;
  }
  putInto(state, lane, chunk);
  noteKeys(index, chunk);
}

/**
 * Past the bound, and behind what is there already, PostgreSQL takes it. Rows that a sender has stored are adopted that
 * way.
 */
function mustStore(state: ShardState, lane: LaneName, chunk: Chunk): boolean {
  const { chunks, stored, overflow } = state[lane];
  if (chunk.row !== undefined && state.rows[chunk.row] === undefined) return true;
  if (overflow.length > 0 || (stored.entries > 0 && lane !== 'later')) return true;
  if (lane === 'later' && chunks.length >= SHARD_TUNABLES.laterChunks) return true;
  if (state.options.key !== null && chunk.keys && hasStored(state)) return true;
  const { entries, bytes } = inMemory(state);
  const bound = boundOf(state);
  return entries + chunk.count > bound.entries || bytes + chunk.bytes > bound.bytes;
}

/** The most that stays in memory; little while the node is short of memory. */
export function boundOf(state: ShardState): { entries: number; bytes: number } {
  return state.shrunk
    ? { entries: state.options.bound.entries, bytes: SHARD_TUNABLES.minimumBytes }
    : state.options.bound;
}

/** The keys that came along; where the key is a path, those of a message typed by hand too. */
function readKeys({ entries, keys }: PushMessage, { key }: BufferOptions): (string | null)[] | undefined {
  if (key === null || !entries) return undefined;
  if (Array.isArray(keys) && keys.length === entries.length) {
    return keys.map((one: unknown) => (typeof one === 'string' ? keepableKey(one) : null));
  }
  return key === 'function' ? undefined : entries.map(keyAt(key.path));
}
