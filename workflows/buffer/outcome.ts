/**
 * Which entries make the next batch, and what becomes of them when it has ended: done, again later, in halves, or dead.
 * Called by `shard.ts` around each batch; deterministic, and every path keeps the law of the counts (`contract.ts`).
 */
import { hashId } from '../tracker/plan';
import type { BatchInput, BatchResult, DeadPage, Kept } from './activities';
import type { Chunk, RunningBatch, ShardState } from './state';
import { admit, dropKeys, noteKeys, place, type KeyIndex } from './intake';
import { cutHead, insertLater, laneEntries, LATER_CHUNKS, pieceOf, piecesOf, settleRow } from './queue';

/** Characters of entries that travel in one batch's input, and that one batch reads from PostgreSQL. */
const BATCH_BYTES = 440_000;
const BATCH_STORED_BYTES = 8_000_000;
/** Parts of a batch: each is a few words of its input. */
const BATCH_CHUNKS = 500;
/** A whole batch is tried this often before it is halved: most failures pass by themselves. */
const WHOLE_TRIES = 2;
/** Failures in a row before the shard itself waits between batches, and how long at most. */
const PATIENCE = 3;
const HOLD_CAP_MS = 5_000;
/** Full batches that must go well before a learned size grows by a tenth. */
const WINS = 5;
/** More parts than these at the back wait among the put-off ones, which go to PostgreSQL: an upstream that refuses all cuts everything up. */
export const BACK_CHUNKS = 100;
/** Errors that an entry remembers, and how much of each. */
const ERRORS = 5;
const ERROR_LENGTH = 500;

// ── The next batch ───────────────────────────────────────────────────────────────────────────

export function batchSize(state: ShardState): number {
  return Math.min(state.options.maxBatchSize, state.learned?.size ?? Infinity);
}

export function concurrencyOf({ options }: ShardState): number {
  return options.ordered ? 1 : options.maxConcurrency;
}

/**
 * What the next batch would be: `now`: take it; a time: not before then; undefined: nothing until something happens.
 */
export function batchReady(state: ShardState, now: number): 'now' | number | undefined {
  if (state.paused || state.stopped || Object.keys(state.running).length >= concurrencyOf(state)) return undefined;
  const head = headLane(state);
  if (!head) return undefined;
  const ready = headReady(state, head, now);
  if (ready === undefined) return undefined;
  const at = Math.max(ready, state.holdUntil);
  return at <= now ? 'now' : at;
}

/** The lane whose turn it is. What is on its way to or from PostgreSQL keeps its turn. */
function headLane(state: ShardState): 'front' | 'back' | undefined {
  if (laneEntries(state.front) > 0) return state.front.chunks.length > 0 ? 'front' : undefined;
  return state.back.chunks.length > 0 ? 'back' : undefined;
}

/** When the lane's head may run: at once when there is enough for a batch or it has waited long enough. */
function headReady(state: ShardState, name: 'front' | 'back', now: number): number | undefined {
  const { chunks, stored, overflow } = state[name];
  const head = chunks[0]!;
  if (head.storing) return undefined;
  // Only in ordered mode: what comes again holds the others.
  if (head.at !== undefined && head.at > now) return head.at;
  if (head.limit !== undefined || stored.entries > 0 || overflow.length > 0) return now;
  const size = batchSize(state);
  let count = 0;
  let since = Infinity;
  for (const lane of name === 'front' ? [state.front, state.back] : [state.back]) {
    for (const chunk of lane.chunks) {
      if (chunk.first < state.flushBelow) return now;
      since = Math.min(since, chunk.since);
      count += chunk.count;
      if (count >= size) return now;
    }
  }
  if (since === 0) return now;
  const { flushIntervalMs } = state.options;
  return flushIntervalMs === null ? undefined : since + flushIntervalMs;
}

/** Takes the next batch out of the queue. Call it only when `batchReady` says `now`. */
export function takeBatch(state: ShardState, index: KeyIndex, now: number): { number: number; batch: RunningBatch } {
  const size = batchSize(state);
  const batch: RunningBatch = { chunks: [], count: 0 };
  let inline = 0;
  let stored = 0;
  for (const name of ['front', 'back'] as const) {
    const { chunks } = state[name];
    while (chunks.length > 0 && batch.count < size && batch.chunks.length < BATCH_CHUNKS) {
      const head = chunks[0]!;
      if (head.storing || (head.at !== undefined && head.at > now)) break;
      const alone = head.limit !== undefined;
      if (alone && batch.count > 0) break;
      const left = Math.min(size - batch.count, head.limit ?? Infinity);
      const room = head.entries ? BATCH_BYTES - inline : BATCH_STORED_BYTES - stored;
      const fits = Math.floor(room / Math.max(1, head.bytes / head.count));
      const count = Math.min(head.count, left, batch.count === 0 ? Math.max(1, fits) : fits);
      if (count <= 0) break;
      const piece = cutHead(chunks, count);
      if (piece.entries) {
        inline += piece.bytes;
        dropKeys(index, piece);
      } else {
        stored += piece.bytes;
      }
      batch.chunks.push(piece);
      batch.count += count;
      if (alone) break;
    }
    // The back must not overtake what is still to come of the front.
    if (laneEntries(state.front) > 0 || batch.chunks[0]?.limit !== undefined) break;
  }
  const number = state.nextBatch++;
  state.running[number] = batch;
  return { number, batch };
}

export function batchInput(
  state: ShardState,
  where: { buffer: string; shard: number },
  number: number,
  checkKeys: boolean,
): BatchInput {
  const { chunks, count } = state.running[number]!;
  return {
    ...where,
    batch: number,
    count,
    // What only the workflow needs stays here.
    chunks: chunks.map(({ first, count, bytes, entries, row, from, keys }) => ({
      first,
      count,
      bytes,
      since: 0,
      ...(entries ? { entries } : { row, from }),
      ...(keys && checkKeys ? { keys } : {}),
    })),
    state: state.userState,
    checkKeys,
    timeoutMs: state.options.timeoutMs,
    forget: state.forget.splice(0, 100),
  };
}

// ── What becomes of it ───────────────────────────────────────────────────────────────────────

/** Applies what a batch came to. Each batch is settled once: its result is one event of the workflow's history. */
export function settle(
  state: ShardState,
  index: KeyIndex,
  number: number,
  outcome: BatchResult['outcome'],
  now: number,
): void {
  const batch = state.running[number];
  if (!batch) return;
  delete state.running[number];
  switch (outcome.kind) {
    case 'answered':
      answered(state, index, batch, outcome, now);
      break;
    case 'held':
      state.lastError = outcome.error;
      state.holdUntil = Math.max(state.holdUntil, now + outcome.forMs);
      putBack(state, index, batch.chunks);
      break;
    case 'failed':
      failed(state, index, batch, outcome, now);
      break;
  }
}

function answered(
  state: ShardState,
  index: KeyIndex,
  batch: RunningBatch,
  outcome: Extract<BatchResult['outcome'], { kind: 'answered' }>,
  now: number,
): void {
  const kept = outcome.kept.filter((run) => run.count > 0).sort((a, b) => a.from - b.from);
  const again: Chunk[] = [];
  let from = 0;
  for (const run of kept) {
    for (const piece of piecesOf(batch.chunks, from, run.from - from)) settleRow(state, piece);
    again.push(...keptPieces(state, batch, run, outcome.reason, now));
    from = run.from + run.count;
  }
  for (const piece of piecesOf(batch.chunks, from, batch.count - from)) settleRow(state, piece);

  const keptCount = kept.reduce((sum, run) => sum + run.count, 0);
  state.counts.merged += outcome.voided;
  state.counts.done += batch.count - keptCount - outcome.voided;
  if (outcome.state !== undefined) {
    state.userState = outcome.state;
    state.stateVersion++;
  }
  state.failuresInRow = 0;
  grow(state, batch.count);
  comeAgain(state, index, again, now);
  for (const { entries, row, count, bytes, keys, at } of outcome.fresh) {
    state.counts.accepted += count;
    const first = state.nextEntry;
    state.nextEntry += count;
    const put = at !== undefined && at > now ? { at } : {};
    const where = row === undefined ? { entries: entries ?? [] } : { row, from: 0 };
    const chunk = { first, count, bytes, since: now, ...where, ...(keys ? { keys } : {}), ...put };
    admit(state, index, put.at === undefined ? 'back' : 'later', chunk);
  }
}

/** Entries of a run that come again: each keeps its number, and its new value where it has one. */
function keptPieces(
  state: ShardState,
  batch: RunningBatch,
  { from, count, at, entries, row, bytes }: Kept,
  reason: string | undefined,
  now: number,
): Chunk[] {
  let offset = 0;
  if (row !== undefined) state.rows[row] = (state.rows[row] ?? 0) + count;
  return piecesOf(batch.chunks, from, count).map((piece) => {
    const changed = entries !== undefined || row !== undefined;
    if (changed) {
      settleRow(state, piece);
      piece.bytes = Math.ceil(((bytes ?? piece.bytes) * piece.count) / count);
      delete piece.entries;
      delete piece.row;
      delete piece.from;
      if (entries) piece.entries = entries.slice(offset, offset + piece.count);
      else Object.assign(piece, { row, from: offset });
    }
    offset += piece.count;
    piece.since = 0;
    // The cause is known: there is no culprit to look for.
    delete piece.limit;
    delete piece.failed;
    if (at === undefined) {
      piece.attempts = (piece.attempts ?? 0) + 1;
      note(piece, reason ?? 'run asked for it again', now);
      piece.at = now + backoff(state, piece.attempts, piece.first);
    } else {
      piece.at = at;
    }
    return piece;
  });
}

function failed(
  state: ShardState,
  index: KeyIndex,
  batch: RunningBatch,
  outcome: Extract<BatchResult['outcome'], { kind: 'failed' }>,
  now: number,
): void {
  state.lastError = outcome.error;
  if (outcome.tooLarge && batch.count > 1) {
    // Nothing is wrong with the entries: they run again at once, fewer at a time.
    state.learned = { size: Math.max(1, Math.ceil(batch.count / 2)), wins: 0 };
    putBack(state, index, batch.chunks);
    return;
  }
  state.failuresInRow++;
  if (state.failuresInRow >= PATIENCE) {
    const { baseMs, capMs } = state.options.retry;
    const hold = Math.min(baseMs * 2 ** Math.min(20, state.failuresInRow - PATIENCE), capMs, HOLD_CAP_MS);
    state.holdUntil = Math.max(state.holdUntil, now + hold);
  }
  const again = batch.chunks.map((chunk) => ({ ...chunk, since: 0 }));
  for (const chunk of again) note(chunk, outcome.error, now);
  if (batch.count === 1) {
    const [only] = again as [Chunk];
    only.attempts = outcome.final ? state.options.retry.attempts : (only.attempts ?? 0) + 1;
    only.limit = 1;
    only.at = now + backoff(state, only.attempts, only.first);
  } else {
    const tries = Math.max(...again.map((chunk) => chunk.failed ?? 0)) + 1;
    const halve = outcome.final || tries >= WHOLE_TRIES;
    for (const chunk of again) {
      chunk.failed = tries;
      chunk.limit = halve ? Math.ceil(Math.min(chunk.count, batch.count - 1) / 2) : chunk.count;
      // A half follows at once; the whole waits, for most failures pass by themselves.
      chunk.at = halve ? now : now + backoff(state, tries, chunk.first);
    }
  }
  comeAgain(state, index, again, now);
}

/** Where what comes again goes: dead, at the head of its shard (ordered), or to the back when its time has come. */
function comeAgain(state: ShardState, index: KeyIndex, chunks: Chunk[], now: number): void {
  const isDead = (chunk: Chunk): boolean => (chunk.attempts ?? 0) >= state.options.retry.attempts;
  state.burying.push(...chunks.filter(isDead));
  const alive = chunks.filter((chunk) => !isDead(chunk));
  if (state.options.ordered) {
    putBack(state, index, alive);
    return;
  }
  for (const chunk of alive.flatMap((one) => newest(state, index, one))) {
    if (chunk.at! > now || state.back.chunks.length >= BACK_CHUNKS) later(state, index, chunk);
    else due(state, index, chunk);
  }
}

function later(state: ShardState, index: KeyIndex, chunk: Chunk): void {
  if (state.later.chunks.length >= LATER_CHUNKS) {
    state.later.overflow.push(chunk);
    return;
  }
  insertLater(state.later.chunks, chunk);
  if (chunk.entries) noteKeys(index, chunk);
}

/** What is due goes to the back of what is in memory; of what lies in PostgreSQL it was taken out before. */
function due(state: ShardState, index: KeyIndex, chunk: Chunk): void {
  delete chunk.at;
  chunk.since = 0;
  place(state, 'back', chunk);
  if (chunk.entries) noteKeys(index, chunk);
}

/** Moves what was put off until now to the back. */
export function moveDue(state: ShardState, index: KeyIndex, now: number): void {
  const { chunks } = state.later;
  const hasRoom = (): boolean => state.back.chunks.length < BACK_CHUNKS;
  while (hasRoom() && chunks.length > 0 && chunks[0]!.at! <= now && !chunks[0]!.storing)
    due(state, index, chunks.shift()!);
}

/** To the head of the front lane, in their order: they were the first before. */
function putBack(state: ShardState, index: KeyIndex, chunks: Chunk[]): void {
  const rest = chunks.flatMap((chunk) => newest(state, index, { ...chunk, since: 0 }));
  state.front.chunks.unshift(...rest);
  for (const chunk of rest) if (chunk.entries) noteKeys(index, chunk);
}

/** Without the entries of which a newer one of the same key has come meanwhile; numbers within a run follow one another. */
function newest(state: ShardState, index: KeyIndex, chunk: Chunk): Chunk[] {
  const { keys } = chunk;
  if (!keys || !chunk.entries) return [chunk];
  const stale = (i: number): boolean => keys[i] !== null && (index.get(keys[i]!) ?? 0) > chunk.first + i;
  const runs: Chunk[] = [];
  for (let from = 0, i = 0; i <= chunk.count; i++) {
    if (i < chunk.count && !stale(i)) continue;
    if (i > from) runs.push(pieceOf(chunk, from, i - from));
    if (i < chunk.count) state.counts.merged++;
    from = i + 1;
  }
  return runs;
}

function note(chunk: Chunk, error: string, at: number): void {
  chunk.errors = [...(chunk.errors ?? []), { at, error: error.slice(0, ERROR_LENGTH) }].slice(-ERRORS);
}

function grow(state: ShardState, count: number): void {
  const { learned, options } = state;
  if (!learned || count < learned.size) return;
  if (++learned.wins < WINS) return;
  learned.wins = 0;
  learned.size = Math.ceil(learned.size * 1.1);
  if (learned.size >= options.maxBatchSize) state.learned = null;
}

/** Doubles with each attempt up to the cap, ± 20 % by hash so that what failed together does not come again together. */
export function backoff(state: ShardState, attempt: number, entry: number): number {
  const { baseMs, capMs } = state.options.retry;
  const share = hashId(`${entry}/${attempt}`) / 2 ** 32;
  return Math.round(Math.min(capMs, baseMs * 2 ** Math.min(30, attempt - 1)) * (0.8 + 0.4 * share));
}

/** Chunks that were buried: they are dead now. */
export function buried(state: ShardState, count: number): void {
  for (const chunk of state.burying.splice(0, count)) {
    state.counts.dead += chunk.count;
    settleRow(state, chunk);
  }
}

/**
 * A page of dead letters that an operator has taken out: dropped, or pending again. Those get new numbers, for their rows keep
 * the old ones as a record.
 */
export function revive(
  state: ShardState,
  index: KeyIndex,
  page: DeadPage,
  order: { action: 'retry' | 'drop'; front?: boolean },
): void {
  const { count, bytes, entries, row, keys } = page;
  state.counts.dead -= count;
  if (order.action === 'drop') {
    state.counts.dropped += count;
    return;
  }
  const first = state.nextEntry;
  state.nextEntry += count;
  const where = row === undefined ? { entries: entries ?? [] } : { row, from: 0 };
  const chunk: Chunk = { first, count, bytes, since: 0, ...where, ...(keys ? { keys } : {}) };
  admit(state, index, order.front ? 'front' : 'back', chunk);
}
