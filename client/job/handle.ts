/**
 * One job (a regen, decay or sweep) from outside: start it, change it, run it now, read what came of its ticks. Got
 * from `Longwatch.job`; used by programs and by the command line. Commands go to the job's workflow, what is read comes
 * from PostgreSQL.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { explainWork, type Explanation } from '../../activities/job/explain';
import { compileValue } from '../../config/values';
import { ConfigError } from '../../config/errors';
import { didYouMean } from '../../config/suggest';
import {
  declareJobUpdate,
  jobWorkflowId,
  pauseJobUpdate,
  reconfigureJobUpdate,
  resumeJobUpdate,
  runJobUpdate,
  stopJobUpdate,
  type Band,
  type JobInput,
  type JobState,
} from '../../workflows/job/contract';
import { specsOf, withJobChanges, type JobKind, type JobOptions } from '../../workflows/job/options';
import { command, type Target } from '../commands';
import type { Connections } from '../connections';
import { JobGoneError, JobStoppedError, NoWorkerError, RefusedError, TimedOutError, UnknownJobError } from '../errors';
import { FAILED_ROWS, FIND_ROWS, HISTORY, JOB_NAMES, REQUESTED, RETRY_ROWS } from './queries';
import { jobSettings } from './settings';
import { iso, readJobs, type JobRow, type JobSummary } from './status';
import { sameOptions, type Setting } from '../settings';
import { temporalClient, temporalCommon } from '../temporal-client';
import type { OptionChange } from '../../workflows/lib/options';
import { TASK_QUEUE, type CommandResult, type ReconfigureResult } from '../../workflows/lib/contract';
import { sleep } from '../../activities/lib/sleep';

const START_MS = 30_000;
const POLL_MS = 100;

export interface JobStartResult {
  /** True: it ran before; nothing was changed. */
  alreadyRunning: boolean;
  state: JobState;
  /** It runs with other options than those given; `declare` hands them over. */
  differs: boolean;
}

export interface TickSummary {
  due: string;
  /** `schedule`, or `hand` for a run that was asked for. */
  by: 'schedule' | 'hand';
  elapsed: number;
  skipped: number;
  startedAt: string;
  endedAt: string | null;
  rows: number;
  chunks: number;
  failed: number;
  ms: number;
  /** The longest that a chunk held its rows. */
  longestMs: number | null;
  roundTripP50Ms: number | null;
  roundTripP99Ms: number | null;
  band: Band | null;
  error: string | null;
}

export interface FailedRowSummary {
  /** The columns of its key, as text. */
  key: string[];
  due: string;
  error: string;
  /** PostgreSQL's SQLSTATE, where it is one of its errors. */
  code: string | null;
  attempts: number;
  failedAt: string;
}

export interface RunProgress {
  rows: number;
  /** 0 to 1: of the parts that the table is cut into. */
  share: number;
}

export class JobHandle {
  constructor(
    readonly name: string,
    private readonly connections: Connections,
  ) {}

  /**
   * Starts the job, or does nothing when it runs. Returns once a worker has checked its SQL and opened it.
   * @param options compiled (`resolveConfig`); without them, a job that was stopped starts with those it had.
   * @throws RefusedError when PostgreSQL refuses its SQL, with its message; UnknownJobError; NoWorkerError.
   */
  async start(options?: JobOptions): Promise<JobStartResult> {
    const before = await this.find();
    if (!before && !options) throw await this.unknown();
    await this.connections.ownNamespace();
    const { row, started } = await this.startAndOpen(options ?? before?.options);
    return {
      alreadyRunning: !started,
      state: row.state,
      differs: !started && !!options && !sameOptions(row.options, options),
    };
  }

  /** Ends the pass that works and the job's workflow. A tick that has begun is finished after the next start. */
  async stop(): Promise<CommandResult> {
    try {
      return await this.update(stopJobUpdate, []);
    } catch (error) {
      if (error instanceof JobStoppedError) return { state: 'stopped', changed: false };
      throw error;
    }
  }

  /** No tick begins until `resume`, and the one that works waits. Ticks that fall due meanwhile are not made up for. */
  pause(): Promise<CommandResult> {
    return this.update(pauseJobUpdate, []);
  }

  resume(): Promise<CommandResult> {
    return this.update(resumeJobUpdate, []);
  }

  /**
   * Gives a running job the options of a new version of its definition. @throws RefusedError when its SQL is refused.
   */
  declare(options: JobOptions): Promise<ReconfigureResult> {
    return this.update(declareJobUpdate, [options]);
  }

  /**
   * Changes options while it runs: `set({ every: '1m', pace: 50_000 })`; null takes a change back.
   * @throws ConfigError for an unknown option or a value that may not stand.
   */
  async set(changes: Record<string, string | number | boolean | null>): Promise<ReconfigureResult> {
    const { kind } = await this.require();
    return this.update(reconfigureJobUpdate, [
      Object.entries(changes).map(([path, value]) => jobChange(kind, path, value)),
    ]);
  }

  /** Every option, its value and where that comes from. */
  async config(): Promise<Setting[]> {
    const row = await this.require();
    return jobSettings(row.options, row.changes);
  }

  /**
   * A tick now, beside the schedule, also while the job is paused. Resolves when it has ended.
   * @throws JobStoppedError, also when the job is stopped before the tick has ended.
   * @param options.onProgress called now and then
   * @param options.signal gives up waiting; the run goes on
   */
  async run(
    options: { onProgress?: (progress: RunProgress) => void; signal?: AbortSignal } = {},
  ): Promise<TickSummary> {
    const { request } = await this.update(runJobUpdate, [{ request: randomUUID() }]);
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
    await this.require();
    return (await this.connections.read<TickRow>(HISTORY, [this.name, limit])).map(toTick);
  }

  /** Rows that failed: in a regen's or decay's latest tick, or dead letters of a sweep. */
  async failedRows(limit = 100): Promise<FailedRowSummary[]> {
    await this.require();
    return (await this.connections.read<FailedRow>(FAILED_ROWS, [this.name, limit])).map((row) => ({
      key: row.key,
      due: iso(row.due)!,
      error: row.error,
      code: row.code,
      attempts: row.attempts,
      failedAt: iso(row.failed_at)!,
    }));
  }

  /**
   * Dead letters of a sweep are handled again when they are due.
   * @param keys all of them, unless given: the columns of each, as `failedRows` has them; or, as a text, the only
   *   column, several joined by commas, or a JSON list of them
   * @returns how many
   * @throws ConfigError for a text that stands for several keys
   */
  async retryFailed(keys?: (string | string[])[]): Promise<number> {
    await this.require();
    if (keys === undefined) return (await this.connections.rows(RETRY_ROWS, [this.name, null])).length;
    const lists = keys.map((key) => (Array.isArray(key) ? key : listOf(key))).filter((key) => key !== undefined);
    const typed = keys.filter((key): key is string => typeof key === 'string' && listOf(key) === undefined);
    const rows = await this.connections.rows<{ key: string[]; typed: string }>(FIND_ROWS, [
      this.name,
      JSON.stringify(lists),
      typed,
    ]);
    for (const text of typed) {
      const meant = rows.filter((row) => row.typed === text).map(({ key }) => JSON.stringify(key));
      if (meant.length > 1) throw new ConfigError([`${text} stands for several keys; name one: ${meant.join(' or ')}`]);
    }
    const found = JSON.stringify(rows.map(({ key }) => key));
    return (await this.connections.rows(RETRY_ROWS, [this.name, found])).length;
  }

  /** Its statement, PostgreSQL's plan of it, and what stands in the way of speed. Runs nothing. */
  async explain(options?: JobOptions): Promise<Explanation> {
    const now = options ?? withJobChanges(...(await this.stored()));
    try {
      return await this.connections.readTransaction((db) => explainWork(db, now));
    } catch (error) {
      throw refused(error);
    }
  }

  private async stored(): Promise<[JobOptions, Record<string, OptionChange['value']>]> {
    const row = await this.require();
    return [row.options, row.changes];
  }

  private update<R, A extends unknown[]>(definition: Parameters<typeof command<R, A>>[2], args: A): Promise<R> {
    const target: Target = {
      workflowId: jobWorkflowId(this.name),
      noun: `job '${this.name}'`,
      missing: async () => {
        const row = await this.find();
        if (!row) return this.unknown();
        return row.state === 'stopped' ? new JobStoppedError(this.name) : new JobGoneError(this.name);
      },
    };
    return command(this.connections, target, definition, args, { unknown: () => this.unknown() });
  }

  private async startWorkflow(options: JobOptions | undefined): Promise<boolean> {
    const input: JobInput = { job: this.name, options };
    try {
      await this.connections.temporal((client) =>
        client.workflow.start('job', {
          workflowId: jobWorkflowId(this.name),
          taskQueue: TASK_QUEUE,
          args: [input],
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          workflowIdConflictPolicy: 'FAIL',
          staticSummary: `${options?.kind ?? 'job'} ${this.name}`,
        }),
      );
      return true;
    } catch (error) {
      if (error instanceof temporalCommon().WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /**
   * Starts it and waits until a worker has opened it, or has refused it. One that was stopped a moment ago ends first.
   */
  private async startAndOpen(options: JobOptions | undefined): Promise<{ row: JobRow; started: boolean }> {
    let started = await this.startWorkflow(options);
    const deadline = Date.now() + START_MS;
    let mayHaveWorker = true;
    for (let round = 0; ; round++) {
      const row = await this.find();
      if (row && row.state !== 'stopped') return { row, started };
      started ||= await this.startWorkflow(options);
      await this.connections.temporal((client) => throwIfFailed(client, this.name));
      if (round === 25) mayHaveWorker = await this.connections.workersPoll().catch(() => true);
      if (Date.now() > deadline || !mayHaveWorker) break;
      await sleep(round < 10 ? 50 : 250);
    }
    const what = `job '${this.name}' is started, and nobody has opened it yet`;
    if (!mayHaveWorker) throw new NoWorkerError(what, ' (it begins as soon as one does)');
    throw new TimedOutError(`${what}; see the worker's log`);
  }

  private async find(): Promise<JobRow | undefined> {
    return (await readJobs(this.connections, this.name, 'rows'))[0];
  }

  private async require(): Promise<JobRow> {
    const row = await this.find();
    if (!row) throw await this.unknown();
    return row;
  }

  private async unknown(): Promise<Error> {
    const names = (await this.connections.rows<{ name: string }>(JOB_NAMES)).map((row) => row.name);
    return new UnknownJobError(this.name, didYouMean(this.name, names), names);
  }
}

/** A key as JSON, which says where its columns end. */
function listOf(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((part) => typeof part === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}

/** One change of `config --set`. @throws ConfigError */
export function jobChange(kind: JobKind, path: string, value: string | number | boolean | null): OptionChange {
  const specs = specsOf(kind);
  const spec = specs.find((candidate) => candidate.name === path);
  if (!spec) {
    const hint = didYouMean(
      path,
      specs.map((candidate) => candidate.name),
    );
    throw new ConfigError([`a ${kind} has no option ${path} that can be set while it runs${hint}`]);
  }
  if (value === null || value === '' || value === 'default') return { path: spec.path, value: null };
  const text = typeof value === 'string' ? value.replaceAll('_', '') : '';
  const read =
    spec.kind === 'integer' && /^-?\d+$/.test(text)
      ? Number(text)
      : value === 'true'
        ? true
        : value === 'false'
          ? false
          : value;
  const compiled = compileValue(spec, read);
  if ('problem' in compiled) throw new ConfigError([compiled.problem]);
  return { path: spec.path, value: compiled.value };
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

interface TickRow {
  [column: string]: unknown;
  due: number;
  request: string | null;
  elapsed: number;
  skipped: number;
  started_at: number;
  ended_at: number | null;
  rows: number;
  chunks: number;
  failed: number;
  ms: number;
  longest_ms: number | null;
  round_trip_p50_ms: number | null;
  round_trip_p99_ms: number | null;
  band: Band | null;
  error: string | null;
}

interface RequestedRow extends TickRow {
  state: JobState;
  rows_so_far: number;
  parts: number;
  parts_done: number;
}

interface FailedRow {
  [column: string]: unknown;
  key: string[];
  due: number;
  error: string;
  code: string | null;
  attempts: number;
  failed_at: number;
}

function toTick(row: TickRow): TickSummary {
  return {
    due: iso(row.due)!,
    by: row.request === null ? 'schedule' : 'hand',
    elapsed: row.elapsed,
    skipped: row.skipped,
    startedAt: iso(row.started_at)!,
    endedAt: iso(row.ended_at),
    rows: row.rows,
    chunks: row.chunks,
    failed: row.failed,
    ms: row.ms,
    longestMs: row.longest_ms,
    roundTripP50Ms: row.round_trip_p50_ms,
    roundTripP99Ms: row.round_trip_p99_ms,
    band: row.band,
    error: row.error,
  };
}
