/**
 * Chooses the entries of the next batch, and its time. Called by `plan.ts` and, to take it, by `shard.ts`; what becomes
 * of it is in `settle.ts`. Deterministic.
 */
import { jsonBytes } from '../lib/size';
import type { BatchInput } from './activities';
import { dropKeys, keysRun, noteKeys, type KeyIndex } from './keys';
import type { Chunk, RunningBatch, ShardState } from './state';
import { checksKeys, cutHead, fitting, laneEntries, putInto } from './queue';
import { mayOvertake, storeIsThere } from './outage';
import { SHARD_TUNABLES } from './tunables';

export function batchSize(state: ShardState): number {
  return Math.min(state.options.maxBatchSize, state.learned?.size ?? Infinity);
}

export function concurrencyOf({ options }: ShardState): number {
  return options.ordered ? 1 : options.maxConcurrency;
}

/**
 * When the next batch may be taken: `now`; a time: not before then; undefined: not until something happens.
 */
export function batchReady(state: ShardState, nowMs: number): 'now' | number | undefined {
  if (state.paused || state.stopped || Object.keys(state.running).length >= concurrencyOf(state)) return undefined;
  const head = headLane(state);
  if (!head) return undefined;
  const ready = headReady(state, head, nowMs);
  if (ready === undefined) return undefined;
  const at = Math.max(ready, state.holdUntil);
  return at <= nowMs ? 'now' : at;
}

/** Whether a batch of it can do without PostgreSQL, while that is away. */
function isHere(state: ShardState, chunk: Chunk): boolean {
  return storeIsThere(state) || (chunk.entries !== undefined && !chunk.waits && !checksKeys(state));
}

/**
 * The lane whose turn it is. A chunk on its way to or from PostgreSQL keeps its turn; while PostgreSQL is away, neither
 * the back nor what is here need wait for what lies there.
 */
function headLane(state: ShardState): 'front' | 'back' | undefined {
  const { front, back } = state;
  const runs = ({ chunks }: ShardState['back']): boolean => chunks.length > 0 && isHere(state, chunks[0]!);
  if (laneEntries(front) > 0) {
    if (runs(front)) return 'front';
    if (storeIsThere(state) || state.options.ordered) return undefined;
  }
  return runs(back) ? 'back' : undefined;
}

/** When the lane's head may run: at once when there is enough for a batch or it has waited long enough. */
function headReady(state: ShardState, name: 'front' | 'back', nowMs: number): number | undefined {
  const { chunks, stored, overflow } = state[name];
  const head = chunks[0]!;
  if (head.storing) return undefined;
  // Only in ordered mode: what comes again holds the others.
  if (head.at !== undefined && head.at > nowMs) return head.at;
  if (head.limit !== undefined) return nowMs;
  // There is more than a batch of them, but while PostgreSQL is away they may not come.
  if (storeIsThere(state) && (stored.entries > 0 || overflow.length > 0)) return nowMs;
  const size = batchSize(state);
  let count = 0;
  let since = Infinity;
  for (const lane of name === 'front' ? [state.front, state.back] : [state.back]) {
    for (const chunk of lane.chunks) {
      if (chunk.first < state.flushBelow) return nowMs;
      since = Math.min(since, chunk.since);
      count += chunk.count;
      if (count >= size) return nowMs;
    }
  }
  if (since === 0) return nowMs;
  const { flushIntervalMs } = state.options;
  return flushIntervalMs === null ? undefined : since + flushIntervalMs;
}

/**
 * Takes the next batch out of the queue. Call it only when `batchReady` says `now`. @returns with what its input weighs
 */
export function takeBatch(
  state: ShardState,
  index: KeyIndex,
  nowMs: number,
): { number: number; batch: RunningBatch; bytes: number } {
  const size = batchSize(state);
  const batch: RunningBatch = { chunks: [], count: 0, since: nowMs };
  const checked = checksKeys(state);
  let inline = 0;
  let stored = 0;
  const lanes = headLane(state) === 'back' ? (['back'] as const) : (['front', 'back'] as const);
  for (const name of lanes) {
    const { chunks } = state[name];
    while (chunks.length > 0 && batch.count < size && batch.chunks.length < SHARD_TUNABLES.batchChunks) {
      const head = chunks[0]!;
      if (head.storing || (head.at !== undefined && head.at > nowMs) || !isHere(state, head)) break;
      const alone = head.limit !== undefined;
      if (alone && batch.count > 0) break;
      const left = Math.min(size - batch.count, head.limit ?? Infinity);
      const fits = fitting(
        head,
        head.entries ? SHARD_TUNABLES.commandBytes - inline : SHARD_TUNABLES.batchStoredBytes - stored,
      );
      const count = Math.min(head.count, left, batch.count === 0 ? Math.max(1, fits) : fits);
      if (count <= 0) break;
      const piece = cutHead(chunks, count);
      if (piece.entries) {
        inline += piece.bytes + (checked && piece.keys ? jsonBytes(piece.keys) : 0);
        keysRun(index, piece);
      } else {
        stored += piece.bytes;
      }
      inline += SHARD_TUNABLES.chunkInputBytes;
      batch.chunks.push(piece);
      batch.count += count;
      if (alone) break;
    }
    // The back must not overtake what is still to come of the front.
    if ((name === 'front' && laneEntries(state.front) > 0) || batch.chunks[0]?.limit !== undefined) break;
  }
  const number = state.nextBatch++;
  state.running[number] = batch;
  return { number, batch, bytes: inline };
}

export function batchInput(state: ShardState, where: { buffer: string; shard: number }, number: number): BatchInput {
  const batch = state.running[number]!;
  const { chunks, count } = batch;
  const checkKeys = checksKeys(state) || (state.options.key !== null && chunks.some(({ row }) => row !== undefined));
  // While PostgreSQL is away it would keep the batch from running.
  const forget = !storeIsThere(state) ? [] : state.forget.splice(0, SHARD_TUNABLES.batchForgets);
  if (forget.length > 0) batch.forget = forget;
  return {
    ...where,
    batch: number,
    count,
    // Fields that only the workflow needs stay here.
    chunks: chunks.map(({ first, count, bytes, entries, row, from, keys, ages }) => ({
      first,
      count,
      bytes,
      since: 0,
      ...(entries ? { entries } : { row, from }),
      ...(keys && checkKeys ? { keys } : {}),
      ...(ages && checkKeys ? { ages } : {}),
    })),
    state: state.userState,
    checkKeys,
    timeoutMs: state.options.timeoutMs,
    forget,
  };
}

/** Moves what was put off until now to the back. While PostgreSQL is away, what needs it gives way to what does not. */
export function moveDue(state: ShardState, index: KeyIndex, nowMs: number): void {
  const { chunks } = state.later;
  const isThere = storeIsThere(state);
  const hasRoom = (): boolean => {
    const { chunks: back } = state.back;
    return (isThere ? back : back.filter((chunk) => isHere(state, chunk))).length < SHARD_TUNABLES.backChunks;
  };
  while (hasRoom() && chunks.length > 0 && chunks[0]!.at! <= nowMs && !chunks[0]!.storing) {
    due(state, index, chunks.shift()!);
  }
  if (!isThere && mayOvertake(state)) giveWay(state);
}

/** Each lane keeps its order among what can run and among what cannot. */
function giveWay(state: ShardState): void {
  const canRun = (chunk: Chunk): boolean => isHere(state, chunk) && !chunk.storing;
  for (const lane of [state.front, state.back]) {
    const firstThatCannot = lane.chunks.findIndex((chunk) => !canRun(chunk));
    if (firstThatCannot < 0 || !lane.chunks.slice(firstThatCannot).some(canRun)) continue;
    lane.chunks = [...lane.chunks.filter(canRun), ...lane.chunks.filter((chunk) => !canRun(chunk))];
  }
}

/** Appends a due chunk to the back lane in memory. If its entries are stored, their row has been claimed already. */
export function due(state: ShardState, index: KeyIndex, chunk: Chunk): void {
  dropKeys(index, chunk);
  delete chunk.at;
  chunk.since = 0;
  putInto(state, 'back', chunk);
  noteKeys(index, chunk);
}
