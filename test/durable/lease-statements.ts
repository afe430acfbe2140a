/**
 * The statements of durable activities, as the simulated world of leases (`lease-world.ts`) answers them: their
 * parameters by place, handed to the model of the rows (`lease-model.ts`).
 */
import type { LeaseModel } from './lease-model';
import type { SettleInput } from './lease-rows';

/** A statement of `activities/durable/store/tasks.ts`, by its name. */
export function applyStatement(model: LeaseModel, name: string, values: unknown[]): unknown[] {
  if (name === 'task-take') return [take(model, values)];
  if (name === 'task-settle') return [{ reason: model.settle(settleOf(values, model)), retry_at_ms: 0 }];
  if (name === 'task-renew') {
    const [owner, tasks, attempts, ttls] = values as [string, string[], number[], number[]];
    return model.renew(
      owner,
      tasks.map((task, index) => ({ task, attempt: attempts[index]!, ttlMs: ttls[index]! })),
    );
  }
  if (name === 'task-stopped') model.stopped(...(values as [string, string, number]));
  if (name === 'task-not-started') model.notStarted(...(values as [string, string, number]));
  return [];
}

function take(model: LeaseModel, values: unknown[]): unknown {
  const [task, activity, kind, workflow, run, , owner, ttlMs, attempts, resource, key, , keepFailure] =
    values as TakeValues;
  const [, , , , , , , , , , , , , , , , undo, saga, target, , , call] = values as TakeValues;
  const said = model.take({
    ...{ task, activity, kind, workflow, run, owner, ttlMs, attempts, resource, key, keepFailure },
    ...{ fingerprint: null, refuse: false, undo, saga, target, call },
  });
  return {
    ...{ outcome: said.outcome, source: said.source, o_attempt: said.attempt, o_used: said.used, o_token: 1 },
    ...{
      o_owner: said.owner,
      wait_ms: said.waitMs,
      o_result: said.result,
      o_error: said.error,
      o_run: null,
      o_other: said.other,
    },
  };
}

/** The parameters of `settle_task`, by their places. */
type SettleValues = [
  ...[task: string, activity: string, workflow: string, run: string, owner: string, attempt: number, token: number],
  ...[to: SettleInput['to'], result: string | null, error: string | null, retryMs: number, keyHash: Buffer | null],
  ...[keepFailure: boolean, retentionMs: number, unused: boolean, strict: boolean, byReference: boolean],
];
/** And of `take_task`. */
type TakeValues = [
  ...[task: string, activity: string, kind: 'activity' | 'compensation', workflow: string, run: string],
  ...[endedRun: string | null, owner: string, ttlMs: number, attempts: number, resource: string | null],
  ...[
    key: string | null,
    keyHash: Buffer | null,
    keepFailure: boolean,
    retentionMs: number,
    fingerprint: Buffer | null,
  ],
  ...[
    refuse: boolean,
    undo: boolean,
    saga: string | null,
    target: string | null,
    taskQueue: string | null,
    input: string | null,
    call: string,
  ],
];

export function settleOf(values: unknown[], model: LeaseModel): SettleInput {
  const [task, activity, , run, owner, attempt, , to, result, error, retryMs] = values as SettleValues;
  const [, , , , , , , , , , , , keepFailure, , unused, strict] = values as SettleValues;
  const stored = error === null ? null : (JSON.parse(error) as SettleInput['error']);
  const key = model.tasks.get(task)?.key ?? null;
  return { task, activity, run, owner, attempt, to, result, error: stored, retryMs, key, keepFailure, unused, strict };
}
