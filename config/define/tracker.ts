import type { Logger } from 'pino';
import type { Duration } from './types';

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

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
export type RunResult =
  | { value: Json; unchanged?: false; expiresAt?: number | Date; etag?: string }
  | { unchanged: true; expiresAt?: number | Date; etag?: string };

export type Run = (context: RunContext) => Promise<RunResult> | RunResult;

export interface OperationDefinition {
  every: Duration;
  concurrency?: number;
  timeout?: Duration;
  stagger?: { base?: Duration; window?: Duration };
  gated?: boolean;
  enabled?: boolean;
  isolate?: boolean;
  skipWhile?: { operation: string; slowerThan?: Duration };
  warnLag?: Duration;
  warnBacklog?: number;
  maxExpiry?: Duration;
  maxHold?: Duration;
  maxBackoff?: Duration;
  /**
   * Raise it when the code makes something else of the same answer: from `start --update` on, ETags and expiries of
   * before do not count, so that a 304 does not keep what the old code made. @default 1
   */
  version?: number;
  /** The name of a buffer that gets each changed value: `{ tracker, operation, id, value, fetchedAt }`. */
  buffer?: string;
  run: Run;
  /** Runs in place of `run` while the gate is closed: say what is known without asking the upstream. */
  whenClosed?: Run;
}

export interface GateDefinition {
  every?: Duration;
  timeout?: Duration;
  /** True: the upstream is there. Asked once for the whole tracker; closed until it first answers true. */
  check: (context: { signal: AbortSignal; log: Logger }) => Promise<boolean> | boolean;
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
  name: string;
  poolSize?: number;
  shift?: Duration;
  heartbeatTimeout?: Duration;
  patience?: Duration;
  flush?: Duration;
  tombstones?: Duration;
  historyEvents?: number;
  gate?: GateDefinition;
  operations: Record<string, OperationDefinition>;
  /** Called for each error of an operation or gate. Its own failure is only logged. */
  onError?: (error: Error, context: ErrorContext) => void | Promise<void>;
}

/** A tracker, with its operations' names kept in the type so that `skipWhile.operation` is checked. */
export function defineTracker<const O extends Record<string, OperationDefinition>>(
  definition: Omit<TrackerDefinition, 'operations'> & {
    operations: O & {
      [K in keyof O]: { skipWhile?: { operation: Exclude<keyof O, K> & string; slowerThan?: Duration } };
    };
  },
): TrackerDefinition {
  return definition;
}
