/**
 * When a buffer's parent reads the next page of `init`, as a pure function: as there is room, and again (polling) when
 * all is handled, after a delay that grows while nothing is found. `pages.ts` carries it out.
 */
import type { InitProgress, ShardRoom } from './contract';
import type { InitPageRead } from './activities';
import type { BufferState } from './state';
import type { BufferOptions } from './options';
import { BUFFER_TUNABLES } from './tunables';

export function freshBufferState(): BufferState {
  return {
    version: 1,
    shards: 0,
    init: { pass: 0, page: 0, cursor: null, found: 0, total: 0, emptyPasses: 0, over: false },
    seqs: [],
    waiting: [],
    runs: 1,
  };
}

/**
 * A shard's part of a page; so many entries less than its parent believes are worth telling it of. Two parts fit the
 * memory.
 */
export function roomFor({ maxBatchSize, bound }: BufferOptions): number {
  return Math.max(maxBatchSize, Math.min(maxBatchSize * BUFFER_TUNABLES.pageBatches, Math.floor(bound.entries / 2)));
}

export const shardsOf = (options: BufferOptions): number => (options.ordered ? 1 : options.shards);

/**
 * The number of shards that run: as many as the options want, and those that were there before, until they are empty.
 */
export const shardCount = (options: BufferOptions, ...known: number[]): number => Math.max(shardsOf(options), ...known);

/** About how many entries of a page are wanted. */
export const pageLimit = (options: BufferOptions): number => roomFor(options) * shardsOf(options);

/**
 * The next page is read when so many entries are left: for each batch that runs, another one, as far as the memory
 * goes.
 */
export function lowWater(options: BufferOptions): number {
  const { maxBatchSize, maxConcurrency, bound } = options;
  const wanted = Math.min(maxBatchSize * maxConcurrency, bound.entries - roomFor(options));
  return Math.max(roomFor(options), wanted) * shardsOf(options);
}

export type InitStep = 'read' | { pollInMs: number } | 'wait';

/** `wait`: for a shard to say that it has room or is drained. */
export function nextInitStep(
  { init, waiting, putOff = [] }: BufferState,
  options: BufferOptions,
  paused: boolean,
): InitStep {
  if (!options.init || paused) return 'wait';
  const sum = waiting.reduce((all, one) => all + one, 0);
  if (!init.over) return sum <= lowWater(options) ? 'read' : 'wait';
  if (options.pollMs === null || sum > 0) return 'wait';
  // An entry that is put off for long is found again by each pass, as often as is asked for: without a key as another
  // entry.
  if (putOff.some((count) => count > 0)) return { pollInMs: options.pollMs };
  return { pollInMs: pollDelay(init.emptyPasses, options.pollMs) };
}

export function pollDelay(emptyPasses: number, longest: number): number {
  return emptyPasses === 0 ? 0 : Math.min(longest, BUFFER_TUNABLES.pollBaseMs * 2 ** Math.min(20, emptyPasses - 1));
}

/** Notes a page that was read, and that its shards have it. */
export function pageRead(state: BufferState, read: InitPageRead): void {
  const { init } = state;
  for (const { shard, seq, count } of read.chunks) {
    // Its shard has told of its room since, sooner than the page's reader.
    if (seq <= (state.seqs[shard] ?? 0)) continue;
    state.waiting[shard] = (state.waiting[shard] ?? 0) + count;
  }
  // Update every shard's sequence number, not only those of this page: a parent that was restarted has no other source
  // for them.
  read.seqs.forEach((seq, shard) => (state.seqs[shard] = Math.max(seq, state.seqs[shard] ?? 0)));
  init.pass = read.pass;
  init.page = read.page + 1;
  init.cursor = read.cursor;
  init.found += read.entries;
  init.total += read.entries;
  init.over = read.last;
  if (read.last) init.emptyPasses = init.found === 0 ? init.emptyPasses + 1 : 0;
}

/** A shard tells how many wait in it, and up to which message of `init` that is. */
export function roomTold(state: BufferState, { shard, waiting, seq, putOff = 0 }: ShardRoom): void {
  // Said before the last page had come to it: it may be drained only for the moment.
  if (seq < (state.seqs[shard] ?? 0)) return;
  state.seqs[shard] = seq;
  state.waiting[shard] = waiting;
  (state.putOff ??= [])[shard] = putOff;
}

/**
 * A shard begins anew: what the one before it had of `init` is gone with it, so nothing waits in this one, put off or
 * not.
 */
export function shardBegan(state: BufferState, shard: number): void {
  state.waiting[shard] = 0;
  if (state.putOff) state.putOff[shard] = 0;
}

export function beginPass(state: BufferState): void {
  Object.assign(state.init, { pass: state.init.pass + 1, page: 0, cursor: null, found: 0, over: false });
}

export function initProgress(state: BufferState, options: BufferOptions, paused: boolean): InitProgress {
  const { pass, page, cursor, found, total, over } = state.init;
  const step = nextInitStep(state, options, paused);
  const phase = !options.init
    ? 'none'
    : over
      ? options.pollMs === null
        ? 'over'
        : 'waiting to poll'
      : step === 'read'
        ? 'reading'
        : 'waiting for room';
  return { pass: options.init ? pass + 1 : 0, page, cursor, found, total, state: phase };
}
