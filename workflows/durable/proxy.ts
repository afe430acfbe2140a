/**
 * How a workflow calls durable activities: `durable<typeof activities>()` gives one typed function for each definition.
 * A call is scheduled with a policy that leaves attempts, timeouts and waits to the kit (`activities/durable`) and only
 * brings an execution back whose worker has died. Used by users' workflows, by `saga.ts` and by `compensation.ts`.
 */
import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type { Duration } from '@temporalio/common';
import type { Envelope } from './contract';
import { NON_RETRYABLE } from '../lib/errors';

/**
 * The part of a definition that a workflow needs of it; matches `ActivityDefinition` of `config/define/activity.ts`.
 */
export interface CallableDefinition {
  name: string;
  // Any definition will do: its input is what its code takes.
  run: (input: never, context: never) => unknown;
  readonly compensable?: boolean;
}

type InputOf<D extends CallableDefinition> = Parameters<D['run']>[0];
type ResultOf<D extends CallableDefinition> = Awaited<ReturnType<D['run']>>;

/** A durable activity, to be called in a workflow. */
export interface DurableActivity<I, R> {
  (input: I): Promise<R>;
  readonly activityName: string;
  /** The answer with the task that gave it. */
  call(input: I): Promise<Envelope>;
  readonly options: DurableCallOptions;
}

/** One with a compensation: it may be a step of a saga. */
export interface CompensableActivity<I, R> extends DurableActivity<I, R> {
  readonly compensable: true;
}

type MemberOf<M> = M extends readonly unknown[] ? M[number] : M[keyof M];

/** From a list, a record or a module (`typeof activities`) of definitions to functions by the activities' names. */
export type DurableActivities<M> = {
  [D in Extract<MemberOf<M>, CallableDefinition> as D['name']]: D extends { readonly compensable?: true }
    ? CompensableActivity<InputOf<D>, ResultOf<D>>
    : DurableActivity<InputOf<D>, ResultOf<D>>;
};

export interface DurableCallOptions {
  /** A worker that is not heard of for this long is dead; its lease must have run out as well. @default 10 s */
  heartbeatTimeout?: Duration;
  /** @default the workflow's own */
  taskQueue?: string;
  /** The time limit of the whole call, attempts and waits included. @default none */
  scheduleToCloseTimeout?: Duration;
  /** Shown in Temporal's UI. */
  summary?: string;
}

export function durable<M>(options: DurableCallOptions = {}): DurableActivities<M> {
  return new Proxy({} as DurableActivities<M>, {
    get: (_, name) => (typeof name === 'string' ? durableActivity(name, options) : undefined),
  });
}

export function durableActivity(name: string, options: DurableCallOptions = {}): CompensableActivity<unknown, unknown> {
  const call = (input: unknown): Promise<Envelope> => {
    const proxy = proxyActivities<Record<string, (input: unknown) => Promise<Envelope>>>(activityOptions(options));
    return proxy[name]!(input);
  };
  const plain = async (input: unknown): Promise<unknown> => (await call(input)).value;
  return Object.assign(plain, { activityName: name, call, options, compensable: true as const });
}

function activityOptions(options: DurableCallOptions): ActivityOptions {
  return {
    taskQueue: options.taskQueue,
    scheduleToCloseTimeout: options.scheduleToCloseTimeout,
    summary: options.summary,
    // An attempt's own limit is the definition's `timeout`; this one only has to be longer.
    startToCloseTimeout: '1 day',
    heartbeatTimeout: options.heartbeatTimeout ?? '10s',
    // The kit says when (`nextRetryDelay`) and whether; this is for workers that died and a database that is away.
    retry: {
      initialInterval: '200ms',
      backoffCoefficient: 2,
      maximumInterval: '5s',
      nonRetryableErrorTypes: [...NON_RETRYABLE],
    },
  };
}
