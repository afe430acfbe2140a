/**
 * The commands of an operator to a job, checked against the database and written into its row. Called by the job's
 * workflow; a pass reads the row when it begins.
 */
import { ErrorType } from '../../workflows/lib/errors';
import type { EarlierSchedule, JobOpening, JobState } from '../../workflows/job/contract';
import { jobChangeProblems, withJobChanges, type JobOptions } from '../../workflows/job/options';
import { failure } from '../lib/failures';
import type { Database, Queryable } from '../lib/database';
import {
  createJob,
  noteScheduleChange,
  readJob,
  setJobState as writeState,
  settleJob,
  storeJobChanges,
  storeJobOptions,
  type JobRow,
} from './store/jobs';
import { releaseSweep } from './store/claims';
import { abandonTick, openTickOf, rangesOf } from './store/ticks';
import { calendarOf } from './calendar';
import { checkJob } from './check';
import { readWorkTable } from './catalog';
import { readsItself } from './plan-tree';
import { isBoundless, withRule } from './statement';
import type { OptionChange } from '../../workflows/lib/options';
import type { CommandResult, ReconfigureResult } from '../../workflows/lib/contract';

/** With options: the job was just started, so its SQL is checked and its row made or taken up. Without: only read. */
export async function openJob(
  database: Database,
  input: { job: string; options?: JobOptions; after?: number },
): Promise<JobOpening> {
  const { job, options } = input;
  if (options) await checkWith(database, job, options);
  const { row, open } = await database.transaction(async (db) => {
    if (options) {
      await createJob(db, job, options);
      await replaceOptions(db, await known(db, job, 'all'), options);
      await releaseSweep(db, job);
      // A start begins anew, also for whoever brings the job back later.
      if (input.after !== undefined) await settleJob(db, job, input.after);
      if ((await known(db, job, 'all')).state === 'stopped') await writeState(db, job, 'running');
    }
    return { row: await known(db, job), open: await openTickOf(db, job) };
  });
  const nowMs = Date.now();
  // A tick that has ended is settled, whatever the workflow remembers.
  const after = Math.max(input.after ?? row.settled ?? nowMs, row.settled ?? 0);
  const { schedule } = row.options;
  const times = 'cron' in schedule ? await calendarOf(schedule, after, nowMs, keptOf(row)) : undefined;
  return {
    state: row.state,
    options: row.options,
    version: row.version,
    endedDue: row.endedDue,
    settled: row.settled,
    open: open && { due: open.due, elapsed: open.elapsed, skipped: open.skipped, request: open.request },
    calendar: times?.times ?? [],
    earlier: times?.earlier,
    before: await owed(row, after),
  };
}

/** With the due times of those that are a `cron`, up to their end. */
async function owed(row: JobRow, after: number): Promise<EarlierSchedule[]> {
  const all: EarlierSchedule[] = [];
  let from = after;
  for (const { schedule, until } of row.before) {
    if (until <= from) continue;
    const times = 'cron' in schedule ? await calendarOf(schedule, from, until, keptOf(row), 1) : undefined;
    all.push({ schedule, until, calendar: times?.times, earlier: times?.earlier });
    from = until;
  }
  return all;
}

/** So many past times must be told one by one: each of the last n is done, or only the newest. */
const keptOf = ({ options }: JobRow): number => (typeof options.missed === 'number' ? options.missed : 1);

export async function setJobState(
  database: Database,
  { job, state, settled }: { job: string; state: JobState; settled?: number },
): Promise<CommandResult> {
  return database.transaction(async (db) => {
    const row = await known(db, job, 'all');
    // Also where the state was written before, and only the answer was lost.
    if (settled !== undefined) await settleJob(db, job, settled);
    if (row.state === state) return { state, changed: false };
    await writeState(db, job, state);
    return { state, changed: true };
  });
}

export async function declareJob(
  database: Database,
  { job, options }: { job: string; options: JobOptions },
): Promise<ReconfigureResult> {
  await checkWith(database, job, options);
  return database.transaction(async (db) => {
    const row = await known(db, job, 'all');
    if (row.kind !== options.kind) {
      throw failure(ErrorType.BadOption, `job ${job} is a ${row.kind}; stop it before it becomes a ${options.kind}`);
    }
    const changed = await replaceOptions(db, row, options);
    return { changed, version: (await known(db, job)).version };
  });
}

/**
 * A tick that is open goes on with the new options, unless they go along another table or key; or cannot go on, for a
 * statement without a range would change in each of its chunks what is done already.
 */
async function replaceOptions(db: Queryable, row: JobRow, options: JobOptions): Promise<boolean> {
  const along = ({ kind, work }: JobOptions): string =>
    JSON.stringify([kind, work.table.schema, work.table.name, work.key, isBoundless(work)]);
  if (along(row.options) !== along(options) || (await cannotGoOn(db, row, options))) {
    await abandonTick(
      db,
      row.name,
      'the definition has another table or key, or another kind of statement; the tick ended where it was',
    );
  }
  const changed = await storeJobOptions(db, row.name, options);
  if (changed) await noteScheduleChange(db, row, (await known(db, row.name)).options.schedule);
  return changed;
}

/** Whether the open tick has parts, and the new statement must be one: it reads the table that those have changed. */
async function cannotGoOn(db: Queryable, row: JobRow, options: JobOptions): Promise<boolean> {
  const becomes = withJobChanges(options, row.changes);
  if (becomes.chunk !== 'all' || !(await openTickOf(db, row.name))) return false;
  const [only, ...more] = await rangesOf(db, row.name);
  const whole = only && more.length === 0 && only.after === null && only.upto === null && !only.done;
  if (whole) return false;
  const work = withRule(becomes.work);
  return readsItself(db, work, await readWorkTable(db, work));
}

export async function setJobOptions(
  database: Database,
  { job, changes, expects }: { job: string; changes: OptionChange[]; expects?: number },
): Promise<ReconfigureResult> {
  // A statement that is right as a whole may be wrong in chunks.
  if (changes.some(({ path }) => path === 'chunk')) {
    const row = await database.transaction((db) => known(db, job));
    await checkWith(database, job, row.declared, Object.fromEntries(changes.map(({ path, value }) => [path, value])));
  }
  return database.transaction(async (db) => {
    const row = await known(db, job, 'all');
    const problems = changes.flatMap((change) => jobChangeProblems(row.options, change));
    if (problems.length > 0) throw failure(ErrorType.BadOption, problems.join('; '));
    const changed = await storeJobChanges(db, job, changes, expects);
    if (changed) await noteScheduleChange(db, row, (await known(db, job)).options.schedule);
    return { changed, version: (await known(db, job)).version };
  });
}

/** Checks the options that would run: those set by hand, and those set now, over the definition's. */
async function checkWith(
  database: Database,
  job: string,
  options: JobOptions,
  changes: JobRow['changes'] = {},
): Promise<void> {
  const row = await database.transaction((db) => readJob(db, job));
  await checkJob(database, withJobChanges(options, { ...row?.changes, ...changes }));
}

async function known(db: Queryable, job: string, lock: 'nothing' | 'all' = 'nothing'): Promise<JobRow> {
  const row = await readJob(db, job, lock);
  if (!row) throw failure(ErrorType.UnknownJob, `there is no job ${job} in the database`);
  return row;
}
