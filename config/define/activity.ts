/**
 * A durable activity as its user writes it: `defineActivity`, and the types of its code. Registered by the config's
 * `activities` (or `createDurableActivities` in a worker of one's own), run by `activities/durable`, called from a
 * workflow through `durable()` of `longwatch/workflow`.
 */
import type { Logger } from 'pino';
import type { DurableOptions } from '../../workflows/durable/contract';
import type { Duration } from './types';
import type { Transaction } from './transaction';

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
  attempts?: number;
  backoff?: 'constant' | 'exponential';
  base?: Duration;
  cap?: Duration;
  jitter?: boolean;
}

export interface LeaseDefinition<I> {
  ttl?: Duration;
  renew?: Duration;
  /** Only one execution at a time, of all activities and workflows, holds a resource; the others wait. @default none */
  resource?: (input: I) => string | undefined;
}

/** The code that takes back what an activity did. */
export interface CompensationDefinition<I, R> {
  /** `result` is undefined where the step may or may not have happened (`uncertain` of a saga's step). */
  run: (input: I, result: R | undefined, context: ActivityContext) => unknown;
  timeout?: Duration;
  /** @default 10 attempts, exponential from 1 s up to 1 min, with jitter */
  retry?: RetryDefinition;
  lease?: Omit<LeaseDefinition<I>, 'resource'>;
}

export interface ActivityDefinition<N extends string = string, I = unknown, R = unknown, C extends boolean = boolean> {
  name: N;
  run: (input: I, context: ActivityContext) => Promise<R> | R;
  timeout?: Duration;
  retry?: RetryDefinition;
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
  /** How long a key's result is kept. */
  keep?: Duration;
  /** Keep a failure too: the key stays failed. */
  keepFailure?: boolean;
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
