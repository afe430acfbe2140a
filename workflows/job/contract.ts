/**
 * All that an outsider needs to talk to a job (a regen, decay or sweep): the words, the id, updates and queries, and
 * the activities that its workflow calls. Clients, workers and tests import this file; `job.ts` carries it out.
 *
 * A **tick** is one time of a job's schedule. A **pass** is one activity execution that works on a tick: one is enough,
 * more follow when a worker dies or the job is paused. A tick is known by its **due** time; those of a job only grow.
 */
import { defineQuery, defineUpdate } from '../lib/messages';
import type { JobKind, JobOptions, Schedule } from './options';
import type { OptionChange } from '../lib/options';
import type { CommandResult, ReconfigureResult, RunState } from '../lib/contract';

/** Workflow id of a job: `job/stamina`. */
export const jobWorkflowId = (job: string): string => `job/${job}`;

export type JobState = RunState;

/** How long a tick took, in four bands: below 0.5 s, below 2 s, below `warnAfter`, above it. */
export type Band = 'excellent' | 'good' | 'fair' | 'warning';

// ── What an operator says ────────────────────────────────────────────────────────────────────

export const pauseJobUpdate = defineUpdate<CommandResult, []>('pause');
export const resumeJobUpdate = defineUpdate<CommandResult, []>('resume');
export const stopJobUpdate = defineUpdate<CommandResult, []>('stop');
/**
 * A tick now, beside the schedule. Answers with the request that is run: the one that waits already, where there is
 * one.
 */
export const runJobUpdate = defineUpdate<{ request: string }, [{ request: string }]>('run');
/**
 * Replaces the definition's options (a new version of the config), keeps what was set by hand. Refused with wrong SQL.
 */
export const declareJobUpdate = defineUpdate<ReconfigureResult, [JobOptions]>('declare');
/** With a number: only where that is still the version of its row. */
export const reconfigureJobUpdate = defineUpdate<ReconfigureResult, [OptionChange[], number?]>('reconfigure');

export interface JobStatus {
  job: string;
  kind: JobKind;
  state: JobState;
  /** Due time of the tick that a pass works on, epoch milliseconds. */
  working?: number;
  /** Due time of the next tick. */
  next?: number;
  last?: PassResult;
  lastError?: string;
}
export const jobStatusQuery = defineQuery<JobStatus>('status');

// ── Workflow input: the whole state is one argument, carried through continue-as-new ──────────

export interface JobWorkflowState {
  version: 1;
  /** The newest due time that is settled: run, or skipped. Epoch milliseconds. */
  settled: number;
  /** Counts the passes of this workflow id since its start: claims of one run are ordered by it. */
  pass: number;
  /** A run by hand that is waited for. */
  request?: string;
  /** A tick that has begun and not ended. */
  open?: TickRequest;
  /** Rows of a sweep that are to be tried again at this time. */
  retryAt?: number;
  last?: PassResult;
  lastError?: string;
  runs: number;
}

export interface JobInput {
  job: string;
  /** The definition's data, resolved. Absent after continue-as-new and when a patrol restarts the job. */
  options?: JobOptions;
  state?: JobWorkflowState;
}

// ── The activities ───────────────────────────────────────────────────────────────────────────

/** A request for a tick. */
export interface TickRequest {
  /** Epoch milliseconds. */
  due: number;
  /** Intervals it stands for; 0: only what is left of earlier ticks (a sweep's retries). */
  elapsed: number;
  /** Ticks before it that are not done. */
  skipped: number;
  /**
   * `elapsed` and `skipped` are counted from here: the due time up to which all was settled, as far as the workflow
   * knew.
   */
  since?: number;
  request?: string;
}

export interface JobOpening {
  state: JobState;
  options: JobOptions;
  version: number;
  /** Due time of the newest tick that has ended. */
  endedDue?: number;
  /** Up to here nothing is owed: the newest tick that has ended, or the last start or resume. */
  settled?: number;
  open?: TickRequest;
  /** For a `cron`: the newest due times since the settled one, and some to come, in order. */
  calendar: number[];
  /** How many due times since the settled one lie before those of `calendar`. */
  earlier?: number;
  /** Schedules that held until a moment that was not settled yet, in order. */
  before?: EarlierSchedule[];
}

/** A schedule that was replaced: what fell due by it up to then is still owed. */
export interface EarlierSchedule {
  schedule: Schedule;
  /** Epoch milliseconds. */
  until: number;
  /** For a `cron`, as in `JobOpening`: up to `until`, and the one that follows. */
  calendar?: number[];
  earlier?: number;
}

export interface PassInput {
  job: string;
  pass: number;
  tick: TickRequest;
}

export type PassEnd =
  | 'done' // the tick has ended
  | 'asked' // its workflow cancelled it: paused, stopped, to continue as new
  | 'handed back' // the worker shuts down
  | 'stopped' // its job was stopped before the tick had begun: it was not begun
  | 'fenced'; // a newer holder works on it

export interface PassResult {
  end: PassEnd;
  /** Due time of the tick that was worked on: an older one, if that was not finished. */
  due: number;
  rows: number;
  failed: number;
  ms: number;
  band?: Band;
  node: string;
  /** Why the tick ended early. */
  error?: string;
  retryAt?: number;
}

export interface JobActivities {
  /**
   * With options: checks them against the database, then makes or takes up the row. Refused (BadOption) with
   * PostgreSQL's words. `after`: due times from there on; without it, from what is settled. With options nothing before
   * it is owed any more.
   */
  openJob(input: { job: string; options?: JobOptions; after?: number }): Promise<JobOpening>;
  /** `settled`: what fell due up to then is not owed, whoever asks later. */
  setJobState(input: { job: string; state: JobState; settled?: number }): Promise<CommandResult>;
  declareJob(input: { job: string; options: JobOptions }): Promise<ReconfigureResult>;
  setJobOptions(input: { job: string; changes: OptionChange[]; expects?: number }): Promise<ReconfigureResult>;
  /** Works on a tick until it has ended, or something else ends the pass. */
  pass(input: PassInput): Promise<PassResult>;
}
