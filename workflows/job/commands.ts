/**
 * The commands of an operator to a job's workflow: each is carried out after the one before it, and never before the
 * job's row is known. The handlers of `job.ts` call it; the rows are written by `activities/job/commands.ts`.
 */
import { ApplicationFailure, condition, proxyActivities } from '@temporalio/workflow';
import type { CommandResult, ReconfigureResult } from '../lib/contract';
import { ErrorType } from '../lib/errors';
import type { OptionChange } from '../lib/options';
import { RETRY } from '../lib/retry';
import { Turns } from '../lib/turns';
import type { JobActivities, JobOpening, JobState } from './contract';
import { jobChangeProblems, type JobOptions } from './options';
import type { Passes } from './passes';
import type { JobRun } from './run';
import { JOB_TUNABLES } from './tunables';

const { setJobState, declareJob, setJobOptions } = proxyActivities<JobActivities>({
  startToCloseTimeout: JOB_TUNABLES.commandMs,
  retry: RETRY,
});

export class Commands {
  private readonly turns: Turns<JobOpening>;

  constructor(
    private readonly run: JobRun,
    private readonly passes: Passes,
  ) {
    this.turns = new Turns(() => run.opened);
  }

  pause(): Promise<CommandResult> {
    return this.turns.take((opened) => this.changeState(opened, 'paused'));
  }

  resume(): Promise<CommandResult> {
    return this.turns.take(async (opened) => {
      if (opened.state !== 'paused') return this.changeState(opened, 'running');
      const { state } = this.run;
      // Ticks that fell due meanwhile were not wanted: a pause is not downtime, also for a workflow that knows nothing
      // of it.
      state.settled = Math.max(state.settled, Date.now());
      return this.changeState(opened, 'running', state.settled);
    });
  }

  stop(): Promise<CommandResult> {
    return this.turns.take((opened) => this.changeState(opened, 'stopped'));
  }

  /** @returns the request that is run: the one that waits already, where there is one */
  runNow(request: string): { request: string } {
    const { state } = this.run;
    state.request ??= request;
    this.run.wake();
    return { request: state.request };
  }

  declare(options: JobOptions): Promise<ReconfigureResult> {
    return this.turns.take(async () => {
      const result = await declareJob({ job: this.run.name, options });
      await this.run.look();
      return result;
    });
  }

  /** @param expects the version of the row, where nobody else may have changed it since */
  reconfigure(changes: OptionChange[], expects?: number): Promise<ReconfigureResult> {
    return this.turns.take(async () => {
      const result = await setJobOptions({ job: this.run.name, changes, expects });
      await this.run.look();
      return result;
    });
  }

  /** Before a change is let into the history. @throws BadOption */
  refuseBad(changes: OptionChange[]): void {
    const { opened } = this.run;
    const problems = opened ? changes.flatMap((change) => jobChangeProblems(opened.options, change)) : [];
    if (problems.length > 0) throw ApplicationFailure.nonRetryable(problems.join('; '), ErrorType.BadOption);
  }

  private async changeState(opened: JobOpening, wanted: JobState, settled?: number): Promise<CommandResult> {
    const { name } = this.run;
    if (opened.state === 'stopped' && wanted !== 'stopped') {
      throw ApplicationFailure.nonRetryable(`job ${name} is stopped; start it again`, ErrorType.JobStopped);
    }
    const result = await setJobState({ job: name, state: wanted, settled });
    opened.state = result.state;
    this.run.wake();
    this.run.describe();
    if (wanted !== 'running') await condition(() => !this.passes.isUnwanted, JOB_TUNABLES.endPatienceMs);
    return result;
  }
}
