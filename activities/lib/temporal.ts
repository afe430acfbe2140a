/**
 * The questions that activities ask of Temporal itself: which run of a pool is the current one, whether the server can
 * be reached, and that a pool or a tracker have their workflow. The one user of a client on the worker's side.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import {
  type Client,
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdConflictPolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { temporal as proto } from '@temporalio/proto';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { msToTs } from '@temporalio/common/lib/time';
import { readEnd, type RunEnd } from './closed-run';
import { jobWorkflowId, type JobInput } from '../../workflows/job/contract';
import {
  bufferWorkflowId,
  memorySignal,
  pushSignal,
  shardWorkflowId,
  wakeBufferSignal,
  type PushMessage,
} from '../../workflows/buffer/contract';
import type { BufferInput } from '../../workflows/buffer/state';
import {
  grownSignal,
  POOL_TASK_TIMEOUT_MS,
  poolWorkflowId,
  trackerWorkflowId,
  wakeSignal,
  type PoolInput,
  type TrackerInput,
} from '../../workflows/tracker/contract';
import { TASK_QUEUE } from '../../workflows/lib/contract';

const TRACKER = defineSearchAttributeKey('LongwatchTracker', 'KEYWORD');
const POOL = defineSearchAttributeKey('LongwatchPool', 'INT');

/** The states of a run that has not ended. */
const GOING: readonly string[] = ['RUNNING', 'PAUSED'];
/** Longwatch's own; users' workflows may be on the same task queue. */
const WORKFLOW_TYPES = ['tracker', 'pool', 'buffer', 'shard', 'job'];

/** By gRPC's numbers. After any other one the next answer may differ, or the answer was lost. */
const REFUSALS: readonly number[] = [
  3, // INVALID_ARGUMENT
  5, // NOT_FOUND
  7, // PERMISSION_DENIED
  9, // FAILED_PRECONDITION
  12, // UNIMPLEMENTED
];

/** The server has heard the request and says no: to ask again is of no use. */
export function isRefused(error: unknown): boolean {
  return isGrpcServiceError(error) && REFUSALS.includes(error.code);
}

type LastRun = { state: 'missing' } | { state: 'running' | 'forced'; runId: string };

export class TemporalLink {
  /**
   * @param answerMs which run is the current one is answered within this, or it is an error: who asks has work that
   *   waits for it
   */
  constructor(
    private readonly client: Client,
    private readonly answerMs = 5_000,
  ) {}

  /**
   * True when the run is the running one of its workflow; one that has ended is not, also where none has come after it.
   */
  async isCurrent(workflowId: string, runId: string): Promise<boolean> {
    try {
      const describe = () => this.client.workflow.getHandle(workflowId).describe();
      const { runId: newest, status } = await this.client.withDeadline(Date.now() + this.answerMs, describe);
      return newest === runId && GOING.includes(status.name);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  /**
   * From now on the activity is tried again on another task queue, as often as it takes, and without the wait of its
   * workflow. The server's API for it is a preview: one that does not have it says so, and nothing is changed.
   */
  async retryOn(
    taskQueue: string,
    { workflowId, runId, activityId }: { workflowId: string; runId: string; activityId: string },
    retry: { initialInterval: number; backoffCoefficient: number; maximumInterval: number },
    beginWithinMs: number,
  ): Promise<void> {
    const update = () =>
      this.client.workflowService.updateActivityOptions({
        namespace: this.client.options.namespace,
        identity: this.client.options.identity,
        execution: { workflowId, runId },
        id: activityId,
        activityOptions: {
          taskQueue: { name: taskQueue },
          scheduleToStartTimeout: msToTs(beginWithinMs),
          retryPolicy: {
            maximumAttempts: 0,
            initialInterval: msToTs(retry.initialInterval),
            maximumInterval: msToTs(retry.maximumInterval),
            backoffCoefficient: retry.backoffCoefficient,
          },
        },
        updateMask: {
          paths: [
            'task_queue.name',
            'schedule_to_start_timeout',
            'retry_policy.maximum_attempts',
            'retry_policy.initial_interval',
            'retry_policy.maximum_interval',
            'retry_policy.backoff_coefficient',
          ],
        },
      });
    await this.client.withDeadline(Date.now() + this.answerMs, update);
  }

  /** True while the run waits for the activity of this id. */
  async isPending(workflowId: string, runId: string, activityId: string): Promise<boolean> {
    try {
      const { raw } = await this.client.workflow.getHandle(workflowId, runId).describe();
      return (raw.pendingActivities ?? []).some((pending) => pending.activityId === activityId);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  /** True while any run of the workflow goes on. */
  async isRunning(workflowId: string): Promise<boolean> {
    return (await this.lastRun(workflowId)).state === 'running';
  }

  /** Whatever `work` asks of Temporal ends when the signal says so, or at the latest after so long. Milliseconds. */
  within<T>(signal: AbortSignal, ms: number, work: () => Promise<T>): Promise<T> {
    // The SDK leaves a listener on the signal for each request: on one that goes when the work is over.
    const own = AbortSignal.any([signal]);
    setMaxListeners(0, own);
    return this.client.withAbortSignal(own, () => this.client.withDeadline(Date.now() + ms, work));
  }

  /** True when the server answers within a second. */
  async reachable(): Promise<boolean> {
    try {
      await this.client.connection.withDeadline(Date.now() + 1_000, () =>
        this.client.connection.workflowService.getSystemInfo({}),
      );
      return true;
    } catch {
      return false;
    }
  }

  /** Starts the pool's workflow where it has none, and tells it to look. */
  async wakePool(tracker: string, pool: number, release = false): Promise<void> {
    await this.client.workflow.signalWithStart('pool', {
      workflowId: poolWorkflowId(tracker, pool),
      taskQueue: TASK_QUEUE,
      workflowTaskTimeout: POOL_TASK_TIMEOUT_MS,
      args: [{ tracker, pool } satisfies PoolInput],
      signal: wakeSignal,
      signalArgs: [{ release }],
      typedSearchAttributes: new TypedSearchAttributes([
        { key: TRACKER, value: tracker },
        { key: POOL, value: pool },
      ]),
      staticSummary: `${tracker}, pool ${pool}`,
    });
  }

  /** Starts the tracker's root where it has none. Its options and state are in the database. */
  async wakeTracker(tracker: string): Promise<boolean> {
    try {
      await this.client.workflow.start('tracker', {
        workflowId: trackerWorkflowId(tracker),
        taskQueue: TASK_QUEUE,
        args: [{ tracker } satisfies TrackerInput],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        typedSearchAttributes: new TypedSearchAttributes([{ key: TRACKER, value: tracker }]),
        staticSummary: `tracker ${tracker}`,
      });
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** The tracker may have more members than its pools should hold: its root looks. */
  async tellGrown(tracker: string): Promise<void> {
    await this.client.workflow.getHandle(trackerWorkflowId(tracker)).signal(grownSignal);
  }

  /** Starts the buffer's parent where it has none, and has it start what is missing of its shards. */
  async wakeBuffer(buffer: string): Promise<void> {
    await this.client.workflow.signalWithStart('buffer', {
      workflowId: bufferWorkflowId(buffer),
      taskQueue: TASK_QUEUE,
      args: [{ buffer } satisfies BufferInput],
      signal: wakeBufferSignal,
      signalArgs: [],
      staticSummary: `buffer ${buffer}`,
    });
  }

  /**
   * `missing`: there is none, or it has completed; `forced`: it was terminated, failed or timed out, and none has come
   * after it.
   */
  async lastRun(workflowId: string): Promise<LastRun> {
    try {
      const { status, runId } = await this.client.workflow.getHandle(workflowId).describe();
      if (status.name === 'COMPLETED') return { state: 'missing' };
      const going = GOING.includes(status.name) || status.name === 'CONTINUED_AS_NEW';
      return { state: going ? 'running' : 'forced', runId };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return { state: 'missing' };
      throw error;
    }
  }

  /** How a run that was ended by force came to its end. */
  endOf(workflowId: string, runId: string): Promise<RunEnd> {
    return readEnd(this.client, workflowId, runId);
  }

  /**
   * A new run from the beginning of the last task of one that was ended by force: the same state, and the signals that
   * came after it. The updates that were accepted in that task do not come along (`closed-run.ts`). False where another
   * has come after it.
   */
  async reset(workflowId: string, { runId, lastTaskEnd }: RunEnd): Promise<boolean> {
    const last = await this.lastRun(workflowId);
    if (last.state !== 'forced' || last.runId !== runId) return false;
    const { connection, options } = this.client;
    const { ResetReapplyType, ResetReapplyExcludeType } = proto.api.enums.v1;
    await connection.workflowService.resetWorkflowExecution({
      namespace: options.namespace,
      workflowExecution: { workflowId, runId },
      reason: 'ended by force; goes on where it was',
      workflowTaskFinishEventId: lastTaskEnd,
      requestId: randomUUID(),
      resetReapplyType: ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE,
      resetReapplyExcludeTypes: [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE],
    });
    return true;
  }

  /** Entries that lie in PostgreSQL, for the shard to take over. */
  async push(buffer: string, shard: number, message: PushMessage): Promise<void> {
    await this.client.workflow.getHandle(shardWorkflowId(buffer, shard)).signal(pushSignal, message);
  }

  /** Carries the memory monitor's wish to a shard. */
  async tellMemory(buffer: string, shard: number, wish: 'shrink' | 'grow'): Promise<void> {
    await this.client.workflow.getHandle(shardWorkflowId(buffer, shard)).signal(memorySignal, wish);
  }

  /** Starts the job's workflow where it has none. The ticks that were missed are in the database. */
  async wakeJob(job: string): Promise<boolean> {
    try {
      await this.client.workflow.start('job', {
        workflowId: jobWorkflowId(job),
        taskQueue: TASK_QUEUE,
        args: [{ job } satisfies JobInput],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        staticSummary: `job ${job}`,
      });
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** Ids of Longwatch's workflows that run, as the visibility store knows them: a moment behind. */
  async runningWorkflows(): Promise<Set<string>> {
    const ids = new Set<string>();
    const types = WORKFLOW_TYPES.map((type) => `'${type}'`).join(', ');
    const query = `TaskQueue = '${TASK_QUEUE}' and ExecutionStatus = 'Running' and WorkflowType in (${types})`;
    for await (const { workflowId } of this.client.workflow.list({ query, pageSize: 1_000 })) ids.add(workflowId);
    return ids;
  }
}
