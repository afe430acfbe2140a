/**
 * A shard's queue as plain data: runs of entries in lanes, cut, joined, counted. Deterministic functions that change
 * the state they are given and nothing else; `intake.ts`, `next-batch.ts`, `settle.ts`, `spill.ts` and `plan.ts` decide
 * with them.
 */
import { jsonBytes } from '../lib/size';
import type { Counts, ShardSettings } from './contract';
import type { Beginning, Chunk, Lane, LaneName, ShardState } from './state';
import type { Json } from '../lib/json';
import { SHARD_TUNABLES } from './tunables';

export const LANES: readonly LaneName[] = ['front', 'back', 'later'];

function freshLane(): Lane {
  return { chunks: [], stored: { from: 0, to: 0, entries: 0, bytes: 0 }, overflow: [] };
}

/** @param begin there was a shard before it: no number that it may have used is used again. */
export function freshShardState(
  settings: ShardSettings,
  userState: Json,
  begin?: Beginning & { nowMs: number },
): ShardState {
  return {
    version: 1,
    options: settings.options,
    optionsVersion: settings.version,
    paused: settings.paused,
    nextEntry: begin?.entry ?? 1,
    // Nothing outside has them all; no shard has run a thousand batches a second for all of its life.
    nextBatch: begin?.nowMs ?? 1,
    nextRow: begin?.row ?? 1,
    front: freshLane(),
    back: freshLane(),
    later: freshLane(),
    laterDue: null,
    running: {},
    burying: [],
    counts: { accepted: 0, done: 0, dead: 0, merged: 0, dropped: 0 },
    senders: {},
    rows: {},
    forget: [],
    deadOrders: [],
    userState,
    stateVersion: 0,
    learned: null,
    failuresInRow: 0,
    holdUntil: 0,
    flushBelow: 0,
    spilling: false,
    shrunk: false,
    lastError: null,
    runs: 1,
    ...(begin ? { told: begin.moment } : {}),
  };
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────

export const entriesOf = (chunks: readonly Chunk[]): number => chunks.reduce((sum, chunk) => sum + chunk.count, 0);

export function laneEntries(lane: Lane): number {
  return entriesOf(lane.chunks) + lane.stored.entries + entriesOf(lane.overflow);
}

export function pendingOf(state: ShardState): number {
  return LANES.reduce((sum, lane) => sum + laneEntries(state[lane]), entriesOf(state.burying));
}

export function runningOf(state: ShardState): number {
  return Object.values(state.running).reduce((sum, batch) => sum + batch.count, 0);
}

export function countsOf(state: ShardState): Counts {
  const { accepted, done, dead, merged, dropped } = state.counts;
  return { accepted, done, pending: pendingOf(state), running: runningOf(state), dead, merged, dropped };
}

/** The number of entries to handle now or soon: put-off entries are not waited for. */
export function waitingOf(state: ShardState): number {
  return laneEntries(state.front) + laneEntries(state.back) + runningOf(state);
}

/**
 * The entries that a parent waits for before `init` is asked again: it would find those that come again soon a second
 * time. An entry that has failed comes again or dies; one that was put off is waited for where it is due before the
 * next pass might be.
 */
export function awaitedOf(state: ShardState, nowMs: number): number {
  const { later, laterDue, burying, options } = state;
  const soonMs = nowMs + (options.pollMs ?? 0);
  const soon = ({ attempts, failed, at }: Chunk): boolean =>
    attempts !== undefined || failed !== undefined || (at ?? 0) <= soonMs;
  const inPostgres = laterDue !== null && laterDue <= soonMs ? later.stored.entries : 0;
  const put = entriesOf(later.chunks.filter(soon)) + entriesOf(later.overflow.filter(soon)) + inPostgres;
  return waitingOf(state) + put + entriesOf(burying);
}

/** Entries and bytes that are in memory themselves, not by reference; those on their way out are not counted. */
export function inMemory(state: ShardState): { entries: number; bytes: number } {
  const sum = { entries: 0, bytes: 0 };
  for (const lane of LANES) {
    for (const chunk of state[lane].chunks) {
      if (chunk.entries === undefined || chunk.storing) continue;
      sum.entries += chunk.count;
      sum.bytes += chunk.bytes;
    }
  }
  return sum;
}

export function overflowBytes(state: ShardState): number {
  let bytes = 0;
  for (const lane of LANES) for (const chunk of state[lane].overflow) if (chunk.entries) bytes += chunk.bytes;
  return bytes;
}

/**
 * Whether any entry is in PostgreSQL, or may be, because it was sent there: an entry in memory may have a newer one of
 * its key there.
 */
function inDatabase(state: ShardState): boolean {
  if (Object.keys(state.rows).length > 0) return true;
  return LANES.some((name) => {
    const { stored, chunks, overflow } = state[name];
    return stored.entries > 0 || [...overflow, ...chunks].some(({ storing, row }) => storing || row !== undefined);
  });
}

/** Whether newer entries of the same keys may lie in PostgreSQL, or have lain there. */
export const checksKeys = (state: ShardState): boolean =>
  state.options.key !== null && (state.noted !== undefined || inDatabase(state));

/** Whether any entry is there, or is to be stored: newer ones of a key must then go there too, to be found. */
export function hasStored(state: ShardState): boolean {
  return inDatabase(state) || LANES.some((lane) => state[lane].overflow.length > 0);
}

// ── Cutting and joining ──────────────────────────────────────────────────────────────────────

/** A copy of `count` entries of a chunk, from its `from`th, measured. */
export function pieceOf(chunk: Chunk, from: number, count: number): Chunk {
  if (from === 0 && count === chunk.count) return { ...chunk };
  const entries = chunk.entries?.slice(from, from + count);
  return {
    ...chunk,
    first: chunk.first + from,
    count,
    bytes: entries ? jsonBytes(entries) : shareOf(chunk, from, count),
    ...(entries ? { entries } : {}),
    ...(chunk.keys ? { keys: chunk.keys.slice(from, from + count) } : {}),
    ...(chunk.ages ? { ages: chunk.ages.slice(from, from + count) } : {}),
    ...(chunk.row === undefined ? {} : { from: (chunk.from ?? 0) + from }),
  };
}

/** Nobody here knows which entry of a row is large; the shares add up to the whole. */
function shareOf({ bytes, count: all }: Chunk, from: number, count: number): number {
  return Math.floor((bytes * (from + count)) / all) - Math.floor((bytes * from) / all);
}

/** Takes the first `count` entries off a lane's first chunk. */
export function cutHead(chunks: Chunk[], count: number): Chunk {
  const head = chunks[0]!;
  if (count >= head.count) {
    chunks.shift();
    return head;
  }
  const taken = pieceOf(head, 0, count);
  chunks[0] = pieceOf(head, count, head.count - count);
  return taken;
}

/** How many of a chunk's first entries fit into so many bytes. */
export function fitting(chunk: Chunk, bytes: number): number {
  if (chunk.bytes <= bytes) return chunk.count;
  if (!chunk.entries) return Math.floor(bytes / (chunk.bytes / chunk.count));
  let count = 0;
  for (let left = bytes - 2; count < chunk.count; count++) {
    left -= jsonBytes(chunk.entries[count]) + 1;
    if (left < 0) break;
  }
  return count;
}

/** A chunk in parts of at most so many bytes; an entry that is larger is a part by itself. */
export function partsOf(chunk: Chunk, bytes: number): Chunk[] {
  const rest = [chunk];
  const parts: Chunk[] = [];
  while (rest.length > 0) parts.push(cutHead(rest, Math.max(1, fitting(rest[0]!, bytes))));
  return parts;
}

/** The entries `from` … `from + count` of several chunks in a row, as chunks. */
export function piecesOf(chunks: readonly Chunk[], from: number, count: number): Chunk[] {
  const pieces: Chunk[] = [];
  let at = 0;
  for (const chunk of chunks) {
    const begin = Math.max(from, at);
    const end = Math.min(from + count, at + chunk.count);
    if (begin < end) pieces.push(pieceOf(chunk, begin - at, end - begin));
    at += chunk.count;
    if (at >= from + count) break;
  }
  return pieces;
}

/** In memory, new, and going nowhere: without a `ChunkFate` or a `ChunkWay`. */
export const isPlain = (chunk: Chunk): boolean =>
  chunk.entries !== undefined &&
  chunk.ages === undefined &&
  chunk.at === undefined &&
  chunk.attempts === undefined &&
  chunk.failed === undefined &&
  chunk.limit === undefined &&
  chunk.errors === undefined &&
  chunk.waits === undefined &&
  chunk.storing === undefined &&
  chunk.place === undefined;

/** Appends a chunk; entries that follow one another in number and fate become one chunk. */
export function append(chunks: Chunk[], chunk: Chunk): void {
  const last = chunks[chunks.length - 1];
  const joins =
    last !== undefined &&
    isPlain(last) &&
    isPlain(chunk) &&
    last.first + last.count === chunk.first &&
    last.count + chunk.count <= SHARD_TUNABLES.joinCount &&
    last.bytes + chunk.bytes <= SHARD_TUNABLES.joinBytes &&
    (last.keys === undefined) === (chunk.keys === undefined);
  if (!joins) {
    chunks.push(chunk);
    return;
  }
  for (const entry of chunk.entries!) last.entries!.push(entry);
  if (chunk.keys) for (const key of chunk.keys) last.keys!.push(key);
  last.count += chunk.count;
  // Two lists become one: a comma for two brackets.
  last.bytes += chunk.bytes - 1;
}

/** Into the put-off ones, the earliest first; of the same time in the order of their coming. */
export function insertLater(chunks: Chunk[], chunk: Chunk): void {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunks[middle]!.at! <= chunk.at!) low = middle + 1;
    else high = middle;
  }
  chunks.splice(low, 0, chunk);
}

/** Into memory, at the end of its lane. */
export function putInto(state: ShardState, lane: LaneName, chunk: Chunk): void {
  if (lane === 'later') insertLater(state.later.chunks, chunk);
  else append(state[lane].chunks, chunk);
}

// ── Rows that entries lie in ─────────────────────────────────────────────────────────────────

/** Entries of a chunk need their row no longer: they are handled, dead, or have a new value. */
export function settleRow(state: ShardState, chunk: Chunk): void {
  if (chunk.row === undefined) return;
  const left = (state.rows[chunk.row] ?? 0) - chunk.count;
  if (left > 0) {
    state.rows[chunk.row] = left;
  } else {
    delete state.rows[chunk.row];
    state.forget.push(chunk.row);
  }
}
