/**
 * What a shard does with a message: not twice, each entry numbered, keys made one, and into the lane where it belongs: in
 * memory, or behind what lies in PostgreSQL already. Called by `shard.ts`; deterministic, as all of a workflow's decisions.
 */
import { INIT_SENDER } from './contract';
import type { Json, PushMessage, PushPayload } from './contract';
import type { Chunk, LaneName, SenderMarks, ShardState } from './state';
import type { BufferOptions } from './options';
import { append, hasStored, inMemory, insertLater, LATER_CHUNKS, overflowBytes, pendingOf } from './queue';

/** Numbers that may come out of turn; a sender has a few under way at once. */
const GAPS = 1_000;
/** A sender's marks are kept for this many senders, those heard of last. */
const SENDERS = 500;
/** PostgreSQL does not take what overflows: senders wait. Characters. */
const OVERFLOW_BYTES = 8_000_000;
/** How long senders are asked to wait. Milliseconds. */
const WAIT_MS = 200;

/** Where the newest pending entry of a key is, of those in memory. Made anew by each run from its state. */
export type KeyIndex = Map<string, number>;

export function indexKeys(state: ShardState): KeyIndex {
  const index: KeyIndex = new Map();
  for (const lane of ['front', 'back', 'later'] as const) {
    for (const chunk of state[lane].chunks) {
      if (chunk.entries && !chunk.storing) noteKeys(index, chunk);
    }
  }
  return index;
}

export function noteKeys(index: KeyIndex, chunk: Chunk): void {
  chunk.keys?.forEach((key, i) => {
    if (key !== null) index.set(key, chunk.first + i);
  });
}

/** Entries that leave the memory: a newer one of their key will not find them there. */
export function dropKeys(index: KeyIndex, chunk: Chunk): void {
  chunk.keys?.forEach((key, i) => {
    if (key !== null && index.get(key) === chunk.first + i) index.delete(key);
  });
}

/** Whoever typed it: a message, a list of entries, or one entry. */
export function readPush(payload: PushPayload): PushMessage {
  if (Array.isArray(payload)) return { entries: payload };
  if (typeof payload === 'object' && payload !== null) {
    const { entries, row } = payload as PushMessage;
    if (Array.isArray(entries) || (typeof row?.id === 'string' && Number.isSafeInteger(row.count))) {
      return payload;
    }
  }
  return payload === undefined ? {} : { entries: [payload as Json] };
}

export function countOf({ row, entries }: PushMessage): number {
  return row ? row.count : (entries?.length ?? 0);
}

/** How long senders should wait; 0: there is room. */
export function pressureOf(state: ShardState): number {
  const full = pendingOf(state) >= Math.ceil(state.options.capacity / state.options.shards);
  return full || overflowBytes(state) > OVERFLOW_BYTES ? WAIT_MS : 0;
}

/** Takes a message in; `false` when it was in already. */
export function accept(state: ShardState, index: KeyIndex, message: PushMessage, now: number): boolean {
  if (!firstTime(state, message, now)) return false;
  const { front, at } = message;
  const lane: LaneName = at !== undefined && at > now ? 'later' : front ? 'front' : 'back';
  const put = lane === 'later' ? { at: at! } : {};
  if (message.row) {
    const { id, count } = message.row;
    const bytes = message.bytes ?? 0;
    admit(state, index, lane, { first: state.nextEntry, count, bytes, row: id, from: 0, since: now, ...put });
    state.counts.accepted += count;
    state.nextEntry += count;
    return true;
  }
  const entries = message.entries ?? [];
  if (entries.length === 0) return true;
  const bytes = message.bytes ?? JSON.stringify(entries).length;
  const keys = readKeys(message, state.options);
  admit(state, index, lane, {
    first: state.nextEntry,
    count: entries.length,
    bytes,
    entries,
    ...(keys ? { keys } : {}),
    since: now,
    ...put,
  });
  state.counts.accepted += entries.length;
  state.nextEntry += entries.length;
  return true;
}

/** Puts numbered entries into a lane. Those of a key that is pending in memory take that one's place instead. */
export function admit(state: ShardState, index: KeyIndex, lane: LaneName, given: Chunk): void {
  const chunk = given.keys && given.entries ? mergeKeys(state, index, given) : given;
  if (chunk.count === 0) return;
  if (mustStore(state, lane, chunk)) {
    append(state[lane].overflow, chunk);
    return;
  }
  place(state, lane, chunk);
  if (chunk.entries) noteKeys(index, chunk);
}

/** Into memory, at the end of its lane. */
export function place(state: ShardState, lane: LaneName, chunk: Chunk): void {
  if (lane === 'later') insertLater(state.later.chunks, chunk);
  else append(state[lane].chunks, chunk);
}

/** Past the bound, and behind what is there already, PostgreSQL takes it. What a sender has stored is adopted that way. */
function mustStore(state: ShardState, lane: LaneName, chunk: Chunk): boolean {
  const { chunks, stored, overflow } = state[lane];
  if (chunk.row !== undefined && state.rows[chunk.row] === undefined) return true;
  if (overflow.length > 0 || (stored.entries > 0 && lane !== 'later')) return true;
  if (lane === 'later' && chunks.length >= LATER_CHUNKS) return true;
  if (state.options.key !== null && chunk.keys && hasStored(state)) return true;
  const { entries, bytes } = inMemory(state);
  const bound = boundOf(state);
  return entries + chunk.count > bound.entries || bytes + chunk.bytes > bound.bytes;
}

/** Kept in memory at most; little while the node is short of memory. */
export function boundOf(state: ShardState): { entries: number; bytes: number } {
  return state.shrunk ? { entries: state.options.bound.entries, bytes: MINIMUM_BYTES } : state.options.bound;
}

/** A shard that was asked to shrink keeps this much, so that a batch is there when one ends. */
export const MINIMUM_BYTES = 32 * 1024;

function firstTime(state: ShardState, { sender, seq }: PushMessage, now: number): boolean {
  if (typeof sender !== 'string' || typeof seq !== 'number' || !Number.isSafeInteger(seq)) return true;
  const marks = (state.senders[sender] ??= { upTo: 0, above: [], seenAt: now });
  marks.seenAt = now;
  if (seq <= marks.upTo || marks.above.includes(seq)) return false;
  marks.above.push(seq);
  for (let i = marks.above.indexOf(marks.upTo + 1); i >= 0; i = marks.above.indexOf(marks.upTo + 1)) {
    marks.upTo++;
    marks.above.splice(i, 1);
  }
  if (marks.above.length > GAPS) closeGap(marks);
  forgetSenders(state);
  return true;
}

/** A number that has not come while so many later ones have will not come: its sender gave it up, or this shard is a new one. */
function closeGap(marks: SenderMarks): void {
  marks.above.sort((a, b) => a - b);
  marks.upTo = marks.above.shift()!;
  while (marks.above[0] === marks.upTo + 1) marks.upTo = marks.above.shift()!;
}

/** The newest message of a sender that is in. */
export function lastSeq(state: ShardState, sender: string): number {
  const marks = state.senders[sender];
  return marks ? Math.max(marks.upTo, ...marks.above) : 0;
}

function forgetSenders(state: ShardState): void {
  const names = Object.keys(state.senders).filter((name) => name !== INIT_SENDER);
  if (names.length <= SENDERS) return;
  const oldest = names.reduce((a, b) => (state.senders[a]!.seenAt <= state.senders[b]!.seenAt ? a : b));
  delete state.senders[oldest];
}

function mergeKeys(state: ShardState, index: KeyIndex, chunk: Chunk): Chunk {
  const entries: Json[] = [];
  const keys: (string | null)[] = [];
  const own = new Map<string, number>();
  chunk.keys!.forEach((key, i) => {
    const value = chunk.entries![i]!;
    const before = key === null ? undefined : index.get(key);
    const twin = key === null ? undefined : own.get(key);
    if (before !== undefined && replace(state, before, value)) {
      state.counts.merged++;
    } else if (twin !== undefined) {
      entries[twin] = value;
      state.counts.merged++;
    } else {
      if (key !== null) own.set(key, entries.length);
      entries.push(value);
      keys.push(key);
    }
  });
  if (entries.length === chunk.count) return chunk;
  // Numbers stay one apart: what was merged gives the last ones back, which nobody will have.
  const bytes = chunk.count === 0 ? 0 : Math.ceil((chunk.bytes * entries.length) / chunk.count);
  return { ...chunk, count: entries.length, bytes, entries, keys };
}

/** Gives the pending entry of that number a new value; false when it is not in memory. */
function replace(state: ShardState, number: number, value: Json): boolean {
  for (const lane of ['front', 'back', 'later'] as const) {
    for (const chunk of state[lane].chunks) {
      const i = number - chunk.first;
      if (i < 0 || i >= chunk.count || !chunk.entries || chunk.storing) continue;
      chunk.bytes += JSON.stringify(value).length - JSON.stringify(chunk.entries[i]).length;
      chunk.entries[i] = value;
      return true;
    }
  }
  return false;
}

/** The keys that came along; where the key is a path, those of a message typed by hand too. */
function readKeys({ entries, keys }: PushMessage, { key }: BufferOptions): (string | null)[] | undefined {
  if (key === null || !entries) return undefined;
  if (Array.isArray(keys) && keys.length === entries.length) return keys;
  return key === 'function' ? undefined : entries.map(keyAt(key.path));
}

/** Reads what lies at a path such as `block.hash`, as a key. */
export function keyAt(path: string): (entry: Json) => string | null {
  const names = path.split('.');
  return (entry) => {
    let at: unknown = entry;
    for (const name of names) {
      if (typeof at !== 'object' || at === null) return null;
      at = (at as Record<string, unknown>)[name];
    }
    return typeof at === 'string' || typeof at === 'number' ? String(at) : null;
  };
}
