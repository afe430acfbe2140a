/**
 * One job (a regen, decay or sweep) from outside: start it, change it, run it now, read what came of its ticks. Got
 * from `Longwatch.job`; used by programs and by the command line. Its part that trackers and buffers have too is
 * `unit.ts`; what is read comes from PostgreSQL (`ticks.ts`, `status.ts`).
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { sleep } from '../../activities/lib/sleep';
import { explainWork, type Explanation } from '../../activities/job/explain';
import {
  declareJobUpdate,
  jobWorkflowId,
  pauseJobUpdate,
  reconfigureJobUpdate,
  resumeJobUpdate,
  runJobUpdate,
  stopJobUpdate,
  type JobInput,
} from '../../workflows/job/contract';
import type { job as workflow } from '../../workflows/job/job';
import { withJobChanges, type JobOptions } from '../../workflows/job/options';
import { TASK_QUEUE } from '../../workflows/lib/contract';
import type { OptionChange } from '../../workflows/lib/options';
import { announced, recorded, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { JobGoneError, JobStoppedError, RefusedError, UnknownJobError } from '../errors';
import type { Page, PageOptions } from '../page';
import type { Setting } from '../settings';
import { temporalClient, temporalCommon } from '../temporal-client';
import { Unit, type UnitKind } from '../unit';
import { JOB_NAMES, JOB_THERE, REQUESTED } from './queries';
import { jobChange, jobSettings } from './settings';
import { readJobs, type JobRow, type JobSummary } from './status';
import {
  pageOfFailedRows,
  pageOfTicks,
  readFailedRows,
  readHistory,
  retryRows,
  toTick,
  type FailedRowSummary,
  type RequestedRow,
  type TickSummary,
} from './ticks';

/** How often `run` looks whether its tick has ended. Milliseconds. */
const POLL_MS = 100;

export interface RunProgress {
  rows: number;
  /** 0 to 1: of the parts that the table is cut into. */
  share: number;
}

const KIND: UnitKind<JobOptions> = {
  noun: 'job',
  names: JOB_NAMES,
  workflowId: jobWorkflowId,
  commands: {
    stop: stopJobUpdate,
    pause: pauseJobUpdate,
    resume: resumeJobUpdate,
    declare: declareJobUpdate,
    reconfigure: reconfigureJobUpdate,
  },
  Stopped: JobStoppedError,
  Gone: JobGoneError,
  Unknown: UnknownJobError,
};

/**
 * `stop` ends the pass that works; a tick that has begun is finished after the next start. While it is paused no tick
 * begins and the one that works waits; ticks that fall due meanwhile are not made up for.
 */
export class JobHandle extends Unit<JobOptions, JobRow> {
  constructor(name: string, connections: Connections) {
    super(name, connections, KIND);
  }

  /**
   * A tick now, beside the schedule, also while the job is paused. Resolves when it has ended.
   * @throws JobStoppedError, also when the job is stopped before the tick has ended.
   * @param options.onProgress called now and then
   * @param options.signal gives up waiting; the run goes on
   */
  async run(
    options: { onProgress?: (progress: RunProgress) => void; signal?: AbortSignal } & CommandOptions = {},
  ): Promise<TickSummary> {
    await this.require();
    const request = await announced(this.connections, { ...this.listed('run'), why: options.why }, async () => {
      const { request: runs } = await this.update(runJobUpdate, [{ request: randomUUID() }]);
      return { result: runs, after: { request: runs } };
    });
    for (;;) {
      options.signal?.throwIfAborted();
      const [tick] = await this.connections.rows<RequestedRow>(REQUESTED, [this.name, request]);
      if (tick?.ended_at != null) return toTick(tick);
      const state = tick?.state ?? (await this.require()).state;
      if (state === 'stopped') throw new JobStoppedError(this.name, tick !== undefined);
      if (tick) {
        const share = tick.parts === 0 ? 0 : tick.parts_done / tick.parts;
        options.onProgress?.({ rows: tick.rows_so_far, share });
      }
      await sleep(POLL_MS);
    }
  }

  async status(): Promise<JobSummary> {
    const [found] = await readJobs(this.connections, this.name);
    if (!found) throw await this.unknown();
    return found;
  }

  /** Ticks that have ended, the newest first. */
  async history(limit = 20): Promise<TickSummary[]> {
    await this.requireThere();
    return readHistory(this.connections, this.name, limit);
  }

  /** The same in parts. @throws InvalidCursorError */
  async historyPage(options: PageOptions = {}): Promise<Page<TickSummary>> {
    await this.requireThere();
    return pageOfTicks(this.connections, this.name, options);
  }

  /** Rows that failed: in a regen's or decay's latest tick, or dead letters of a sweep. */
  async failedRows(limit = 100): Promise<FailedRowSummary[]> {
    await this.requireThere();
    return readFailedRows(this.connections, this.name, limit);
  }

  /** The same in parts: those that failed last come first. @throws InvalidCursorError */
  async failedRowsPage(options: PageOptions = {}): Promise<Page<FailedRowSummary>> {
    await this.requireThere();
    return pageOfFailedRows(this.connections, this.name, options);
  }

  /**
   * Dead letters of a sweep are handled again when they are due.
   * @param keys all of them, unless given: the columns of each, as `failedRows` has them; or, as a text, the only
   *   column, several joined by commas, or a JSON list of them
   * @returns how many
   * @throws ConfigError for a text that stands for several keys
   */
  async retryFailed(keys?: (string | string[])[], { why }: CommandOptions = {}): Promise<number> {
    await this.require();
    return recorded(this.connections, { ...this.listed('retry'), why }, async (db) => {
      const rows = await retryRows(db, this.name, keys);
      return { result: rows, after: { rows, all: keys === undefined }, changed: rows > 0 };
    });
  }

  /** Its statement, PostgreSQL's plan of it, and what stands in the way of speed. Runs nothing. */
  async explain(options?: JobOptions): Promise<Explanation> {
    const explained = options ?? withJobChanges(...(await this.stored()));
    try {
      return await this.connections.readTransaction((db) => explainWork(db, explained));
    } catch (error) {
      throw refused(error);
    }
  }

  private async requireThere(): Promise<void> {
    if ((await this.connections.rows(JOB_THERE, [this.name])).length === 0) throw await this.unknown();
  }

  private async stored(): Promise<[JobOptions, JobRow['changes']]> {
    const row = await this.require();
    return [row.options, row.changes];
  }

  protected async find(): Promise<JobRow | undefined> {
    return (await readJobs(this.connections, this.name, 'rows'))[0];
  }

  protected startRoot(client: Client, options: JobOptions | undefined): Promise<unknown> {
    const input: JobInput = { job: this.name, options };
    return client.workflow.start<typeof workflow>('job', {
      workflowId: jobWorkflowId(this.name),
      taskQueue: TASK_QUEUE,
      args: [input],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      staticSummary: `${options?.kind ?? 'job'} ${this.name}`,
    });
  }

  protected override throwIfRefused(): Promise<void> {
    return this.connections.temporal((client) => throwIfFailed(client, this.name));
  }

  protected settingsOf(row: JobRow): Setting[] {
    return jobSettings(row.options, row.changes);
  }

  protected changeOf(row: JobRow, path: string, value: string | number | boolean | null): OptionChange {
    return jobChange(row.kind, path, value);
  }
}

async function throwIfFailed(client: Client, job: string): Promise<void> {
  const handle = client.workflow.getHandle(jobWorkflowId(job));
  if ((await handle.describe()).status.name !== 'FAILED') return;
  try {
    await handle.result();
  } catch (error) {
    throw error instanceof temporalClient().WorkflowFailedError ? refused(error.cause) : error;
  }
}

/** A refusal of the database or of the workflow, with its words. */
function refused(error: unknown): unknown {
  let cause: unknown = error;
  const { ApplicationFailure } = temporalCommon();
  while (cause instanceof Error && !(cause instanceof ApplicationFailure) && cause.cause) cause = cause.cause;
  return cause instanceof ApplicationFailure && cause.type === 'BadOption'
    ? new RefusedError(cause.message, { cause: error })
    : error;
}
