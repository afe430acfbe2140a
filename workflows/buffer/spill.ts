/**
 * Moves chunks to PostgreSQL: which chunks go next, and what their places are when it has taken them, refused
 * some, or did not answer. `plan.ts` asks when; `storage.ts` makes the call; `fetch.ts` takes them back.
 */
import type { RefusedRow, StoreRow } from './activities';
import { comesBack } from './bridge';
import { weightOf } from './carry';
import { boundOf } from './intake';
import { dropKeys, noteKeys, type KeyIndex } from './keys';
import { inMemory, LANES, putInto, settleRow } from './queue';
import type { Chunk, Lane, LaneName, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

// ── An outage ────────────────────────────────────────────────────────────────────────────────
// ── To PostgreSQL ────────────────────────────────────────────────────────────────────────────

/**
 * How much may stay in memory: the bound, little when the node is short of memory, less before continue-as-new, nothing
 * when stopped.
 */
function keepBytes(state: ShardState, leaving: boolean): number {
  if (state.stopped) return 0;
  return leaving ? SHARD_TUNABLES.minimumBytes : boundOf(state).bytes;
}

export function wantsStore(state: ShardState, leaving: boolean): boolean {
  if (LANES.some((lane) => state[lane].overflow.length > 0)) return true;
  return inMemory(state).bytes > keepBytes(state, leaving) && shrinkable(state).length > 0;
}

/** Chunks that can go to PostgreSQL and stay in their place by reference, the last in turn first. */
function shrinkable(state: ShardState): Chunk[] {
  const of = (lane: Lane): Chunk[] => lane.chunks.filter((chunk) => chunk.entries !== undefined && !chunk.storing);
  return [...of(state.front), ...of(state.back), ...of(state.later)].reverse();
}

/** One store: the rows that it writes, and where their chunks stand. */
interface Storing {
  rows: StoreRow[];
  /** How many of each lane's overflow they are. */
  overflow: Record<LaneName, number>;
  /** Chunks that stay in their place. */
  inPlace: Chunk[];
  /** The size of the command. */
  bytes: number;
}

/** Chooses what to store next. It stays where it is until `stored` says that it has happened. */
export function beginStore(state: ShardState, index: KeyIndex, leaving: boolean, prefix: string): Storing {
  if (state.options.key !== null) state.noted = state.nextEntry - 1;
  const storing: Storing = { rows: [], overflow: { front: 0, back: 0, later: 0 }, inPlace: [], bytes: 0 };
  const takes = (chunk: Chunk): boolean => {
    const weight = weightOf(chunk);
    if (
      storing.rows.length > 0 &&
      (storing.rows.length >= SHARD_TUNABLES.storeRows || storing.bytes + weight > SHARD_TUNABLES.commandBytes)
    ) {
      return false;
    }
    storing.bytes += weight;
    return true;
  };
  for (const lane of LANES) {
    for (const chunk of state[lane].overflow) {
      if (!takes(chunk)) break;
      const number = (chunk.place ??= state.nextRow++);
      // Nothing joins it any more.
      chunk.storing = true;
      // A part of a row becomes a row of its own; one that a sender has written is taken over.
      const whole = chunk.row !== undefined && state.rows[chunk.row] === undefined;
      storing.rows.push({ id: whole ? chunk.row! : `${prefix}.${number}`, number, lane, place: number, chunk });
      storing.overflow[lane]++;
    }
  }
  if (storing.rows.length > 0) return storing;
  let left = inMemory(state).bytes - keepBytes(state, leaving);
  for (const chunk of shrinkable(state)) {
    if (left <= 0 || !takes(chunk)) break;
    left -= chunk.bytes;
    chunk.storing = true;
    dropKeys(index, chunk);
    const number = state.nextRow++;
    storing.rows.push({ id: `${prefix}.${number}`, number, lane: 'back', place: null, chunk });
    storing.inPlace.push(chunk);
  }
  return storing;
}

/** Rows that PostgreSQL cannot keep, each tried by itself, and why; or that have another number of entries. */
export type Refused = readonly RefusedRow[];

/**
 * PostgreSQL has it: in memory a reference stays, or nothing where other stored entries come first. Rows that it
 * refused are dead.
 */
export function endStore(state: ShardState, storing: Storing, refused: Refused, nowMs: number): void {
  const refusal = new Map(refused.map((one) => [one.id, one]));
  for (const { id, place: at, chunk } of storing.rows) {
    if (at !== null) continue;
    const refused = refusal.get(id);
    if (refused === undefined) refer(state, chunk, id);
    else refuse(state, chunk, refused.error, nowMs);
  }
  for (const lane of LANES) {
    if (refused.length > 0) state[lane].chunks = state[lane].chunks.filter((chunk) => !state.burying.includes(chunk));
    const done = state[lane].overflow.splice(0, storing.overflow[lane]);
    const rows = storing.rows.filter((row) => row.place !== null && row.lane === lane);
    const recounted: Chunk[] = [];
    done.forEach((chunk, i) => {
      const refused = refusal.get(rows[i]!.id);
      if (refused === undefined) settleInto(state, lane, chunk, rows[i]!);
      else if (refused.count === undefined) refuse(state, chunk, refused.error, nowMs);
      else recounted.push(...recount(state, chunk, refused.count, refused.error));
    });
    state[lane].overflow.unshift(...recounted);
  }
}

/**
 * The sender who told of a row has miscounted: it is taken for what it is, with numbers that nobody else has, and
 * stored again.
 */
function recount(state: ShardState, chunk: Chunk, count: number, error: string): Chunk[] {
  delete chunk.storing;
  delete chunk.place;
  state.lastError = error;
  state.counts.accepted += count - chunk.count;
  if (count === 0) return [];
  if (count > chunk.count) {
    chunk.first = state.nextEntry;
    state.nextEntry += count;
  }
  chunk.count = count;
  return [chunk];
}

function refuse(state: ShardState, chunk: Chunk, error: string, nowMs: number): void {
  delete chunk.storing;
  delete chunk.place;
  state.lastError = error;
  chunk.errors = [
    ...(chunk.errors ?? []),
    { at: nowMs, error: `PostgreSQL cannot keep it: ${error}`.slice(0, SHARD_TUNABLES.errorLength) },
  ];
  state.burying.push(chunk);
}

function settleInto(state: ShardState, lane: LaneName, chunk: Chunk, row: StoreRow): void {
  const into = state[lane];
  const few = into.chunks.length < SHARD_TUNABLES.fetchRows;
  if (lane === 'later' || into.stored.entries > 0 || !few) {
    // In the lane of put-off chunks it counts fetches.
    if (into.stored.entries === 0 && lane !== 'later') into.stored.from = row.place!;
    into.stored.to = Math.max(into.stored.to, row.place!);
    into.stored.entries += chunk.count;
    into.stored.bytes += chunk.bytes;
    if (lane === 'later') state.laterDue = Math.min(state.laterDue ?? Infinity, chunk.at!);
    if (row.id !== chunk.row) settleRow(state, chunk);
    return;
  }
  if (row.id !== chunk.row) settleRow(state, chunk);
  refer(state, chunk, row.id);
  putInto(state, lane, chunk);
}

function refer(state: ShardState, chunk: Chunk, id: string): void {
  delete chunk.entries;
  delete chunk.keys;
  delete chunk.storing;
  delete chunk.place;
  chunk.row = id;
  chunk.from = 0;
  state.rows[id] = chunk.count;
}

/** PostgreSQL did not take it: all stays where it was, but for what a newer one of its key has passed meanwhile. */
export function undoStore(state: ShardState, index: KeyIndex, storing: Storing, prefix: string): void {
  for (const { chunk } of storing.rows) delete chunk.storing;
  const inPlace = new Set(storing.inPlace);
  // It may be there all the same, and is stored under another name next time.
  for (const { id, chunk } of storing.rows) if (inPlace.has(chunk)) state.forget.push(id);
  if (inPlace.size === 0) return;
  for (const name of LANES) {
    const all = state[name].chunks;
    state[name].chunks = all.filter((chunk) => !inPlace.has(chunk));
    const back = new Map(
      all.filter((chunk) => inPlace.has(chunk)).map((chunk) => [chunk, comesBack(state, index, chunk, prefix)]),
    );
    if (back.size === 0) continue;
    // Chunks that came back may have put others out of their place.
    const left = new Set(state[name].chunks);
    state[name].chunks = all.flatMap((chunk) => back.get(chunk) ?? (left.has(chunk) ? [chunk] : []));
    for (const chunk of state[name].chunks) if (!left.has(chunk)) noteKeys(index, chunk);
  }
}

// ── And back ─────────────────────────────────────────────────────────────────────────────────
// ── Dead letters ─────────────────────────────────────────────────────────────────────────────
