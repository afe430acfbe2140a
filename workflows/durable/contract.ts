/**
 * The words that a workflow and the workers of durable activities share: their options, a result as it goes through
 * Temporal, the inputs of compensations. Used by `proxy.ts` and `saga.ts` in workflows, and by `activities/durable`.
 */
import { retryWaits, type OptionSpec } from '../lib/options';
import { DAY, HOUR, MINUTE, SECOND } from '../lib/time';

/** Options of one durable activity, compiled. */
export interface DurableOptions {
  timeoutMs: number;
  retry: RetryPolicy;
  lease: { ttlMs: number; renewMs: number };
  /** How long a key's result is kept. */
  keepMs: number;
  keepFailure: boolean;
  /** How a call is answered whose key is known but which asks for something else. */
  otherInput: (typeof OTHER_INPUTS)[number];
}

export interface RetryPolicy {
  /** Attempts in all; a crash uses one. */
  attempts: number;
  backoff: 'constant' | 'exponential';
  baseMs: number;
  capMs: number;
  jitter: boolean;
}

/** `retry.backoff` is not listed: it is one of two words, checked where the definition is resolved. */
export const DURABLE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'timeout',
    path: 'timeoutMs',
    kind: 'duration',
    default: MINUTE,
    min: 10,
    max: 12 * HOUR,
    text: 'An attempt that takes longer is ended: its AbortSignal fires, its transaction is rolled back, later writes are refused.',
  },
  {
    name: 'retry.attempts',
    path: 'retry.attempts',
    kind: 'integer',
    default: 1,
    min: 1,
    max: 10_000,
    text: 'Attempts in all. A crash of the worker uses one too.',
  },
  ...retryWaits({ jitter: false }),
  {
    name: 'lease.ttl',
    path: 'lease.ttlMs',
    kind: 'duration',
    default: 30 * SECOND,
    min: 200,
    max: HOUR,
    text: 'A worker that does not renew for this long has lost the activity; another may run it then, not before.',
  },
  {
    name: 'lease.renew',
    path: 'lease.renewMs',
    kind: 'duration',
    default: 10 * SECOND,
    min: 50,
    max: 20 * MINUTE,
    text: 'How often the lease is renewed while the code runs; a third of `ttl` unless given. A failed renewal is tried again after max(renew / 4, 250 ms).',
  },
  {
    name: 'keep',
    path: 'keepMs',
    kind: 'duration',
    default: 7 * DAY,
    min: MINUTE,
    max: 3650 * DAY,
    text: "How long a key's result is kept and given to whoever comes with the same key.",
  },
  {
    name: 'keepFailure',
    path: 'keepFailure',
    kind: 'boolean',
    default: false,
    text: 'True: a key whose activity failed for good stays failed. False: the next caller runs it again.',
  },
];

/** It is counted and told, and gets the result of the first; or it is refused. */
export const OTHER_INPUTS = ['tell', 'refuse'] as const;

export const BACKOFFS = ['constant', 'exponential'] as const;

/** A compensation is worth more tries than a step: nobody else will do it. */
export const COMPENSATION_RETRY: Readonly<RetryPolicy> = {
  attempts: 10,
  backoff: 'exponential',
  baseMs: SECOND,
  capMs: MINUTE,
  jitter: true,
};

/** The result of an execution that had no key is kept for redelivery only. */
export const KEEP_WITHOUT_KEY_MS = DAY;
/** A larger result stays in the database, and a reference to it goes through Temporal. Bytes of JSON. */
export const INLINE_RESULT_BYTES = 256 * 1_024;
/** A key is refused past this. Bytes of UTF-8. */
export const KEY_BYTES = 16 * 1_024;

/** The name of the activity that takes back what `activity` did. */
export const compensationOf = (activity: string): string => `${activity}.compensate`;

/** `run/activity`, as both sides build it. */
export const taskId = (runId: string, activityId: string): string => `${runId}/${activityId}`;

/** The result of a durable activity, as it is returned to Temporal. */
export interface Envelope {
  /** The task that made the result: another than this one when a stored result was found. */
  task: string;
  /** There is something to run to take it back. */
  undo: boolean;
  value: unknown;
}

/**
 * Stands for a result that was too large, wherever it is passed on; the kit puts the value back before an activity
 * runs.
 */
export interface Reference {
  $longwatch: 'result';
  task: string;
  bytes: number;
  /** SHA-256 of the result as it is stored. */
  digest: string;
}

export function isReference(value: unknown): value is Reference {
  if (typeof value !== 'object' || value === null) return false;
  const { $longwatch, task, digest } = value as Partial<Record<keyof Reference, unknown>>;
  return $longwatch === 'result' && typeof task === 'string' && typeof digest === 'string' && digest.length === 64;
}

/** The input of a compensation's activity. */
export interface CompensationInput {
  /** The workflow whose saga it belongs to. */
  saga: string;
  /** The task that is taken back: also the key, so that this happens once. */
  target: string;
  input: unknown;
  /** Undefined where the step is not known to have succeeded. */
  result?: unknown;
}

/** The input of the workflow that runs one compensation again. */
export interface CompensationRetry {
  activity: string;
  taskQueue: string;
  input: CompensationInput;
}

export const compensationWorkflowId = (activity: string, target: string): string => `saga/${activity}/${target}`;
