/**
 * Every option of a regen, sweep or decay, once: kind, default, bounds and words; its work in SQL; and how changes by
 * hand are laid over them. Read by the config's resolver (`config/resolve/job.ts`), by `config --set`, by the job's
 * workflow and its passes, and by the generated `docs/options.md`. Values here are compiled: durations are whole
 * milliseconds and end in `Ms`.
 */
import { laidOver, refusal, retryWaits, type OptionChange, type OptionChanges, type OptionSpec } from '../lib/options';
import { DAY, MINUTE, SECOND } from '../lib/time';

export type JobKind = 'regen' | 'decay' | 'sweep';

/** A table by its exact names; without a schema it is looked for in the search path. */
export interface TableRef {
  schema?: string;
  name: string;
}

export interface Rule {
  column: string;
  add: string;
  max?: string;
  min?: string;
}

/** The work of a job, in SQL. Never changed by `config --set`: a new version of the definition is declared. */
export type JobWork = (
  | { kind: 'regen'; table: TableRef; key?: string[]; set: Record<string, string>; where?: string; rule?: Rule }
  | { kind: 'regen'; table: TableRef; key?: string[]; sql: string }
  | { kind: 'decay'; table: TableRef; key?: string[]; where: string; moveTo?: TableRef }
  | { kind: 'sweep'; table: TableRef; key?: string[]; due: string; order?: string }
) & {
  /** Row-level policies hold for the worker's role, and that is meant. */
  policies?: true;
};

/** Either an interval on a grid from the epoch, or a calendar. */
export type Schedule = { everyMs: number } | { cron: string; timeZone: string };

export interface JobOptions {
  kind: JobKind;
  work: JobWork;
  schedule: Schedule;
  /** A number: each of the last n. */
  missed: 'skip' | 'once' | number;
  warnAfterMs: number;
  heartbeatTimeoutMs: number;
  historyEvents: number;
  keep: number;
  concurrency: number;
  /** Regen and decay: rows a chunk. Sweep: not used. */
  chunk: 'auto' | 'all' | number;
  /** Rows a second at most, or how it gives way. Sweep: not used. */
  pace: 'yield' | 'full' | number;
  /** Sweep only. */
  page: number;
  timeoutMs: number;
  retry: { attempts: number; baseMs: number; capMs: number; backoff: 'constant' | 'exponential'; jitter: boolean };
  /**
   * The source of each option, by path; an option that is not listed has its built-in default. For people only
   * (`config`).
   */
  sources?: Record<string, 'defaults' | 'definition'>;
}

/**
 * The options of every job. `cron` and `timeZone` are not listed: they are checked where the definition is resolved.
 */
export const JOB_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'every',
    path: 'schedule.everyMs',
    kind: 'duration',
    derived: '**required** (or `cron`)',
    min: 100,
    max: 366 * DAY,
    text: 'The interval. Ticks lie on a grid from the epoch (UTC), so they do not drift, whatever a tick takes.',
  },
  {
    name: 'missed',
    path: 'missed',
    kind: 'integer',
    words: ['skip', 'once'],
    default: 'once',
    min: 1,
    max: 10_000,
    text: 'Ticks that could not run in time: `skip` them, do them in one (`once`, `:elapsed` says how many), or each of the last n.',
  },
  {
    name: 'warnAfter',
    path: 'warnAfterMs',
    kind: 'duration',
    default: 5 * SECOND,
    min: 1,
    max: DAY,
    text: 'A tick that takes longer is in the band `warning`. Below 0.5 s it is `excellent`, below 2 s `good`, else `fair`.',
  },
  {
    name: 'heartbeatTimeout',
    path: 'heartbeatTimeoutMs',
    kind: 'duration',
    default: 5 * SECOND,
    min: SECOND,
    max: 10 * MINUTE,
    text: 'Another worker continues the tick this long after the dead worker’s last heartbeat.',
  },
  {
    name: 'keep',
    path: 'keep',
    kind: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    text: 'Ticks that are kept as history.',
  },
  {
    name: 'historyEvents',
    path: 'historyEvents',
    kind: 'integer',
    default: 2_000,
    min: 20,
    max: 10_000,
    text: 'Continue-as-new past this many events of the workflow’s history (the server suggests it at 4,096).',
  },
];

/** The options of regens and decays. */
export const CHUNK_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'chunk',
    path: 'chunk',
    kind: 'integer',
    words: ['auto', 'all'],
    default: 'auto',
    min: 1,
    max: 10_000_000,
    text: 'Rows a transaction. `auto` finds, by measured time, the size that locks rows only for some milliseconds; `all` is one statement.',
  },
  {
    name: 'concurrency',
    path: 'concurrency',
    kind: 'integer',
    default: 2,
    min: 1,
    max: 64,
    text: 'Chunks at once, each on a connection of its own.',
  },
  {
    name: 'pace',
    path: 'pace',
    kind: 'integer',
    words: ['yield', 'full'],
    default: 'yield',
    min: 1,
    max: 1_000_000_000,
    text: '`yield` rests after a chunk that others have slowed down; a number is the most rows a second, and yields too; `full` never rests.',
  },
];

export const SWEEP_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'page',
    path: 'page',
    kind: 'integer',
    default: 100,
    min: 1,
    max: 10_000,
    text: 'Rows that are claimed, and given to `handle`, at once.',
  },
  {
    name: 'concurrency',
    path: 'concurrency',
    kind: 'integer',
    default: 4,
    min: 1,
    max: 64,
    text: 'Pages at once.',
  },
  {
    name: 'timeout',
    path: 'timeoutMs',
    kind: 'duration',
    default: 30 * SECOND,
    min: 10,
    max: 60 * MINUTE,
    text: 'An attempt at a page that takes longer has failed. A dead worker’s pages are claimed again after this, not before.',
  },
  {
    name: 'retry.attempts',
    path: 'retry.attempts',
    kind: 'integer',
    default: 5,
    min: 1,
    max: 1_000,
    text: 'Attempts of a row, its page’s included; after the last one it is a dead letter.',
  },
  ...retryWaits({ jitter: true }),
];

/** The rows of the table that hold for a kind. */
export function specsOf(kind: JobKind): readonly OptionSpec[] {
  return [...JOB_OPTIONS, ...(kind === 'sweep' ? SWEEP_OPTIONS : CHUNK_OPTIONS)];
}

/** Everything that is wrong with one change; empty: it may be made. */
export function jobChangeProblems(options: JobOptions, change: OptionChange): string[] {
  const spec = specsOf(options.kind).find((candidate) => candidate.path === change.path);
  if (!spec) return [`a ${options.kind} has no option ${change.path}`];
  if (spec.name === 'every' && 'cron' in options.schedule) return ['this job has a cron, so no `every`'];
  if (change.value === null) return [];
  const problem = refusal(spec, change.value);
  return problem === undefined ? [] : [problem];
}

/** The options with what was set by hand laid over them. */
export function withJobChanges(options: JobOptions, changes: OptionChanges): JobOptions {
  return laidOver(options, changes, { problems: jobChangeProblems });
}
