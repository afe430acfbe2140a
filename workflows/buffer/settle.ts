/**
 * Settles a batch that has ended: done, again, put off, in halves, or dead. Called by `batches.ts`, once a
 * batch; what comes again is back in a lane, what is dead is buried next (`dead-letters.ts`). Deterministic.
 */
import { hashId } from '../lib/hash';
import { jsonBytes } from '../lib/size';
import type { BatchResult, Returned } from './activities';
import { admit } from './intake';
import { keepable, keysRan, noteKeys, survivors, type KeyIndex } from './keys';
import { due } from './next-batch';
import { storeFailed } from './outage';
import { insertLater, piecesOf, settleRow } from './queue';
import type { Chunk, RunningBatch, ShardState } from './state';
import { SHARD_TUNABLES } from './tunables';

// ── What becomes of it ───────────────────────────────────────────────────────────────────────

/** Applies what a batch came to. Each batch is settled once: its result is one event of the workflow's history. */
export function settle(
  state: ShardState,
  index: KeyIndex,
  number: number,
  outcome: BatchResult['outcome'],
  nowMs: number,
): void {
  const batch = state.running[number];
  if (!batch) return;
  delete state.running[number];
  const passed = keysRan(index, batch.chunks);
  // Whether they were deleted is not known of a batch that did not answer.
  if (outcome.kind !== 'answered' || outcome.forgot === false) state.forget.push(...(batch.forget ?? []));
  const ended: Ended = { state, index, batch, passed, nowMs };
  switch (outcome.kind) {
    case 'answered':
      answered(ended, outcome);
      break;
    case 'held':
      held(ended, outcome);
      break;
    case 'gone':
      gone(ended, outcome);
      break;
    case 'failed':
      failed(ended, outcome);
      break;
  }
}

/** A batch that has ended. */
interface Ended {
  state: ShardState;
  index: KeyIndex;
  batch: RunningBatch;
  /** Numbers of its entries of which a newer one of the key has come meanwhile. */
  passed: ReadonlySet<number>;
  nowMs: number;
}

type Outcome<Kind> = Extract<BatchResult['outcome'], { kind: Kind }>;

function held(ended: Ended, { error, forMs, store }: Outcome<'held'>): void {
  const { state, batch, nowMs } = ended;
  state.lastError = error;
  if (store) {
    storeFailed(state, nowMs, true);
    for (const chunk of batch.chunks) chunk.waits = true;
  } else {
    state.holdUntil = Math.max(state.holdUntil, nowMs + holdMs(forMs));
  }
  putBack(ended, batch.chunks);
}

/** The time that was asked for, as one that can be waited for: JSON makes `null` of a value that is not a number. */
function holdMs(asked: unknown): number {
  return typeof asked === 'number' && asked >= 0 ? Math.min(asked, SHARD_TUNABLES.heldAtMostMs) : SHARD_TUNABLES.heldMs;
}

/** Rows are gone from PostgreSQL: what they had is dead, and the rest of the batch runs again. */
function gone(ended: Ended, { rows, error }: Outcome<'gone'>): void {
  const { state, batch, nowMs } = ended;
  state.lastError = error;
  const isGone = ({ row }: Chunk): boolean => row !== undefined && rows.includes(row);
  for (const chunk of batch.chunks.filter(isGone)) {
    note(chunk, error, nowMs);
    state.burying.push(chunk);
  }
  putBack(
    ended,
    batch.chunks.filter((chunk) => !isGone(chunk)),
  );
}

function answered(ended: Ended, outcome: Outcome<'answered'>): void {
  const { state, index, batch, nowMs } = ended;
  const kept = outcome.kept.filter((run) => run.count > 0).sort((a, b) => a.from - b.from);
  const again: Chunk[] = [];
  let from = 0;
  for (const run of kept) {
    for (const piece of piecesOf(batch.chunks, from, run.from - from)) settleRow(state, piece);
    again.push(...keptPieces(state, batch, run, outcome.reason, nowMs));
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
  comeAgain(ended, again);
  for (const { entries, row, count, bytes, keys, at } of outcome.fresh) {
    state.counts.accepted += count;
    const first = state.nextEntry;
    state.nextEntry += count;
    const put = at !== undefined && at > nowMs ? { at } : {};
    const where = row === undefined ? { entries: entries ?? [] } : { row, from: 0 };
    const size = entries ? jsonBytes(entries) : bytes;
    const chunk = {
      first,
      count,
      bytes: size,
      since: nowMs,
      ...where,
      ...(keys ? { keys: keepable(keys) } : {}),
      ...put,
    };
    admit(state, index, put.at === undefined ? 'back' : 'later', chunk);
  }
}

/** Entries of a run that come again: each keeps its number, and its new value (with its key) where it has one. */
function keptPieces(
  state: ShardState,
  batch: RunningBatch,
  { from, count, at, entries, row, bytes, keys }: Returned,
  reason: string | undefined,
  nowMs: number,
): Chunk[] {
  let offset = 0;
  if (row !== undefined) state.rows[row] = (state.rows[row] ?? 0) + count;
  return piecesOf(batch.chunks, from, count).map((piece) => {
    const changed = entries !== undefined || row !== undefined;
    if (changed) {
      settleRow(state, piece);
      delete piece.entries;
      delete piece.keys;
      delete piece.row;
      delete piece.from;
      if (entries) {
        piece.entries = entries.slice(offset, offset + piece.count);
        piece.bytes = jsonBytes(piece.entries);
        if (keys) piece.keys = keepable(keys.slice(offset, offset + piece.count));
      } else {
        piece.bytes = Math.ceil(((bytes ?? piece.bytes) * piece.count) / count);
        Object.assign(piece, { row, from: offset });
      }
    }
    offset += piece.count;
    piece.since = 0;
    // The cause is known: there is no culprit to look for.
    delete piece.limit;
    delete piece.failed;
    if (at === undefined) {
      piece.attempts = (piece.attempts ?? 0) + 1;
      note(piece, reason ?? 'run asked for it again', nowMs);
      piece.at = nowMs + backoff(state, piece.attempts, piece.first);
    } else {
      piece.at = at;
    }
    return piece;
  });
}

function failed(ended: Ended, outcome: Outcome<'failed'>): void {
  const { state, batch, nowMs } = ended;
  state.lastError = outcome.error;
  if (outcome.tooLarge && batch.count > 1) {
    // Nothing is wrong with the entries: they run again at once, fewer at a time.
    state.learned = { size: Math.max(1, Math.ceil(batch.count / 2)), wins: 0 };
    putBack(ended, batch.chunks);
    return;
  }
  state.failuresInRow++;
  if (state.failuresInRow >= SHARD_TUNABLES.patience) {
    const { baseMs, capMs } = state.options.retry;
    const hold = Math.min(
      baseMs * 2 ** Math.min(20, state.failuresInRow - SHARD_TUNABLES.patience),
      capMs,
      SHARD_TUNABLES.holdCapMs,
    );
    state.holdUntil = Math.max(state.holdUntil, nowMs + hold);
  }
  const again = batch.chunks.map((chunk) => ({ ...chunk, since: 0 }));
  for (const chunk of again) note(chunk, outcome.error, nowMs);
  if (batch.count === 1) {
    const [only] = again as [Chunk];
    only.attempts = outcome.final ? state.options.retry.attempts : (only.attempts ?? 0) + 1;
    only.limit = 1;
    only.at = nowMs + backoff(state, only.attempts, only.first);
  } else {
    const tries = Math.max(...again.map((chunk) => chunk.failed ?? 0)) + 1;
    const halve = outcome.final || tries >= SHARD_TUNABLES.wholeTries;
    for (const chunk of again) {
      chunk.failed = tries;
      chunk.limit = halve ? Math.ceil(Math.min(chunk.count, batch.count - 1) / 2) : chunk.count;
      // A half follows at once; the whole waits, for most failures pass by themselves.
      chunk.at = halve ? nowMs : nowMs + backoff(state, tries, chunk.first);
    }
  }
  comeAgain(ended, again);
}

/**
 * Sends chunks that come again where they belong: to the dead, to the head of the shard (ordered), or to the back when
 * their time has come.
 */
function comeAgain(ended: Ended, chunks: Chunk[]): void {
  const { state, index, passed, nowMs } = ended;
  const isDead = (chunk: Chunk): boolean => (chunk.attempts ?? 0) >= state.options.retry.attempts;
  state.burying.push(...chunks.filter(isDead));
  const alive = chunks.filter((chunk) => !isDead(chunk));
  if (state.options.ordered) {
    putBack(ended, alive);
    return;
  }
  for (const chunk of alive) {
    for (const rest of survivors(state, index, chunk, passed)) {
      if (rest.at! > nowMs || state.back.chunks.length >= SHARD_TUNABLES.backChunks) later(state, index, rest);
      else due(state, index, rest);
    }
  }
}

function later(state: ShardState, index: KeyIndex, chunk: Chunk): void {
  if (state.later.chunks.length >= SHARD_TUNABLES.laterChunks) {
    state.later.overflow.push(chunk);
    return;
  }
  insertLater(state.later.chunks, chunk);
  noteKeys(index, chunk);
}

/** To the head of the front lane, in their order: they were the first before. */
function putBack({ state, index, passed }: Ended, chunks: readonly Chunk[]): void {
  const rest = chunks.flatMap((chunk) => survivors(state, index, { ...chunk, since: 0 }, passed));
  state.front.chunks.unshift(...rest);
  for (const chunk of rest) noteKeys(index, chunk);
}

function note(chunk: Chunk, error: string, at: number): void {
  chunk.errors = [...(chunk.errors ?? []), { at, error: error.slice(0, SHARD_TUNABLES.errorLength) }].slice(
    -SHARD_TUNABLES.errors,
  );
}

function grow(state: ShardState, count: number): void {
  const { learned, options } = state;
  if (!learned || count < learned.size) return;
  if (++learned.wins < SHARD_TUNABLES.wins) return;
  learned.wins = 0;
  learned.size = Math.ceil(learned.size * 1.1);
  if (learned.size >= options.maxBatchSize) state.learned = null;
}

/**
 * Doubles with each attempt up to the cap, ± 20 % by hash so that what failed together does not come again together.
 */
export function backoff(state: ShardState, attempt: number, entry: number): number {
  const { baseMs, capMs } = state.options.retry;
  const share = hashId(`${entry}/${attempt}`) / 2 ** 32;
  return Math.round(Math.min(capMs, baseMs * 2 ** Math.min(30, attempt - 1)) * (0.8 + 0.4 * share));
}
