/**
 * The definition of a buffer, as a user writes it: `defineBuffer`, the types of its `run` and `init`, and the answers
 * that `run` gives. Registered by the config's `buffers`, resolved by `config/resolve/buffer.ts`; the code is run by
 * `activities/buffer`, the rest becomes the input of `workflows/buffer`.
 */
import type { Logger } from 'pino';
import type { Json } from './tracker';
import type { Duration } from './types';
import type { DefinedUpstream } from './upstream';

/** The context that `run` has beside its entries. */
export interface BatchContext<S = Json> {
  readonly buffer: string;
  readonly shard: number;
  /**
   * The shard's state as the last finished batch left it; at first the definition's. Change it by an answer, not in
   * place.
   */
  readonly state: S;
  /** Fires at the timeout, when the shard takes the batch back, and when the worker shuts down. */
  readonly signal: AbortSignal;
  /** Says that the batch is alive; called by itself as long as the event loop turns. */
  readonly heartbeat: () => void;
  /**
   * Names this batch: the same when it runs again after a lost worker, so that what it writes can be told from what it
   * wrote.
   */
  readonly batch: string;
  /** Bound to buffer, shard, batch and the definition's `metadata`. */
  readonly log: Logger;
}

/** Everything was handled. */
export interface Ok<S = Json> {
  readonly answer: 'ok';
  readonly state?: S;
}

/** A method's type, so that answers about entries that were changed go together with others. */
type TimeOf<E> = { of(entry: E): number | Date }['of'];

export interface RetryOptions<E = Json, S = Json> {
  /** Not before this long from now. The entries are put off, which uses no attempt. */
  after?: Duration;
  /**
   * Not before this time (epoch milliseconds or Date), for all or for each. The entries are put off, which uses no
   * attempt.
   */
  at?: number | Date | TimeOf<E>;
  /** The shard's new state. */
  state?: S;
  /** Why, for the log and the dead letters. */
  reason?: string;
}

/** All entries of the batch, or these of them, come again; the others were handled. */
export interface Retry<E = Json, S = Json> extends RetryOptions<E, S> {
  readonly answer: 'retry';
  /** Absent: the whole batch. */
  readonly entries?: readonly E[];
}

/** An answer of `run`; nothing means {@link ok}. A list of answers together says what happens to the whole batch. */
export type BatchAnswer<E = Json, S = Json> = void | Ok<S> | Retry<E, S> | readonly (Ok<S> | Retry<E, S>)[];

/** The batch was handled, and `state` is the shard's from now on. */
export function ok(): Ok<never>;
export function ok<S>(state: S): Ok<S>;
export function ok<S>(state?: S): Ok<S> {
  return state === undefined ? { answer: 'ok' } : { answer: 'ok', state };
}

/**
 * These entries come again (`'all'`: the whole batch), the others were handled. An entry is the same one when it is the
 * very object that `run` was given (changed in place or not) or has its key; others count as new. Entries that come
 * again go to the back, after a delay that grows with its attempts, or at `after`/`at` without using one.
 */
export function retry<E = Json, S = Json>(
  entries: readonly E[] | 'all' = 'all',
  options: RetryOptions<E, S> = {},
): Retry<E, S> {
  return { answer: 'retry', ...(entries === 'all' ? {} : { entries }), ...options };
}

/** The context that `init` has. */
export interface InitContext<S = Json> {
  readonly buffer: string;
  /** The cursor that the page before this one gave; undefined at the beginning of a pass. */
  readonly cursor: Json | undefined;
  /** The definition's state. */
  readonly state: S;
  /**
   * About how many entries are wanted: at most four batches of each shard, and half of `bound.entries`. More are taken
   * too.
   */
  readonly limit: number;
  /** Passes before this one: 0 at first, more when it polls. */
  readonly pass: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** One page of what is there to do. Without a `cursor`, the last of its pass. */
export interface InitPage<E = Json> {
  entries: readonly E[];
  cursor?: Json;
}

export interface RetryPolicy {
  /**
   * An entry that has failed so often, alone or because `run` said so, is a dead letter. Failures in a batch with
   * others do not count.
   * @default 5, from 1 to 1000
   */
  attempts?: number;
  /** The delay after the first failure; it doubles with each, ± 20 %. @default 1s, from 1ms to 1d */
  base?: Duration;
  /** The longest delay. @default 1m, from 1ms to 30d */
  cap?: Duration;
}

export interface BufferDefinition<E = Json, S = Json> {
  /**
   * Unique among trackers, buffers and jobs. It begins with a small letter and has at most 63 letters, digits, `-` and
   * `_`.
   */
  name: string;
  /**
   * The upstream that `run` asks. A batch that meets a limit with nothing left is put off until its time, which uses no
   * attempt.
   */
  upstream?: DefinedUpstream;
  /** Handles one batch. An error that it throws fails the whole batch; see {@link BatchAnswer}. */
  run: (
    entries: E[],
    context: BatchContext<S>,
  ) => BatchAnswer<NoInfer<E>, NoInfer<S>> | Promise<BatchAnswer<NoInfer<E>, NoInfer<S>>>;
  /** Reads the entries that are there at the start, a page at a time as there is room, from its durable cursor. */
  init?: (context: InitContext<S>) => InitPage<NoInfer<E>> | Promise<InitPage<NoInfer<E>>>;
  /**
   * Tells whether two entries are the same one: among those that are pending, the newer takes the older one's place. A
   * path within the entry (`'number'`, `'block.hash'`) or a function. Entries of the same key go to the same shard.
   */
  key?: string | ((entry: NoInfer<E>) => string | number);
  /** Entries of one batch at most. Less where the upstream was found to take less. @default 2000, from 1 to 20000 */
  maxBatchSize?: number;
  /**
   * How long an entry waits at most for its batch to fill. `'never'`: until it is full, or `flush`.
   * @default 50ms, from 0 to 1d
   */
  flushInterval?: Duration;
  /** Batches of one shard at once. @default 2, from 1 to 100 */
  maxConcurrency?: number;
  /** A batch that takes longer is aborted (its AbortSignal fires) and halved. @default 1m, from 10ms to 1d */
  timeout?: Duration;
  /** A dead worker's batches run on other workers this long after its last heartbeat. @default 10s, from 1s to 10m */
  heartbeatTimeout?: Duration;
  /**
   * When all is handled `init` runs again; where it finds nothing, after a delay that doubles from 1 s up to this.
   * `false`: `init` runs once.
   * @default 30s, from 100ms to 1d
   */
  poll?: boolean | Duration;
  /** How much a shard keeps in memory. */
  bound?: {
    /**
     * Entries that a shard keeps in memory; what comes past it goes to PostgreSQL, in order.
     * @default 50000, from 1 to 1000000
     */
    entries?: number;
    /** The same in bytes of JSON. @default 1000000, from 10000 to 16000000 */
    bytes?: number;
  };
  /**
   * Entries that the whole buffer may have pending, memory and PostgreSQL together; past it senders wait.
   * @default 100000000, from 1 to 10000000000
   */
  capacity?: number;
  /** How often and when entries that failed come again. */
  retry?: RetryPolicy;
  /** One shard and one batch at a time; what comes again holds all others until it is done or dead. @default false */
  ordered?: boolean;
  /**
   * Workflows that the entries are spread over, by key where there is one. 1 where `ordered`.
   * @default 2, from 1 to 256
   */
  shards?: number;
  /** Continue-as-new past this many events of a workflow's history, or 6 MB of it. @default 2000, from 50 to 10000 */
  historyEvents?: number;
  /** The state that each shard begins with: any JSON of at most 64 KB. */
  state?: S;
  /** Added to each of its log lines. */
  metadata?: Record<string, string | number | boolean>;
  /** Called for each batch that failed. Its own failure is only logged. */
  onError?: (error: Error, context: BatchErrorContext) => void | Promise<void>;
}

export interface BatchErrorContext {
  buffer: string;
  shard: number;
  batch: string;
  entries: number;
  node: string;
}

/** A definition whose types are not known, as lists of them hold it. */
export interface AnyBuffer {
  name: string;
  run: (entries: never[], context: never) => unknown;
  key?: unknown;
}

/** A buffer, with the types of its entries (from `run`'s first parameter) and of its state. */
export function defineBuffer<E = Json, S = Json>(definition: BufferDefinition<E, S>): BufferDefinition<E, S> {
  return definition;
}
