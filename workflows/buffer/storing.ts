/**
 * What a shard moves to PostgreSQL and takes back, and what it does while PostgreSQL is away: choices and their effects
 * on the state, without the calls themselves (`shard.ts`). `plan.ts` says when.
 */
import type { FoundRows, RefusedRow, StoreRow } from './activities';
import type { Chunk, Lane, LaneName, ShardState } from './state';
import { COMMAND_BYTES, weightOf } from './carry';
import { boundOf, MINIMUM_BYTES } from './intake';
import { ageOf, dropKeys, noteKeys, survivors, without, type KeyIndex } from './keys';
import { BACK_CHUNKS, batchSize, concurrencyOf, mayOvertake, storeIsThere } from './take';
import { checksKeys, hasStored, inMemory, LANES, LATER_CHUNKS, pieceOf, place, settleRow } from './queue';

const STORE_ROWS = 200;
/** Stored chunks fetched at once, by reference. */
const FETCH_ROWS = 50;
/** Dead letters buried at once: chunks, and entries of rows, whose size is not known here. */
const BURY_CHUNKS = 500;
const BURY_ENTRIES = 2_000;
/**
 * From one question to the next while PostgreSQL is away, at first and at most; where it is there and refuses.
 * Milliseconds.
 */
const ASK_MS = 1_000;
const ASK_AT_MOST_MS = 5_000;
const REFUSED_AT_MOST_MS = 300_000;
/** Letters of entries that are gone, in one chunk. */
const LOST_ENTRIES = 1_000;

// ── An outage ────────────────────────────────────────────────────────────────────────────────

/** PostgreSQL did not answer, or refused what it was given: the next question comes later than this one did. */
export function storeFailed(state: ShardState, nowMs: number, isOutage: boolean): void {
  // Once for all that failed together.
  if (!storeIsThere(state) && nowMs < state.outage!.untilMs) return;
  const failures = (state.outage?.failures ?? 0) + 1;
  const pause = Math.min(isOutage ? ASK_AT_MOST_MS : REFUSED_AT_MOST_MS, ASK_MS * 2 ** Math.min(20, failures - 1));
  state.outage = { failures, untilMs: nowMs + pause };
}

/** It answers: what it did not take may be said again. */
export function storeReached(state: ShardState): void {
  if (state.outage) state.outage.reached = true;
}

/** It took what it was given. */
export function storeAnswered(state: ShardState): void {
  delete state.outage;
}

/**
 * While PostgreSQL is away what was on its way there stays in memory as far as there is room, so that batches go on
 * without it. It overtakes what lies there, where it may (`take.ts`). The front is small, and what it has must not keep
 * the back waiting.
 */
export function bridge(state: ShardState, index: KeyIndex, prefix: string): void {
  // Where keys must be looked up in PostgreSQL, nothing runs without it.
  if (storeIsThere(state) || checksKeys(state)) return;
  const { bound } = state.options;
  const overtakes = mayOvertake(state);
  for (const lane of LANES) {
    const { stored, overflow, chunks } = state[lane];
    if (!overtakes && stored.entries > 0) continue;
    const isFull = (): boolean => lane !== 'front' && inMemory(state).bytes >= bound.bytes;
    const hasRoom = (): boolean =>
      lane === 'later' ? chunks.length < LATER_CHUNKS && !isFull() : !isFull() || !chunks.some(isRunnable);
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
        place(state, lane, rest);
        noteKeys(index, rest);
      }
    }
  }
}

/** It is here, and not on its way out. */
const isRunnable = ({ entries, storing }: Chunk): boolean => entries !== undefined && !storing;

/**
 * What comes back to memory from the way out: not where a newer one of its key is on that way, or in memory; and an
 * older one does not go on there, where nobody would know of the newer one.
 */
function comesBack(state: ShardState, index: KeyIndex, chunk: Chunk, prefix: string): Chunk[] {
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

// ── To PostgreSQL ────────────────────────────────────────────────────────────────────────────

/**
 * How much may stay in memory: the bound, little when the node is short of memory, less before continue-as-new, nothing
 * when stopped.
 */
function keepBytes(state: ShardState, leaving: boolean): number {
  if (state.stopped) return 0;
  return leaving ? MINIMUM_BYTES : boundOf(state).bytes;
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

/** What is stored when a store has ended. */
export interface Storing {
  rows: StoreRow[];
  /** How many of each lane's overflow they are. */
  overflow: Record<LaneName, number>;
  /** Chunks that stay in their place. */
  inPlace: Chunk[];
  /** Of the command. */
  bytes: number;
}

/** Chooses what to store next. It stays where it is until `stored` says that it has happened. */
export function beginStore(state: ShardState, index: KeyIndex, leaving: boolean, prefix: string): Storing {
  if (state.options.key !== null) state.noted = state.nextEntry - 1;
  const storing: Storing = { rows: [], overflow: { front: 0, back: 0, later: 0 }, inPlace: [], bytes: 0 };
  const takes = (chunk: Chunk): boolean => {
    const weight = weightOf(chunk);
    if (storing.rows.length > 0 && (storing.rows.length >= STORE_ROWS || storing.bytes + weight > COMMAND_BYTES)) {
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
 * PostgreSQL has it: in memory a reference stays, or nothing where other stored entries come first. What it refused is
 * dead.
 */
export function stored(state: ShardState, storing: Storing, refused: Refused, nowMs: number): void {
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
 * Whoever told of a row has miscounted: it is taken for what it is, with numbers that nobody else has, and stored
 * again.
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
  chunk.errors = [...(chunk.errors ?? []), { at: nowMs, error: `PostgreSQL cannot keep it: ${error}`.slice(0, 500) }];
  state.burying.push(chunk);
}

function settleInto(state: ShardState, lane: LaneName, chunk: Chunk, row: StoreRow): void {
  const into = state[lane];
  const few = into.chunks.length < FETCH_ROWS;
  if (lane === 'later' || into.stored.entries > 0 || !few) {
    // Of the put-off ones it counts fetches.
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
  place(state, lane, chunk);
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
export function notStored(state: ShardState, index: KeyIndex, storing: Storing, prefix: string): void {
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
    // What came back may have put others out of their place.
    const left = new Set(state[name].chunks);
    state[name].chunks = all.flatMap((chunk) => back.get(chunk) ?? (left.has(chunk) ? [chunk] : []));
    for (const chunk of state[name].chunks) if (!left.has(chunk)) noteKeys(index, chunk);
  }
}

// ── And back ─────────────────────────────────────────────────────────────────────────────────

/** The lane whose next stored chunks should come back. */
export function wantsFetch(state: ShardState, nowMs: number): LaneName | undefined {
  const enough = batchSize(state) * (concurrencyOf(state) + 1);
  for (const name of ['front', 'back'] as const) {
    const { chunks, stored } = state[name];
    if (stored.entries === 0 || chunks.length >= FETCH_ROWS) continue;
    if (chunks.reduce((sum, chunk) => sum + chunk.count, 0) < enough) return name;
  }
  const room = state.back.chunks.length < BACK_CHUNKS;
  return room && state.laterDue !== null && state.laterDue <= nowMs ? 'later' : undefined;
}

export const fetchRows = FETCH_ROWS;

/**
 * Fetched chunks take their turn.
 * @param to the last place that was asked for; rows that have been stored since are not among them
 */
export function fetched(state: ShardState, lane: LaneName, found: FoundRows, to: number, nowMs: number): void {
  const { stored: behind } = state[lane];
  for (const chunk of found.chunks) {
    behind.entries -= chunk.count;
    behind.bytes -= chunk.bytes;
    state.rows[chunk.row] = chunk.count;
    if (lane === 'later') state.back.chunks.push({ ...chunk, at: undefined, since: 0 });
    else state[lane].chunks.push(chunk);
  }
  behind.from = found.next;
  const grew = behind.to > to;
  const seenAll = lane === 'later' ? found.laterDue === null : found.chunks.length < FETCH_ROWS;
  if (seenAll && !grew) lost(state, lane, nowMs);
  if (lane !== 'later') return;
  // Of what was put off meanwhile the next fetch tells.
  const next = grew ? Math.min(found.laterDue ?? Infinity, nowMs) : found.laterDue;
  state.laterDue = behind.entries > 0 ? next : null;
}

/**
 * All rows of a lane have been seen: entries that are counted and were not among them are gone. They are dead, and each
 * has a letter.
 */
function lost(state: ShardState, lane: LaneName, nowMs: number): void {
  const behind = state[lane].stored;
  const gone = behind.entries;
  Object.assign(behind, { entries: 0, bytes: 0 });
  if (gone <= 0) {
    // More than was known of: they came from somewhere.
    state.counts.accepted -= gone;
    return;
  }
  const error = `${gone} stored entries (${lane}) are gone from PostgreSQL`;
  state.lastError = error;
  for (let left = gone; left > 0; left -= LOST_ENTRIES) {
    const count = Math.min(left, LOST_ENTRIES);
    const row = `gone.${state.nextEntry}`;
    state.burying.push({
      first: state.nextEntry,
      count,
      bytes: 0,
      row,
      from: 0,
      since: 0,
      errors: [{ at: nowMs, error }],
    });
    state.nextEntry += count;
  }
}

/**
 * Up to which number PostgreSQL may forget the newest entries of keys: no older one of them is met any more. Null:
 * none.
 */
export function keysToForget(state: ShardState): number | null {
  if (state.options.key === null || hasStored(state)) return null;
  const alive = [
    ...LANES.flatMap((lane) => state[lane].chunks),
    ...Object.values(state.running).flatMap(({ chunks }) => chunks),
  ];
  const oldest = alive.reduce((least, { first, ages }) => Math.min(least, first, ...(ages ?? [])), state.nextEntry);
  return oldest - 1;
}

/** They are forgotten. */
export function keysForgotten(state: ShardState, upTo: number | null): void {
  if (upTo !== null && state.noted !== undefined && state.noted <= upTo && !hasStored(state)) delete state.noted;
}

// ── Dead letters ─────────────────────────────────────────────────────────────────────────────

/** The next dead letters to be buried, and what the command weighs. */
export function beginBury(state: ShardState): { chunks: Chunk[]; bytes: number } {
  const chunks: Chunk[] = [];
  let bytes = 0;
  let entries = 0;
  const [first] = state.burying;
  if (first && first.count > BURY_ENTRIES) {
    const rest = pieceOf(first, BURY_ENTRIES, first.count - BURY_ENTRIES);
    state.burying.splice(0, 1, pieceOf(first, 0, BURY_ENTRIES), rest);
  }
  for (const chunk of state.burying) {
    const weight = weightOf(chunk);
    const many = chunks.length >= BURY_CHUNKS || bytes + weight > COMMAND_BYTES || entries + chunk.count > BURY_ENTRIES;
    if (chunks.length > 0 && many) break;
    chunks.push(chunk);
    bytes += weight;
    entries += chunk.count;
  }
  return { chunks, bytes };
}

/** Chunks that were buried: they are dead now. */
export function buried(state: ShardState, count: number): void {
  for (const chunk of state.burying.splice(0, count)) {
    state.counts.dead += chunk.count;
    settleRow(state, chunk);
  }
}
