/**
 * A shard's queue as plain data: runs of entries in lanes, cut, joined, counted. Deterministic functions that change the state
 * they are given and nothing else; `intake.ts`, `outcome.ts` and `plan.ts` decide with them.
 */
import type { Counts, Json, ShardOrders } from './contract';
import type { Chunk, Lane, LaneName, ShardState } from './state';

export const LANES: readonly LaneName[] = ['front', 'back', 'later'];

/** Neighbours of the same fate are joined up to this: few objects, and rows of a good size. */
const JOIN_COUNT = 2_000;
const JOIN_BYTES = 128 * 1024;

/** Put-off chunks in memory; more go to PostgreSQL. */
export const LATER_CHUNKS = 500;

export function freshLane(): Lane {
  return { chunks: [], stored: { from: 0, to: 0, entries: 0, bytes: 0 }, overflow: [] };
}

export function freshShardState(orders: ShardOrders, userState: Json): ShardState {
  return {
    version: 1,
    options: orders.options,
    optionsVersion: orders.version,
    paused: orders.paused,
    nextEntry: 1,
    nextBatch: 1,
    nextRow: 1,
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
  };
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────

const entriesOf = (chunks: readonly Chunk[]): number => chunks.reduce((sum, chunk) => sum + chunk.count, 0);

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

/** What is there to do now or soon: put-off entries are not waited for. */
export function waitingOf(state: ShardState): number {
  return laneEntries(state.front) + laneEntries(state.back) + runningOf(state);
}

/** Entries and characters that are in memory themselves, not by reference; those on their way out are not counted. */
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

/** Whether any entry is in PostgreSQL, or on its way: newer ones of a key must then go there too, to be found. */
export function hasStored(state: ShardState): boolean {
  if (Object.keys(state.rows).length > 0) return true;
  return LANES.some((name) => {
    const lane = state[name];
    return lane.stored.entries > 0 || lane.overflow.length > 0 || lane.chunks.some((chunk) => chunk.storing);
  });
}

// ── Cutting and joining ──────────────────────────────────────────────────────────────────────

/** A copy of `count` entries of a chunk, from its `from`th. */
export function pieceOf(chunk: Chunk, from: number, count: number): Chunk {
  if (from === 0 && count === chunk.count) return { ...chunk };
  const before = Math.floor((chunk.bytes * from) / chunk.count);
  const upTo = Math.floor((chunk.bytes * (from + count)) / chunk.count);
  return {
    ...chunk,
    first: chunk.first + from,
    count,
    bytes: upTo - before,
    ...(chunk.entries ? { entries: chunk.entries.slice(from, from + count) } : {}),
    ...(chunk.keys ? { keys: chunk.keys.slice(from, from + count) } : {}),
    ...(chunk.row === undefined ? {} : { from: (chunk.from ?? 0) + from }),
  };
}

/** Takes the first `count` entries off a lane's first chunk. */
export function cutHead(chunks: Chunk[], count: number): Chunk {
  const head = chunks[0]!;
  if (count >= head.count) {
    chunks.shift();
    return head;
  }
  chunks[0] = pieceOf(head, count, head.count - count);
  return pieceOf(head, 0, count);
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

const isPlain = (chunk: Chunk): boolean =>
  chunk.entries !== undefined &&
  chunk.at === undefined &&
  chunk.attempts === undefined &&
  chunk.failed === undefined &&
  chunk.limit === undefined &&
  chunk.errors === undefined &&
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
    last.count + chunk.count <= JOIN_COUNT &&
    last.bytes + chunk.bytes <= JOIN_BYTES &&
    (last.keys === undefined) === (chunk.keys === undefined);
  if (!joins) {
    chunks.push(chunk);
    return;
  }
  for (const entry of chunk.entries!) last.entries!.push(entry);
  if (chunk.keys) for (const key of chunk.keys) last.keys!.push(key);
  last.count += chunk.count;
  last.bytes += chunk.bytes;
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

/** What continue-as-new would carry of entries, in characters of JSON; marks, orders and the user's state come on top. */
export function carriedBytes(state: ShardState): number {
  let bytes = overflowBytes(state);
  for (const lane of LANES) {
    for (const chunk of [...state[lane].chunks, ...state[lane].overflow]) {
      bytes += 120 + (chunk.errors ? JSON.stringify(chunk.errors).length : 0);
      if (chunk.keys) bytes += chunk.keys.reduce((sum, key) => sum + (key?.length ?? 2) + 3, 0);
    }
  }
  bytes += inMemory(state).bytes;
  for (const chunk of state.burying) bytes += chunk.bytes;
  for (const row of state.forget) bytes += row.length + 3;
  for (const row of Object.keys(state.rows)) bytes += row.length + 8;
  return bytes;
}
