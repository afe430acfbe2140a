/**
 * One update of a root workflow, be it of a tracker, a buffer or a job. Called by `unit.ts`; every way in which an
 * update can fail leaves as one of `errors.ts`.
 */
import type { UpdateDefinition } from '@temporalio/common';
import type { WorkflowUpdateFailedError } from '@temporalio/client';
import { ErrorType } from '../workflows/lib/errors';
import type { Connections } from './connections';
import { ChangedError, NoWorkerError, RefusedError, TimedOutError } from './errors';
import { temporalClient, temporalCommon } from './temporal-client';

/** An update waits for a worker, and may move a million members. Milliseconds. */
const UPDATE_MS = 30_000;
const SPLIT_MS = 120_000;
/** With nobody polling, say so this soon. */
const NOBODY_MS = 8_000;

/**
 * Why an update is refused by a root that has been stopped; the last is the server's, for one taken and never handled.
 */
const STOPPED: ReadonlySet<string> = new Set<string>([
  ErrorType.TrackerStopped,
  ErrorType.JobStopped,
  ErrorType.BufferStopped,
  'AcceptedUpdateCompletedWorkflow',
]);

/** The workflow that an update is for. */
export interface Target {
  workflowId: string;
  /** How messages call it: `job 'stamina'`. */
  noun: string;
  /** Why there is no such workflow. */
  missing: () => Promise<Error>;
}

/**
 * Carries out one update.
 * @throws what the target's `missing` says when there is no root workflow; NoWorkerError; TimedOutError; RefusedError
 *   with the workflow's reason; ChangedError; TemporalUnavailableError.
 */
export async function command<Result, Args extends unknown[]>(
  connections: Connections,
  target: Target,
  update: UpdateDefinition<Result, Args>,
  args: Args,
  options: { long?: boolean } = {},
): Promise<Result> {
  const limit = options.long ? SPLIT_MS : UPDATE_MS;
  try {
    const run = (withinMs: number): Promise<Result> =>
      connections.temporal(
        (client) =>
          client.workflow
            .getHandle(target.workflowId)
            .executeUpdate(update as unknown as UpdateDefinition<Result, [unknown]>, {
              args: args as unknown as [unknown],
            }),
        { withinMs },
      );
    return await run((await connections.workersPoll()) ? limit : NOBODY_MS);
  } catch (error) {
    const { WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError } = temporalClient();
    if (error instanceof temporalCommon().WorkflowNotFoundError) throw await target.missing();
    if (error instanceof WorkflowUpdateFailedError) throw await refused(error, target);
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
      const what = `${target.noun} did not answer '${update.name}'`;
      if (!(await connections.workersPoll())) throw new NoWorkerError(what);
      throw new TimedOutError(`${what} within ${limit / 1000} s; it may still do it, see: npx longwatch status`);
    }
    throw error;
  }
}

async function refused(error: WorkflowUpdateFailedError, target: Target): Promise<Error> {
  let cause: unknown = error.cause;
  // An activity's failure has the reason inside.
  const { ApplicationFailure } = temporalCommon();
  while (cause instanceof Error && !(cause instanceof ApplicationFailure) && cause.cause) cause = cause.cause;
  if (!(cause instanceof ApplicationFailure)) return error;
  // It stopped between the question and its answer: the same as asked a moment later.
  if (STOPPED.has(cause.type ?? '')) return target.missing();
  if (cause.type === ErrorType.Changed) return new ChangedError(target.noun);
  return new RefusedError(cause.message, { cause: error });
}
