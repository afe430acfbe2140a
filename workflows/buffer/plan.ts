/**
 * What a shard does next, as a pure function of its state and the moment: run a batch, store, fetch, bury, tell, report, continue
 * as new, or wait. `shard.ts` carries it out; a property test drives it through random histories.
 */
import type { ShardStatus } from './contract';
import type { StoreRow } from './activities';
import type { Chunk, Lane, LaneName, ShardState } from './state';
import { boundOf, dropKeys, MINIMUM_BYTES, noteKeys, place, type KeyIndex } from './intake';
import { BACK_CHUNKS, batchReady, batchSize, concurrencyOf } from './outcome';
import { roomFor } from './init';
import { carriedBytes, countsOf, inMemory, laneEntries, LANES, settleRow, waitingOf } from './queue';

/** Continue-as-new may carry this much (the payload limit is 2 MB, a warning comes at 512 KB). Characters. */
export const CARRY_BYTES = 256 * 1024;
/** While PostgreSQL is away and nothing can be stored: rather this than a history past its limit. */
export const CARRY_BYTES_AT_MOST = 1_200_000;
/** What errors may take of it, and what is left of each where they take more. Characters. */
const WORD_BYTES = CARRY_BYTES / 3;
const LAST_WORD = 80;
/** A store activity's input at most. */
const STORE_BYTES = 440_000;
const STORE_ROWS = 200;
/** Stored chunks fetched at once, by reference. */
const FETCH_ROWS = 50;
/** Dead letters buried at once. */
const BURY_CHUNKS = 500;
const BURY_BYTES = 440_000;
/** The node is told at once, without a trace in the history. What must not get lost is reported after a rest of this. Milliseconds. */
const REPORT_MS = 2_000;
/** The same while batches run: their end is another occasion. */
const BUSY_REPORT_MS = 10_000;
/** A shorter rest between two batches is none: the parent is not told of it, and not more often. Milliseconds. */
const ROOM_MS = 500;
/** History of a run, beside the option `historyEvents`. */
export const HISTORY_BYTES = 6_000_000;
/** Past this a batch that still runs is taken back, so that the history cannot reach its limit. */
const HISTORY_EVENTS_AT_MOST = 12_000;
const HISTORY_BYTES_AT_MOST = 20_000_000;

/** What the shard's workflow knows beside its state. */
export interface ShardMoment {
  nowMs: number;
  storing: boolean;
  fetching: boolean;
  burying: boolean;
  reviving: boolean;
  reporting: boolean;
  /** Something has changed since the node was told. */
  untold: boolean;
  /** Something has changed since the last report. */
  unreported: boolean;
  lastReportMs: number;
  /** The parent is being told of the shard's room. */
  tellingRoom: boolean;
  /** Entries that the parent believes to wait here; null: nobody knows. */
  believed: number | null;
  /** The pass of `init` goes on, as far as is known: the parent waits for room. */
  morePages: boolean;
  lastRoomMs: number;
  /** Since when nothing waits or runs; null: something does. */
  restsSinceMs: number | null;
  /** PostgreSQL did not take the last store; not before this. */
  storeNotBeforeMs: number;
  handlersBusy: boolean;
  historyEvents: number;
  historyBytes: number;
  /** Running batches have been asked to give back. */
  takingBack: boolean;
}

export type ShardStep =
  | { do: 'run' }
  | { do: 'store' }
  | { do: 'fetch'; lane: LaneName }
  | { do: 'bury'; count: number }
  | { do: 'revive' }
  | { do: 'tell' }
  | { do: 'report' }
  | { do: 'tellRoom' }
  | { do: 'takeBack' }
  | { do: 'slim' }
  | { do: 'continueAsNew' }
  | { do: 'end' }
  | { do: 'wait'; untilMs?: number };

export function nextShardStep(state: ShardState, moment: ShardMoment): ShardStep {
  const { nowMs } = moment;
  const full = state.stopped === true || historyFull(state, moment);
  if (!moment.storing && nowMs >= moment.storeNotBeforeMs && wantsStore(state, full)) return { do: 'store' };
  if (!moment.burying && state.burying.length > 0 && nowMs >= moment.storeNotBeforeMs) {
    return { do: 'bury', count: buryCount(state) };
  }
  if (full) {
    const { storing, fetching, burying, reviving, reporting, tellingRoom } = moment;
    const idle = !storing && !fetching && !burying && !reviving && !reporting && !tellingRoom;
    const running = Object.keys(state.running).length;
    if (wordBytes(state) > WORD_BYTES) return { do: 'slim' };
    const fits = carriedBytes(state) <= carryLimit(moment);
    if (idle && running === 0 && !moment.handlersBusy) {
      if (fits && !state.stopped) return { do: 'continueAsNew' };
      if (fits && nowMs >= moment.storeNotBeforeMs) return { do: 'end' };
    }
    if (running > 0 && !moment.takingBack && overfull(moment)) return { do: 'takeBack' };
    // Batches go on while more is left than may be carried: what they take needs no storing.
    const goesOn = !moment.takingBack && !overfull(moment) && !fits;
    if (goesOn && batchReady(state, nowMs) === 'now') return { do: 'run' };
    return { do: 'wait', ...(moment.storeNotBeforeMs > nowMs ? { untilMs: moment.storeNotBeforeMs } : {}) };
  }
  if (!moment.reviving && state.deadOrders.length > 0 && nowMs >= moment.storeNotBeforeMs) return { do: 'revive' };
  if (!moment.fetching && nowMs >= moment.storeNotBeforeMs) {
    const lane = wantsFetch(state, nowMs);
    if (lane) return { do: 'fetch', lane };
  }
  const ready = batchReady(state, nowMs);
  if (ready === 'now') return { do: 'run' };
  const reportAt = nextReport(state, moment);
  if (reportAt !== undefined && nowMs >= reportAt) return { do: 'report' };
  if (moment.untold) return { do: 'tell' };
  const roomAt = nextRoom(state, moment);
  if (roomAt !== undefined && nowMs >= roomAt) return { do: 'tellRoom' };

  const waits = [
    ...(ready === undefined ? [] : [ready]),
    ...(reportAt === undefined || isBusy(state) ? [] : [reportAt]),
    ...(roomAt === undefined ? [] : [roomAt]),
    ...(state.later.chunks[0]?.at === undefined ? [] : [state.later.chunks[0].at]),
    ...(state.laterDue === null || moment.fetching ? [] : [state.laterDue]),
    ...(moment.storeNotBeforeMs > nowMs ? [moment.storeNotBeforeMs] : []),
  ].filter((at) => at > nowMs);
  return waits.length > 0 ? { do: 'wait', untilMs: Math.min(...waits) } : { do: 'wait' };
}

function isBusy(state: ShardState): boolean {
  return Object.keys(state.running).length > 0;
}

function nextReport(
  state: ShardState,
  { unreported, reporting, lastReportMs, restsSinceMs }: ShardMoment,
): number | undefined {
  if (!unreported || reporting) return undefined;
  return isBusy(state) ? lastReportMs + BUSY_REPORT_MS : Math.max(lastReportMs, restsSinceMs ?? 0) + REPORT_MS;
}

/** At once where the parent would read another page of `init`; that the shard is drained, or is so no more, after a while. */
function nextRoom(state: ShardState, moment: ShardMoment): number | undefined {
  const { tellingRoom, believed, morePages, lastRoomMs, restsSinceMs } = moment;
  if (!state.options.init || tellingRoom) return undefined;
  const waiting = waitingOf(state);
  if (believed === null || (morePages && believed - waiting >= roomFor(state.options))) return 0;
  if ((believed === 0) === (waiting === 0)) return undefined;
  return Math.max(lastRoomMs, restsSinceMs ?? 0) + ROOM_MS;
}

export function historyFull({ options }: ShardState, { historyEvents, historyBytes }: ShardMoment): boolean {
  return historyEvents >= options.historyEvents || historyBytes >= HISTORY_BYTES;
}

function overfull({ historyEvents, historyBytes }: ShardMoment): boolean {
  return historyEvents >= HISTORY_EVENTS_AT_MOST || historyBytes >= HISTORY_BYTES_AT_MOST;
}

function carryLimit(moment: ShardMoment): number {
  return moment.nowMs < moment.storeNotBeforeMs || overfull(moment) ? CARRY_BYTES_AT_MOST : CARRY_BYTES;
}

function wordBytes(state: ShardState): number {
  return withErrors(state).reduce((sum, { errors }) => sum + JSON.stringify(errors).length, 0);
}

function withErrors(state: ShardState): Chunk[] {
  return LANES.flatMap((lane) => [...state[lane].chunks, ...state[lane].overflow]).filter(({ errors }) => errors);
}

/** Those that remember the most of what went wrong: all that have more than the last word of it, else all that have any. */
function wordiest(state: ShardState): Chunk[] {
  const all = withErrors(state);
  const wordy = all.filter(({ errors }) => errors!.length > 1 || errors![0]!.error.length > LAST_WORD);
  return wordy.length > 0 ? wordy : all;
}

/** Forgets errors where continue-as-new would carry too many: first all but the beginning of each entry's last one, then that. */
export function slim(state: ShardState): void {
  for (const chunk of wordiest(state)) {
    const { at, error } = chunk.errors!.at(-1)!;
    if (chunk.errors!.length === 1 && error.length <= LAST_WORD) delete chunk.errors;
    else chunk.errors = [{ at, error: error.slice(0, LAST_WORD) }];
  }
}

// ── To PostgreSQL and back ───────────────────────────────────────────────────────────────────

/** How much may stay in memory: the bound, little when the node is short of memory, less before continue-as-new, nothing when stopped. */
function keepBytes(state: ShardState, full: boolean): number {
  if (state.stopped) return 0;
  return full ? MINIMUM_BYTES : boundOf(state).bytes;
}

function wantsStore(state: ShardState, full: boolean): boolean {
  if (LANES.some((lane) => state[lane].overflow.length > 0)) return true;
  return inMemory(state).bytes > keepBytes(state, full) && shrinkable(state).length > 0;
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
}

/** Chooses what to store next. It stays where it is until `stored` says that it has happened. */
export function beginStore(state: ShardState, index: KeyIndex, full: boolean, prefix: string): Storing {
  const storing: Storing = { rows: [], overflow: { front: 0, back: 0, later: 0 }, inPlace: [] };
  let bytes = 0;
  const takes = (chunk: Chunk): boolean => {
    const size = chunk.entries ? chunk.bytes : 0;
    if (storing.rows.length >= STORE_ROWS || (bytes > 0 && bytes + size > STORE_BYTES)) return false;
    bytes += size;
    return true;
  };
  for (const lane of LANES) {
    for (const chunk of state[lane].overflow) {
      if (!takes(chunk)) break;
      const place = (chunk.place ??= state.nextRow++);
      // Nothing joins it any more.
      chunk.storing = true;
      // A part of a row becomes a row of its own; one that a sender has written is taken over.
      const whole = chunk.row !== undefined && state.rows[chunk.row] === undefined;
      storing.rows.push({ id: whole ? chunk.row! : `${prefix}.${place}`, lane, place, chunk });
      storing.overflow[lane]++;
    }
  }
  if (storing.rows.length > 0) return storing;
  let left = inMemory(state).bytes - keepBytes(state, full);
  for (const chunk of shrinkable(state)) {
    if (left <= 0 || !takes(chunk)) break;
    left -= chunk.bytes;
    chunk.storing = true;
    dropKeys(index, chunk);
    storing.rows.push({ id: `${prefix}.${state.nextRow++}`, lane: 'back', place: null, chunk });
    storing.inPlace.push(chunk);
  }
  return storing;
}

/** PostgreSQL has it: in memory a reference stays, or nothing where other stored entries come first. */
export function stored(state: ShardState, storing: Storing): void {
  for (const { id, place: at, chunk } of storing.rows) if (at === null) refer(state, chunk, id);
  for (const lane of LANES) {
    const done = state[lane].overflow.splice(0, storing.overflow[lane]);
    const rows = storing.rows.filter((row) => row.place !== null && row.lane === lane);
    done.forEach((chunk, i) => settleInto(state, lane, chunk, rows[i]!));
  }
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

/** PostgreSQL did not take it: as much as memory may hold is kept there, so that batches go on without it. */
export function notStored(state: ShardState, index: KeyIndex, storing: Storing): void {
  for (const { chunk } of storing.rows) delete chunk.storing;
  for (const chunk of storing.inPlace) noteKeys(index, chunk);
  for (const lane of ['front', 'back'] as const) {
    const { stored: behind, overflow } = state[lane];
    while (behind.entries === 0 && overflow[0]?.entries && inMemory(state).bytes < state.options.bound.bytes) {
      const chunk = overflow.shift()!;
      delete chunk.place;
      place(state, lane, chunk);
      noteKeys(index, chunk);
    }
  }
}

/** The lane whose next stored chunks should come back. */
function wantsFetch(state: ShardState, nowMs: number): LaneName | undefined {
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

/** Fetched chunks take their turn. */
export function fetched(
  state: ShardState,
  lane: LaneName,
  found: { chunks: (Chunk & { row: string })[]; next: number; laterDue: number | null },
): void {
  const { stored: behind } = state[lane];
  for (const chunk of found.chunks) {
    behind.entries -= chunk.count;
    behind.bytes -= chunk.bytes;
    state.rows[chunk.row] = chunk.count;
    if (lane === 'later') state.back.chunks.push({ ...chunk, at: undefined, since: 0 });
    else state[lane].chunks.push(chunk);
  }
  if (lane === 'later') state.laterDue = behind.entries > 0 ? found.laterDue : null;
  behind.from = found.next;
}

function buryCount(state: ShardState): number {
  let count = 0;
  let bytes = 0;
  for (const chunk of state.burying) {
    if (count > 0 && (count >= BURY_CHUNKS || bytes + chunk.bytes > BURY_BYTES)) break;
    count++;
    if (chunk.entries) bytes += chunk.bytes;
  }
  return count;
}

// ── What is told ─────────────────────────────────────────────────────────────────────────────

export function shardStatus(state: ShardState, buffer: string, shard: number, nowMs: number): ShardStatus {
  const memory = inMemory(state);
  const stored = LANES.reduce((sum, lane) => sum + state[lane].stored.entries, 0);
  const byReference = Object.values(state.rows).reduce((sum, count) => sum + count, 0);
  return {
    buffer,
    shard,
    ...countsOf(state),
    state: state.stopped ? 'stopped' : state.paused ? 'paused' : state.holdUntil > nowMs ? 'held' : 'running',
    inMemory: memory.entries,
    stored: stored + byReference,
    putOff: laneEntries(state.later),
    bytes: memory.bytes,
    batches: Object.keys(state.running).length,
    spilling: isSpilling(state),
    shrunk: state.shrunk,
    atMinimum: memory.bytes <= MINIMUM_BYTES,
    learnedSize: state.learned?.size ?? null,
    failuresInRow: state.failuresInRow,
    userState: state.userState,
    stateVersion: state.stateVersion,
    lastError: state.lastError,
    runs: state.runs,
  };
}

/** What comes now would go to PostgreSQL: senders may as well put it there themselves. */
export function isSpilling(state: ShardState): boolean {
  if (state.shrunk && inMemory(state).bytes > MINIMUM_BYTES) return true;
  return LANES.some((lane) => state[lane].stored.entries > 0 || state[lane].overflow.some((chunk) => chunk.entries));
}
