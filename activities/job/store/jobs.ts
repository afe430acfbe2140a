/**
 * A job's row: its state, options and fence. Written by the activities of a job on behalf of the job's
 * workflow; read by them and by `status`.
 */
import type { EarlierSchedule, JobState } from '../../../workflows/job/contract';
import { withJobChanges, type JobKind, type JobOptions, type Schedule } from '../../../workflows/job/options';
import { run, type Queryable, type Statement } from '../../lib/database';
import type { OptionChange, OptionChanges } from '../../../workflows/lib/options';
import { newChanges } from '../../lib/new-changes';
import { sameJson } from '../../lib/same-json';
import { ms } from '../../lib/sql';

export interface JobRow {
  name: string;
  kind: JobKind;
  state: JobState;
  version: number;
  /** The definition's options with what was set by hand laid over them. */
  options: JobOptions;
  /** The two apart. */
  declared: JobOptions;
  changes: OptionChanges;
  /** Epoch milliseconds. */
  endedDue: number | undefined;
  /** Up to here nothing is owed: what has ended, and the time before it was started or resumed. */
  settled: number | undefined;
  chunkRows: number | undefined;
  /** Schedules that held until a moment that was not settled yet. */
  before: EarlierSchedule[];
  /** Time of the database, epoch milliseconds. */
  nowMs: number;
}

const SELECT_TEXT = `select name, kind, state, version::float8 as version, options, changes,
                            ${ms('ended_due')} as ended_due,
                            ${ms('greatest(ended_due, settled_until)')} as settled, chunk_rows,
                            earlier_schedules, floor(${ms('now()')}) as now
                     from longwatch.job where name = $1`;
const SELECT: Statement = { name: 'job-select', text: SELECT_TEXT };
const LOCK: Statement = { name: 'job-lock', text: `${SELECT_TEXT} for no key update` };
const CREATE: Statement = {
  name: 'job-create',
  text: `insert into longwatch.job (name, kind, options) values ($1, $2, $3) on conflict (name) do nothing`,
};
const SET_STATE: Statement = {
  name: 'job-set-state',
  text: `update longwatch.job set state = $2, version = version + 1 where name = $1`,
};
const SETTLE: Statement = {
  name: 'job-settle',
  text: `update longwatch.job set settled_until = greatest(settled_until, to_timestamp($2::float8 / 1000)) where name = $1`,
};
const SET_OPTIONS: Statement = {
  name: 'job-set-options',
  text: `update longwatch.job set options = $2, kind = $3, version = version + 1
         where name = $1 and options is distinct from $2::jsonb
         returning name`,
};
const SET_CHANGES: Statement = {
  name: 'job-set-changes',
  text: `update longwatch.job set changes = $2, version = version + 1
         where name = $1 and changes is distinct from $2::jsonb
         returning name`,
};
const SET_EARLIER: Statement = {
  name: 'job-set-earlier-schedules',
  text: `update longwatch.job set earlier_schedules = $2 where name = $1`,
};
const NAMES: Statement = { name: 'job-running-names', text: `select name from longwatch.job where state <> 'stopped'` };

interface RawRow {
  [column: string]: unknown;
  name: string;
  kind: JobKind;
  state: JobState;
  version: number;
  options: JobOptions;
  changes: OptionChanges;
  ended_due: number | null;
  settled: number | null;
  chunk_rows: number | null;
  earlier_schedules: EarlierSchedule[];
  now: number;
}

export async function readJob(
  db: Queryable,
  name: string,
  lock: 'nothing' | 'all' = 'nothing',
): Promise<JobRow | undefined> {
  const raw = await readRaw(db, name, lock);
  return (
    raw && {
      name: raw.name,
      kind: raw.kind,
      state: raw.state,
      version: raw.version,
      options: withJobChanges(raw.options, raw.changes),
      declared: raw.options,
      changes: raw.changes,
      endedDue: raw.ended_due ?? undefined,
      settled: raw.settled ?? undefined,
      chunkRows: raw.chunk_rows ?? undefined,
      before: raw.earlier_schedules,
      nowMs: raw.now,
    }
  );
}

async function readRaw(db: Queryable, name: string, lock: 'nothing' | 'all'): Promise<RawRow | undefined> {
  return (await run<RawRow>(db, lock === 'all' ? LOCK : SELECT, [name]))[0];
}

export async function createJob(db: Queryable, name: string, options: JobOptions): Promise<void> {
  await run(db, CREATE, [name, options.kind, JSON.stringify(options)]);
}

export async function setJobState(db: Queryable, name: string, state: JobState): Promise<void> {
  await run(db, SET_STATE, [name, state]);
}

/**
 * Ticks that fell due up to then are not owed: the job was not running, or begins anew. @param until epoch milliseconds
 */
export async function settleJob(db: Queryable, name: string, until: number): Promise<void> {
  await run(db, SETTLE, [name, until]);
}

/** Stores a definition's options; false when they were the same. */
export async function storeJobOptions(db: Queryable, name: string, options: JobOptions): Promise<boolean> {
  return (await run(db, SET_OPTIONS, [name, JSON.stringify(options), options.kind])).length > 0;
}

/**
 * Lays changes over the options, or takes them back (`value: null`); false when nothing is different.
 * @throws Changed where the row has another version than `expects`
 */
export async function storeJobChanges(
  db: Queryable,
  name: string,
  changes: OptionChange[],
  expects?: number,
): Promise<boolean> {
  const raw = await readRaw(db, name, 'all');
  if (!raw) return false;
  const next = newChanges(`job ${name}`, raw, changes, expects);
  if (!next) return false;
  return (await run(db, SET_CHANGES, [name, JSON.stringify(next)])).length > 0;
}

/**
 * A schedule that is changed again and again before a tick has ended is counted by the oldest of them from there on.
 */
const EARLIER_MAX = 20;

/**
 * Notes that a job has another schedule from now on: what fell due by the old one is still owed. While it is paused or
 * stopped nothing falls due.
 */
export async function noteScheduleChange(db: Queryable, before: JobRow, schedule: Schedule): Promise<void> {
  if (sameJson(before.options.schedule, schedule)) return;
  const open = before.before.filter(({ until }) => until > (before.settled ?? 0));
  const running = before.state === 'running';
  const all = running ? [...open, { schedule: before.options.schedule, until: before.nowMs }] : [];
  const kept = all.slice(0, EARLIER_MAX);
  if (all.length > kept.length) kept[kept.length - 1] = { ...kept.at(-1)!, until: before.nowMs };
  await run(db, SET_EARLIER, [before.name, JSON.stringify(kept)]);
}

/** Jobs that should have a workflow. */
export async function runningJobs(db: Queryable): Promise<string[]> {
  return (await run<{ name: string }>(db, NAMES)).map((row) => row.name);
}
