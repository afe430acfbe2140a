/**
 * A durable activity as its user writes it: `defineActivity`, and the types of its code. Registered by the config's
 * `activities` (or `createDurableActivities` in a worker of one's own), run by `activities/durable`, called from a
 * workflow through `durable()` of `longwatch/workflow`.
 */
import type { Logger } from 'pino';
import type { DurableOptions } from '../../workflows/durable/contract';
import type { Duration } from './types';
import type { Transaction } from './transaction';
import type { DefinedUpstream } from './upstream';

export type { Transaction };

/** The things that an activity's code knows and may use. */
export interface ActivityContext {
  /**
   * A transaction that the kit commits together with the stored result and the check of the lease: what is written
   * through it happens once. Opened by its first `query`; an activity that does not use it pays nothing.
   */
  readonly tx: Transaction;
  /**
   * Fires at the timeout, when the lease is lost, when the workflow is cancelled. Writes through `tx` are refused from
   * then on.
   */
  readonly signal: AbortSignal;
  /** From 1. A crash of the worker has used one. */
  readonly attempt: number;
  readonly attempts: number;
  /** Its name in logs and in `longwatch leases`; the same in every attempt. */
  readonly task: string;
  /** The idempotency key, else the task: what to give an upstream that takes one. */
  readonly key: string;
  /** Why the attempt before this one ended. */
  readonly lastError: { type: string; message: string } | undefined;
  /** Bound to workflow, task and activity. */
  readonly log: Logger;
}

export interface RetryDefinition {
  /** Attempts in all. A crash of the worker uses one too. */
  attempts?: number;
  /** `constant`: each wait is `base`. `exponential`: base × 2^(attempt - 1). */
  backoff?: 'constant' | 'exponential';
  /** The wait before the second attempt. */
  base?: Duration;
  /** No wait is longer, jitter included. */
  cap?: Duration;
  /** Spreads each wait over its upper half. */
  jitter?: boolean;
}

export interface LeaseDefinition<I> {
  /**
   * A worker that does not renew for this long has lost the activity; another may run it then, not before.
   * @default 30s, from 200ms to 1h
   */
  ttl?: Duration;
  /**
   * How often the lease is renewed while the code runs; a third of `ttl` unless given. A failed renewal is tried again
   * after max(renew / 4, 250 ms).
   * @default 10s, from 50ms to 20m
   */
  renew?: Duration;
  /** Only one execution at a time, of all activities and workflows, holds a resource; the others wait. @default none */
  resource?: (input: I) => string | undefined;
}

/** The code that takes back what an activity did. */
export interface CompensationDefinition<I, R> {
  /** `result` is undefined where the step may or may not have happened (`uncertain` of a saga's step). */
  run: (input: I, result: R | undefined, context: ActivityContext) => unknown;
  /** An attempt that takes longer is ended. @default 1m */
  timeout?: Duration;
  /** @default 10 attempts, exponential from 1 s up to 1 min, with jitter */
  retry?: RetryDefinition;
  /** How long one worker alone may run it. */
  lease?: Omit<LeaseDefinition<I>, 'resource'>;
}

export interface ActivityDefinition<N extends string = string, I = unknown, R = unknown, C extends boolean = boolean> {
  /** Unique among activities; a workflow calls it by this name. */
  name: N;
  /** The upstream that `run` asks. An attempt that meets a limit with nothing left comes again when it has. */
  upstream?: DefinedUpstream;
  /** Does the work and returns its result, which is stored as JSON. */
  run: (input: I, context: ActivityContext) => Promise<R> | R;
  /**
   * An attempt that takes longer is ended: its AbortSignal fires, its transaction is rolled back, later writes are
   * refused.
   * @default 1m, from 10ms to 12h
   */
  timeout?: Duration;
  /** How often and when a failed attempt is made again. */
  retry?: RetryDefinition;
  /** How long one worker alone may run it. */
  lease?: LeaseDefinition<I>;
  /** Calls with the same key, in any run, get the result of the first. Any text of at most 16 KB. */
  idempotencyKey?: (input: I) => string | undefined;
  /**
   * The part of the input that must be the same for calls of one key: they are compared by it. If it returns undefined,
   * they are not compared.
   * @default the whole input
   */
  fingerprint?: (input: I) => unknown;
  /**
   * A call with a known key whose fingerprint is another one: `tell` counts and logs it, shows it with
   * `longwatch keys show`, and gives it the result of the first; `refuse` fails it. A retry is never compared.
   * @default 'tell'
   */
  otherInput?: 'tell' | 'refuse';
  /** How long a key's result is kept and given to whoever comes with the same key. @default 7d, from 1m to 3650d */
  keep?: Duration;
  /** True: a key whose activity failed for good stays failed. False: the next caller runs it again. @default false */
  keepFailure?: boolean;
  /** Takes back what `run` did, when a later step of a saga has failed. A function, or one with options of its own. */
  compensate?: CompensationDefinition<I, R> | CompensationDefinition<I, R>['run'];
  /** Never set: keeps in the type whether there is a compensation. */
  readonly compensable?: C;
}

/** A definition whose types are not known, as lists of them hold it. */
export interface AnyActivity {
  name: string;
  run: (input: never, context: ActivityContext) => unknown;
}

/** With a compensation, so that a saga may use it as a step. */
export function defineActivity<const N extends string, I, R>(
  definition: ActivityDefinition<N, I, R> & { compensate: NonNullable<ActivityDefinition<N, I, R>['compensate']> },
): ActivityDefinition<N, I, R, true>;
export function defineActivity<const N extends string, I, R>(
  definition: ActivityDefinition<N, I, R>,
): ActivityDefinition<N, I, R, false>;
export function defineActivity(definition: ActivityDefinition): ActivityDefinition {
  return definition;
}

/** A definition with its options compiled; made by `config/resolve/activity.ts`. */
export interface ResolvedActivity {
  name: string;
  options: DurableOptions;
  definition: ActivityDefinition;
  compensation: { options: DurableOptions; run: CompensationDefinition<unknown, unknown>['run'] } | undefined;
}
