/**
 * The passes of a job's workflow: one at a time, from its start to what its result means for the next. `plan.ts` says
 * when one begins and when it is asked to end; `job.ts` tells it here; the work is done by the activity
 * (`activities/job/pass.ts`).
 */
import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
} from '@temporalio/workflow';
import { ErrorType } from '../lib/errors';
import { causeOf } from '../lib/failed-activity';
import { RETRY } from '../lib/retry';
import { errorMessage } from '../lib/text';
import type { JobActivities, PassResult, TickRequest } from './contract';
import type { JobRun } from './run';
import { JOB_TUNABLES } from './tunables';

export class Passes {
  /** The tick that a pass works on. */
  working: TickRequest | undefined;
  /** No pass begins before this: the last one failed. Epoch milliseconds. */
  notBeforeMs = 0;
  /** This run is not the job's current one any more: the workflow ends with it. */
  replaced: Error | undefined;
  private scope: CancellationScope | undefined;

  constructor(private readonly run: JobRun) {}

  get askedToEnd(): boolean {
    return this.working !== undefined && this.scope === undefined;
  }

  /** Whether a pass works that what was said last does not want. */
  get isUnwanted(): boolean {
    return this.working !== undefined && (this.run.opened?.state === 'stopped' || this.working.request === undefined);
  }

  askToEnd(): void {
    this.scope?.cancel();
    this.scope = undefined;
  }

  /** One pass from its start to its result. A tick stays open until a pass says that it is done. */
  async begin(tick: TickRequest, settles: number): Promise<void> {
    const { state } = this.run;
    const scope = new CancellationScope();
    this.scope = scope;
    this.working = tick;
    state.open = tick;
    state.settled = settles;
    state.pass++;
    if (tick.request !== undefined && tick.request === state.request) state.request = undefined;
    if (tick.elapsed === 0) state.retryAt = undefined;
    try {
      this.ended(await scope.run(() => this.execute(tick)));
    } catch (error) {
      if (!isCancellation(error)) this.failed(error);
    } finally {
      this.working = undefined;
      this.scope = undefined;
      this.run.describe();
      this.run.wake();
    }
  }

  private execute(tick: TickRequest): Promise<PassResult> {
    const { name, state, opened } = this.run;
    const { pass } = proxyActivities<JobActivities>({
      startToCloseTimeout: JOB_TUNABLES.passMs,
      heartbeatTimeout: opened!.options.heartbeatTimeoutMs,
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `tick ${new Date(tick.due).toISOString()}${tick.elapsed > 1 ? `, for ${tick.elapsed} intervals` : ''}`,
      retry: RETRY,
    });
    return pass({ job: name, pass: state.pass, tick });
  }

  private ended(result: PassResult): void {
    const { state, opened } = this.run;
    if (result.end === 'fenced') {
      this.notBeforeMs = Date.now() + JOB_TUNABLES.fencedPauseMs;
      return;
    }
    if (result.end === 'stopped') {
      // Known here before the answer of what has stopped it; nothing was begun, so nothing is left open.
      opened!.state = 'stopped';
      state.open = undefined;
      return;
    }
    if (result.end !== 'done') return;
    // Another tick was open in the database, and has been finished: the one that was asked for is still to come.
    if (state.open !== undefined && result.due >= state.open.due) state.open = undefined;
    state.last = result;
    state.lastError = result.error;
    state.retryAt = result.retryAt;
  }

  private failed(error: unknown): void {
    const { name, state } = this.run;
    const cause = causeOf(error);
    state.lastError = errorMessage(cause);
    if (cause instanceof ApplicationFailure && cause.type === ErrorType.JobNotCurrent) this.replaced = error as Error;
    this.notBeforeMs = Date.now() + JOB_TUNABLES.failedPauseMs;
    log.error('A pass failed for good; the next one follows in 10 s', { job: name, error });
  }
}
