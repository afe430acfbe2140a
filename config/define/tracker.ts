/**
 * The definition of a tracker, as a user writes it: its operations, their code, its gate. `resolve/tracker.ts` reads
 * it; the code runs in the shifts (`activities/tracker/shift`).
 */
import type { Logger } from 'pino';
import type { Apply, LifeDefinition, LifeTypes } from './member';
import type { Duration } from './types';
import type { DefinedUpstream } from './upstream';
import type { Json } from '../../workflows/lib/json';

export type { Json };

/** The context of one run: what an operation knows when it runs for one member. */
export interface RunContext {
  /** The member's id. */
  readonly id: string;
  readonly tracker: string;
  readonly operation: string;
  /** The ETag of the value that is stored, as the last result gave it. */
  readonly etag: string | undefined;
  /** When the stored value was fetched, epoch milliseconds; undefined before the first. */
  readonly fetchedAt: number | undefined;
  /**
   * Fires when the run has timed out or its shift ends. Made when first read, so an operation that has no use for it
   * pays nothing.
   */
  readonly signal: AbortSignal;
  /** Bound to tracker, pool, shift and operation. */
  readonly log: Logger;
}

/**
 * The result of a run.
 * - `value`: stored when it differs from the stored one.
 * - `unchanged: true`: the stored value still holds (a 304); only its freshness is noted.
 * - `expiresAt` (epoch ms or Date): the next run waits for it.
 * - `etag`: handed to the next run; without one the old is kept when unchanged, forgotten otherwise.
 *
 * A failure is thrown. Throw `HoldError` to hold the member, the operation or the tracker back (429, 420).
 */
export type RunResult<V = Json> =
  | { value: V; unchanged?: false; expiresAt?: number | Date | undefined; etag?: string | undefined }
  | { unchanged: true; expiresAt?: number | Date | undefined; etag?: string | undefined };

export type Run<V = Json> = (context: RunContext) => Promise<RunResult<V>> | RunResult<V>;

/**
 * How an operation's values are kept in the database: compressed, encrypted, or with types that JSON has not. Each
 * value is kept with the codec's name, so that no codec reads what another has written.
 */
export interface ValueCodec<V = Json> {
  /** Its name, as a tracker's. One that writes otherwise needs another name; what it wrote is then asked for anew. */
  name: string;
  /**
   * Makes the JSON that is stored. It must answer at once, and the same for the same value, or each fetch counts as a
   * change. If it throws, the run has failed.
   */
  encode(this: void, value: V): Json;
  /** Makes the value of it again, for `show`. */
  decode(this: void, stored: Json): V;
}

export interface OperationDefinition {
  /**
   * The interval. A wish: a result's `expiresAt` or a hold can only make it longer. When late, it runs once and counts
   * what it skipped.
   * Required, from 50ms to 30d
   */
  every: Duration;
  /**
   * Runs at once in one pool. All pools of a worker together keep to its `nodeConcurrency`.
   * @default 50, from 1 to 10000
   */
  concurrency?: number;
  /** A run that takes longer is aborted (its AbortSignal fires) and counted as failed. @default 5s, from 10ms to 1h */
  timeout?: Duration;
  /** When the first run of a member comes. */
  stagger?: {
    /**
     * The first run of a member comes this long after the pool opens or the member is added …
     * @default 0, from 0 to 1d
     */
    base?: Duration;
    /**
     * … plus a share of this window by the hash of its id. A few newcomers (no more than `concurrency`) do not wait for
     * the window.
     * @default the interval, from 0 to 1d
     */
    window?: Duration;
  };
  /**
   * Whether a closed gate stops the operation (it then runs `whenClosed`, where it has one). No meaning without a gate.
   * @default true
   */
  gated?: boolean;
  /** False: the operation does not run at all. @default true */
  enabled?: boolean;
  /**
   * Run in a worker thread that is ended when a timeout does not stop it: for code that may never yield.
   * @default false
   */
  isolate?: boolean;
  /** Backpressure: the operation gives way to another one. */
  skipWhile?: {
    /** Backpressure: skip this operation while that one of the same pool lags … @default none */
    operation: string;
    /** … by more than this. @default 1s, from 1ms to 1d */
    slowerThan?: Duration;
  };
  /** A round that lags more is warned about and counted. @default 2s, from 1ms to 1d */
  warnLag?: Duration;
  /**
   * More members due but not started at the half-minute check are warned about and counted.
   * @default 50, from 1 to 1000000
   */
  warnBacklog?: number;
  /**
   * A result's `expiresAt` further ahead is cut to this, so that `Expires: 2037` does not stop a member.
   * @default a day, or ten intervals where those are longer, from 1s to 365d
   */
  maxExpiry?: Duration;
  /**
   * A hold that asks for longer is cut to this, then the upstream is asked again. Raise it where an upstream means its
   * day-long `Retry-After`.
   * @default 1h, from 1s to 7d
   */
  maxHold?: Duration;
  /**
   * An id that fails again and again by itself (4xx but 408, 420, 425 and 429, or `retryable: false`) is asked less
   * often, up to this, while most others succeed. 0: always at its interval.
   * @default 10m, from 0 to 1d
   */
  maxBackoff?: Duration;
  /**
   * How long after a failure the member is tried again, in place of the rule above and of the interval, also sooner. It
   * is given how many failures there were in a row, and the last one; undefined: as without it. Cut to `maxBackoff`,
   * and to 50 ms. It must answer at once. A `HoldError` has a time of its own.
   */
  retryDelay?: (attempt: number, error: Error) => Duration | undefined;
  /**
   * Raise it when the code makes something else of the same answer: from `start --update` on, ETags and expiries of
   * before do not count, so that a 304 does not keep what the old code made. @default 1
   */
  version?: number;
  /** The name of a buffer that gets each changed value: `{ tracker, operation, id, value, fetchedAt }`. */
  buffer?: string;
  /** How its values are kept in the database. @default as they are */
  codec?: ValueCodec;
  /** Its values are shown to nobody: not by `show`, not by the dashboard and its API. They are stored as ever. */
  hidden?: boolean;
  /**
   * The upstream that `run` asks, as `defineUpstream` made it: a member whose bucket is empty waits for it, before
   * `run` is called, and everybody else goes on.
   */
  upstream?: DefinedUpstream;
  /** Does the work for one member. An error that it throws is a failure of that member. */
  run: Run;
  /** Runs in place of `run` while the gate is closed: say what is known without asking the upstream. */
  whenClosed?: Run;
  /**
   * Gets each changed value in a turn of its member, as a message is handled: nobody waits for the upstream. Only where
   * the tracker has `receive`.
   */
  apply?: Apply;
  /**
   * `'awake'`: it runs for members that had a message or a timer within `receive.idle`, or that another operation which
   * runs always keeps awake. It keeps nobody awake itself. Only where the tracker has `receive`.
   * @default 'always'
   */
  while?: 'always' | 'awake';
}

export interface GateDefinition {
  /** How often the gate is asked, once for the whole tracker. @default 30s, from 100ms to 1h */
  every?: Duration;
  /**
   * A check that takes longer has failed. Three failures in a row close the gate. So does an answer older than 3 ×
   * (every + timeout), 6 s at least.
   * @default 10s, from 10ms to 10m
   */
  timeout?: Duration;
  /** The upstream that `check` asks: it is not called while a limit has nothing left. */
  upstream?: DefinedUpstream;
  /** True: the upstream is there. Asked once for the whole tracker; closed until it first answers true. */
  check: (context: { signal: AbortSignal; log: Logger }) => Promise<boolean> | boolean;
}

/** A rule for which ids share a pool. It is kept with the tracker by its name, so another rule needs another name. */
export interface Route {
  /** Its name, as a tracker's. It changes only while the tracker has no members. */
  name: string;
  /**
   * Ids for which it gives the same text share a pool; undefined: the id itself. The same id has the same text, always
   * and everywhere. It must answer at once.
   */
  of: (id: string) => string | undefined;
}

/** The origin of an error, for the `onError` hook. */
export interface ErrorContext {
  tracker: string;
  pool?: number;
  operation?: string;
  id?: string;
  node: string;
}

export interface TrackerDefinition {
  /**
   * Unique among trackers, buffers and jobs. It begins with a small letter and has at most 63 letters, digits, `-` and
   * `_`.
   */
  name: string;
  /**
   * Members a pool should hold. Past it the tracker grows by splitting pools; an unsplit pool holds up to twice the
   * others.
   * @default 1000, from 1 to 20000
   */
  poolSize?: number;
  /**
   * How long one activity execution keeps a pool, ± 20 % by hash so that pools do not hand over together.
   * @default 10m, from 1s to 12h
   */
  shift?: Duration;
  /** A dead worker's pools are on other workers this long after its last heartbeat. @default 5s, from 1s to 10m */
  heartbeatTimeout?: Duration;
  /**
   * How long a shift goes on while PostgreSQL refuses its results, or somebody has its pool locked; then another worker
   * has a try.
   * @default 10s, from 2s to 10m
   */
  patience?: Duration;
  /**
   * How often results are written. At most 1 s, for a shift learns at a flush that it was fenced.
   * @default 250ms, from 10ms to 1s
   */
  flush?: Duration;
  /**
   * How long a removal is remembered, so that a late add with an older stamp cannot undo it.
   * @default 1d, from 1m to 365d
   */
  tombstones?: Duration;
  /**
   * Continue-as-new past this many events of a workflow's history (the server suggests it at 4,096).
   * @default 2000, from 10 to 10000
   */
  historyEvents?: number;
  /** The nodes that may keep its pools. */
  placement?: {
    /** Only nodes that have this label (`longwatch worker --label`) keep its pools. @default any node */
    on?: string;
  };
  /** Decides which ids share a pool. @default each id by itself, spread evenly */
  route?: Route;
  /** Whether the upstream is there at all; without one, operations always run. */
  gate?: GateDefinition;
  /** The work that is done for each member, by name; `{}` where its members only receive. */
  operations: Record<string, OperationDefinition>;
  /** Handles what is sent to a member: a function, or `{ handle, … }` with options. Without it nothing is sent. */
  receive?: LifeDefinition['receive'];
  /** The state of a member that receives. */
  state?: LifeDefinition['state'];
  /** Called in the first turn of a member after it was read, before its message: to make what is not in its state. */
  load?: LifeDefinition['load'];
  /** Called when a member has left the node's memory, unless its node has died. */
  unload?: LifeDefinition['unload'];
  /** Nobody sets it: it has the types of messages, states and replies (`MessageOf<typeof rooms>`). */
  readonly life?: LifeTypes<unknown, unknown, unknown>;
  /** Called for each error of an operation or gate. Its own failure is only logged. */
  onError?: (error: Error, context: ErrorContext) => void | Promise<void>;
}

/** An operation whose code returns values of another type than JSON, of which its codec makes JSON. */
export type CodedOperation<V> = Omit<OperationDefinition, 'run' | 'whenClosed' | 'codec'> & {
  codec: ValueCodec<V>;
  run: Run<V>;
  whenClosed?: Run<V>;
};

/** An operation whose values are of the type that its codec takes: dates, maps, classes. */
export function defineOperation<V>(operation: CodedOperation<V>): Omit<OperationDefinition, 'skipWhile'> {
  return operation as unknown as OperationDefinition;
}

/** A tracker whose members' messages `M`, states `S` and replies `R` are known. */
export interface DefinedTracker<M = unknown, S = unknown, R = unknown> extends TrackerDefinition {
  readonly life?: LifeTypes<M, S, R>;
}

/** Any name but `K`; of operations whose names the type does not know, any text. */
type Other<N extends string, K extends N> = string extends N ? string : Exclude<N, K>;

/**
 * A tracker, with its operations' names kept in the type so that `skipWhile.operation` is checked, and with the types
 * of its messages (from the first parameter of `receive`), its state, and its replies (`MemberContext<State, Reply>`).
 */
export function defineTracker<const N extends string, M = unknown, S = unknown, R = unknown>(
  definition: Omit<TrackerDefinition, 'operations' | 'life' | keyof LifeDefinition> &
    LifeDefinition<M, S, R> & {
      operations: {
        [K in N]: OperationDefinition & { skipWhile?: { operation: NoInfer<Other<N, K>>; slowerThan?: Duration } };
      };
    },
): DefinedTracker<M, S, R> {
  return definition;
}
