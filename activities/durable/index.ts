/**
 * Durable activities as Temporal calls them: makes the functions from the definitions, and owns what a node shares
 * (leases, transactions, telemetry, retention). Made by `workers/durable.ts`; `execute.ts` runs each call.
 */
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { ActivityContext, ResolvedActivity } from '../../config/define/activity';
import {
  compensationOf,
  taskId,
  type CompensationInput,
  type DurableOptions,
  type Envelope,
} from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import { carried } from '../lib/wire';
import type { Database } from '../lib/database';
import { Services, type Service } from '../lib/service';
import { execute } from './execute';
import type { Caller, Call, DurableServices, Workflows } from './call';
import { KeyWaiter, makeFingerprint, makeKey, makeResource } from './keys';
import { LeaseKeeper } from './leases';
import { resolveReferences } from './references';
import { Retention, type RetentionOptions } from './retention';
import { DurableTelemetry } from './telemetry';
import { Transactions } from './transaction';

interface DurableDeps {
  /** Unique among all workers that ever lived: it owns the leases. */
  owner: string;
  /** For Longwatch's own short statements. */
  database: Database;
  /** For the effects, which may hold a connection for long; and how many it has. */
  effects: { database: Database; connections: number };
  log: Logger;
  workflows: Workflows;
  registry?: Registry;
  retention?: RetentionOptions;
}

export type DurableFunction = (input: unknown) => Promise<Envelope>;

export interface DurableNode {
  activities: Record<string, DurableFunction>;
  leases: LeaseKeeper;
  /** Its background: what renews leases, waits for keys and deletes old results. */
  services: Service;
}

export function createDurableNode(definitions: readonly ResolvedActivity[], deps: DurableDeps): DurableNode {
  const { owner, database, effects, log } = deps;
  const leases = new LeaseKeeper(database, owner, log);
  const waiter = new KeyWaiter(database, log);
  const services: DurableServices = {
    owner,
    database,
    transactions: new Transactions(effects.database, effects.connections),
    leases,
    waiter,
    telemetry: new DurableTelemetry(log, deps.registry, () => leases.size),
    log,
    ...deps.workflows,
  };
  const retention = new Retention(database, log, deps.workflows.isRunning, deps.retention);
  const activities: Record<string, DurableFunction> = {};
  for (const resolved of definitions) {
    activities[resolved.name] = (input) =>
      perform(services, resolved.options, (base) => stepCall(services, resolved, base, input));
    if (!resolved.compensation) continue;
    const { options, run } = resolved.compensation;
    activities[compensationOf(resolved.name)] = (input) =>
      perform(services, options, (base) => compensationCall(services, base, options, run, input as CompensationInput));
  }
  return {
    // Also in a worker of the user's own.
    activities: carried(activities),
    leases,
    services: new Services([waiter, leases, retention]),
  };
}

type Base = Pick<Call, 'subject'> & { taskQueue: string };

async function stepCall(
  services: DurableServices,
  { options, definition, compensation }: ResolvedActivity,
  base: Base,
  given: unknown,
) {
  const input = await resolveReferences(services.database, given);
  const { activity } = base.subject;
  const key = makeKey(activity, () => definition.idempotencyKey?.(input));
  return {
    subject: { ...base.subject, key: key?.text },
    options,
    key,
    fingerprint: key === null ? null : makeFingerprint(activity, input, definition.fingerprint),
    resource: makeResource(activity, () => definition.lease?.resource?.(input)),
    details: null,
    undo: compensation !== undefined,
    run: (context: ActivityContext) => definition.run(input, context),
  } satisfies Call;
}

/**
 * Its key is the task that it takes back: an effect is taken back once, whoever asks. A failure is kept until it is
 * mended.
 */
function compensationCall(
  services: DurableServices,
  base: Base,
  options: DurableOptions,
  run: NonNullable<ResolvedActivity['compensation']>['run'],
  given: CompensationInput,
): Call {
  const { saga, target } = given;
  let input = given;
  return {
    subject: { ...base.subject, kind: 'compensation' as const, key: target, target },
    options: { ...options, keepFailure: true },
    key: makeKey(base.subject.activity, () => target),
    fingerprint: null,
    resource: null,
    details: { saga, target, taskQueue: base.taskQueue, input: given },
    undo: false,
    // Once it has a row: where the result is gone, somebody has to see to it, and finds it on the list.
    prepare: async () => void (input = await resolveReferences(services.database, given)),
    run: (context: ActivityContext) => run(input.input, input.result, context),
  };
}

async function perform(
  services: DurableServices,
  options: DurableOptions,
  makeCall: (base: Base) => Promise<Call> | Call,
): Promise<Envelope> {
  const context = Context.current();
  const { info } = context;
  if (!info.workflowExecution) throw failure(ErrorType.BadValue, 'a durable activity is called from a workflow');
  const { workflowId, runId } = info.workflowExecution;
  const base: Base = {
    taskQueue: info.taskQueue,
    subject: {
      workflow: workflowId,
      run: runId,
      task: taskId(runId, info.activityId),
      activity: info.activityType,
      externalId: info.activityId,
      kind: 'activity',
    },
  };
  // In the background, so that the code need not think of it; also where it waits for its key.
  const beat = heartbeatEvery(info.heartbeatTimeoutMs, options);
  const heart = beat === undefined ? undefined : setInterval(() => context.heartbeat(), beat);
  const caller: Caller = { signal: context.cancellationSignal, details: () => context.cancellationDetails };
  try {
    return await execute(services, await makeCall(base), caller);
  } finally {
    clearInterval(heart);
  }
}

function heartbeatEvery(timeoutMs: number | undefined, options: DurableOptions): number | undefined {
  return timeoutMs ? Math.min(timeoutMs / 3, options.lease.renewMs) : undefined;
}
