/**
 * The things that the parts of a job's workflow share: its state, the job's row as the database told it last, and the
 * wake-up of the loop. Made by `job.ts`, used by `commands.ts` and `passes.ts`.
 */
import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { RETRY } from '../lib/retry';
import type { JobActivities, JobInput, JobOpening, JobWorkflowState } from './contract';
import { freshJobState } from './plan';
import { JOB_TUNABLES } from './tunables';

const { openJob } = proxyActivities<JobActivities>({
  startToCloseTimeout: JOB_TUNABLES.commandMs,
  retry: RETRY,
});

export class JobRun {
  readonly name: string;
  readonly state: JobWorkflowState;
  /** The job's row. Undefined before the first look. */
  opened: JobOpening | undefined;
  /** Raised by whatever may change the next step. */
  happenings = 0;

  constructor(private readonly input: JobInput) {
    this.name = input.job;
    this.state = input.state ?? freshJobState(Date.now());
  }

  /** The loop looks at what comes next. */
  wake(): void {
    this.happenings++;
  }

  /** The first look of a run; what was open in the database is gone on with, whoever began it. */
  async open(): Promise<void> {
    const { input, state } = this;
    // Brought back by a patrol: what fell due since the last tick was missed. A start begins anew.
    const broughtBack = !input.state && !input.options;
    const after = broughtBack ? undefined : state.settled;
    const found = await openJob({ job: this.name, options: input.options, after });
    const settled = found.settled ?? found.endedDue;
    if (settled !== undefined) state.settled = broughtBack ? settled : Math.max(state.settled, settled);
    state.open ??= found.open;
    this.opened = found;
    this.describe();
  }

  /** Reads the row again: its options have changed, or the known times of its calendar are used up. */
  async look(): Promise<void> {
    this.opened = await openJob({ job: this.name, after: this.state.settled });
    this.wake();
    this.describe();
  }

  /** Tells the Temporal UI what a person sees of this job. */
  describe(): void {
    if (!this.opened) return;
    const { last, lastError } = this.state;
    setCurrentDetails(
      `**${this.name}** (${this.opened.options.kind}): ${this.opened.state}` +
        (last ? `\n\nlast tick: ${last.rows} rows in ${Math.round(last.ms)} ms, ${last.band ?? last.end}` : '') +
        (lastError === undefined ? '' : `\n\nlast error: ${lastError}`),
    );
  }
}
