/**
 * Ticks and their progress: which one is open, how far each part of the key space is, what came of the earlier ones.
 * Every write is made by the holder of the job's token, in the transaction of what it speaks of. Used by `pass.ts` and
 * what it calls.
 */
import type { Band, JobState, TickRequest } from '../../../workflows/job/contract';
import { run, type Queryable, type Statement } from '../../lib/database';
import { storable } from '../../../workflows/lib/text';
import { ms } from '../../lib/sql';

/** One part of the key space: rows with after < key <= upto are still to be done. */
export interface TickRange {
  part: number;
  /** Null: from the first key on. */
  after: string[] | null;
  /** Null: without an end. */
  upto: string[] | null;
  done: boolean;
  /** One row that was put off, for somebody held it locked: the one whose key is `upto`. */
  alone?: boolean;
}

export interface OpenTick extends TickRequest {
  /** Milliseconds of work so far, without the passes that were killed. */
  ms: number;
}

export interface TickRow extends OpenTick {
  rows: number;
  failed: number;
  band: Band | null;
  error: string | null;
  /** The columns that it goes along; null: it was begun by the version before. */
  key?: string[] | null;
  ended: boolean;
}

interface TickTotals {
  rows: number;
  chunks: number;
  failed: number;
  /** Parts that are not done. */
  unfinished: number;
}

const HOLD: Statement = {
  name: 'tick-hold-job',
  text: `select state, ${ms('ended_due')} as ended_due
         from longwatch.job where name = $1 and token = $2 for no key update`,
};
const COLUMNS = `${ms('due')} as due, request, elapsed, skipped, ms,
                 rows::float8 as rows, failed::float8 as failed, band, error, key, ended_at is not null as ended`;
const OPEN: Statement = {
  name: 'tick-open-one',
  text: `select ${COLUMNS} from longwatch.tick where job = $1 and ended_at is null`,
};
const FIND: Statement = {
  name: 'tick-find',
  text: `select ${COLUMNS} from longwatch.tick where job = $1 and (due = to_timestamp($2::float8 / 1000) or request = $3)
         order by request is not distinct from $3 desc limit 1`,
};
const INSERT: Statement = {
  name: 'tick-insert',
  text: `insert into longwatch.tick (job, due, request, elapsed, skipped, key)
         values ($1, to_timestamp($2::float8 / 1000), $3, $4, $5, $6)`,
};
const INSERT_RANGES: Statement = {
  name: 'tick-insert-ranges',
  text: `insert into longwatch.tick_range (job, part, after, upto, token)
         select $1, r.part,
                case when r.after is null then null else array(select jsonb_array_elements_text(r.after::jsonb)) end,
                case when r.upto is null then null else array(select jsonb_array_elements_text(r.upto::jsonb)) end, $5
         from unnest($2::int[], $3::text[], $4::text[]) as r (part, after, upto)`,
};
const CLEAR_RANGES: Statement = {
  name: 'tick-clear-ranges',
  text: `delete from longwatch.tick_range where job = $1`,
};
const CLEAR_FAILED: Statement = {
  name: 'tick-clear-failed',
  text: `delete from longwatch.failed_row where job = $1`,
};
const RANGES: Statement = {
  name: 'tick-ranges',
  text: `select part, after, upto, done, alone from longwatch.tick_range where job = $1 order by part`,
};
/** Nothing is found when another holder has the fence, or when what this one believes to be done is not. */
const ADVANCE: Statement = {
  name: 'tick-advance',
  text: `update longwatch.tick_range
         set after = coalesce($5, after), done = $6, rows = rows + $7, failed = failed + $8,
             chunks = chunks + $9::int
         where job = $1 and part = $2 and token = $3 and after is not distinct from $4 and not done
         returning part`,
};
const PUT_OFF: Statement = {
  name: 'tick-put-off',
  text: `insert into longwatch.tick_range (job, part, upto, token, alone)
         select $1, $2::int + r.n::int - 1, array(select jsonb_array_elements_text(r.key)), $3, true
         from jsonb_array_elements($4::jsonb) with ordinality as r (key, n)`,
};
const FAILED: Statement = {
  name: 'tick-failed-row',
  text: `insert into longwatch.failed_row (job, key, due, error, code, attempts)
         values ($1, $2, to_timestamp($3::float8 / 1000), $4, $5, $6)
         on conflict (job, hash_array_extended(key, 0), hash_array_extended(key, 1)) do update
         set due = excluded.due, error = excluded.error, code = excluded.code, attempts = excluded.attempts, failed_at = now()`,
};
const PAUSE: Statement = {
  name: 'tick-pause',
  text: `update longwatch.tick set ms = ms + $2 where job = $1 and ended_at is null`,
};
const ERROR: Statement = {
  name: 'tick-error',
  text: `update longwatch.tick set error = $2 where job = $1 and ended_at is null`,
};
/** The token is another one from then on: a pass that works on it is fenced. */
const ABANDON: Statement = {
  name: 'tick-abandon',
  text: `with gone as (
           update longwatch.tick t
           set ended_at = now(), band = 'warning', error = $2,
               (rows, chunks, failed) = (select coalesce(sum(r.rows), 0), coalesce(sum(r.chunks), 0), coalesce(sum(r.failed), 0)
                                         from longwatch.tick_range r where r.job = t.job)
           where job = $1 and ended_at is null returning due, rows, failed, ms),
         cleared as (delete from longwatch.tick_range where job = $1 and exists (select from gone))
         update longwatch.job j
         set token = token + 1, ended_due = greatest(ended_due, gone.due), ticks_total = ticks_total + 1,
             rows_total = rows_total + gone.rows, failed_total = failed_total + gone.failed, ms_total = ms_total + gone.ms
         from gone where j.name = $1`,
};
/** Keys of another table, or of another key, say nothing of the rows that there are now. */
const FORGET: Statement = {
  name: 'tick-forget-rows',
  text: `with claims as (delete from longwatch.claim where job = $1), swept as (delete from longwatch.swept where job = $1)
         delete from longwatch.failed_row where job = $1`,
};
const TOTALS: Statement = {
  name: 'tick-totals',
  text: `select coalesce(sum(rows), 0)::float8 as rows, coalesce(sum(chunks), 0)::float8 as chunks,
                coalesce(sum(failed), 0)::float8 as failed, count(*) filter (where not done)::int as unfinished
         from longwatch.tick_range where job = $1`,
};
/** The job's sums are for the history: a tick's row is pruned in time. */
const CLOSE: Statement = {
  name: 'tick-close',
  text: `with closed as (
           update longwatch.tick
           set ended_at = now(), rows = $3, chunks = $4, failed = $5, ms = $6, longest_ms = $7,
               round_trip_p50_ms = $8, round_trip_p99_ms = $9, band = $10, error = $11
           where job = $1 and due = to_timestamp($2::float8 / 1000) and ended_at is null
           returning rows, failed, ms
         )
         update longwatch.job j
         set ticks_total = ticks_total + 1, rows_total = rows_total + closed.rows,
             failed_total = failed_total + closed.failed, ms_total = ms_total + closed.ms
         from closed where j.name = $1`,
};
const ENDED: Statement = {
  name: 'tick-ended',
  text: `update longwatch.job
         set ended_due = greatest(ended_due, to_timestamp($2::float8 / 1000)), chunk_rows = coalesce($3, chunk_rows)
         where name = $1`,
};
/** A client that has asked for a tick still looks for what came of it. */
const PRUNE: Statement = {
  name: 'tick-prune',
  text: `delete from longwatch.tick
         where job = $1 and ended_at is not null and (request is null or ended_at < now() - interval '10 minutes')
           and due < (select due from longwatch.tick where job = $1 order by due desc offset $2 - 1 limit 1)`,
};
const TOKEN: Statement = {
  name: 'tick-job-token',
  text: `select token::float8 as token from longwatch.job where name = $1`,
};

/** Locks the job's row until the transaction ends; undefined when another holder has its fence. */
export async function holdJob(
  db: Queryable,
  job: string,
  token: number,
): Promise<{ state: JobState; endedDue: number | undefined } | undefined> {
  const [row] = await run<{ state: JobState; ended_due: number | null }>(db, HOLD, [job, token]);
  return row && { state: row.state, endedDue: row.ended_due ?? undefined };
}

export async function tokenOf(db: Queryable, job: string): Promise<number | undefined> {
  return (await run<{ token: number }>(db, TOKEN, [job]))[0]?.token;
}

export async function openTickOf(db: Queryable, job: string): Promise<TickRow | undefined> {
  return toTick((await run<RawTick>(db, OPEN, [job]))[0]);
}

/** The tick of that time, or of that request. */
export async function findTick(db: Queryable, job: string, tick: TickRequest): Promise<TickRow | undefined> {
  return toTick((await run<RawTick>(db, FIND, [job, tick.due, tick.request ?? null]))[0]);
}

/** @param key the columns that it goes along */
export async function insertTick(db: Queryable, job: string, tick: TickRequest, key: string[]): Promise<void> {
  await run(db, INSERT, [job, tick.due, tick.request ?? null, tick.elapsed, tick.skipped, key]);
}

/** The parts of a new tick; those of the one before are gone. */
export async function insertRanges(db: Queryable, job: string, token: number, ranges: TickRange[]): Promise<void> {
  const json = (bound: string[] | null): string | null => (bound === null ? null : JSON.stringify(bound));
  await run(db, CLEAR_RANGES, [job]);
  await run(db, INSERT_RANGES, [
    job,
    ranges.map((range) => range.part),
    ranges.map((range) => json(range.after)),
    ranges.map((range) => json(range.upto)),
    token,
  ]);
}

export async function clearFailed(db: Queryable, job: string): Promise<void> {
  await run(db, CLEAR_FAILED, [job]);
}

export async function rangesOf(db: Queryable, job: string): Promise<TickRange[]> {
  return run<TickRange & Record<string, unknown>>(db, RANGES, [job]);
}

export interface Progress {
  job: string;
  part: number;
  token: number;
  /** The progress that the holder believes in. */
  from: string[] | null;
  /** The progress with this chunk; null: all of the part without a bound. */
  to: string[] | null;
  done: boolean;
  rows: number;
  failed: number;
  /** False for a claim, which is not a chunk. @default true */
  counts?: boolean;
}

/** Notes a chunk; false when nothing may be written, and the transaction must be rolled back. */
export async function noteProgress(db: Queryable, one: Progress): Promise<boolean> {
  const { job, part, token, from, to, done, rows, failed, counts = true } = one;
  return (await run(db, ADVANCE, [job, part, token, from, to, done, rows, failed, counts ? 1 : 0])).length > 0;
}

/**
 * Rows that others hold locked become parts of their own, from this number on; in the transaction of the chunk that
 * leaves them out.
 */
export async function putOff(db: Queryable, job: string, token: number, part: number, keys: string[][]): Promise<void> {
  await run(db, PUT_OFF, [job, part, token, JSON.stringify(keys)]);
}

export interface FailedRow {
  key: string[];
  due: number;
  error: string;
  code: string | undefined;
  attempts: number;
}

export async function noteFailedRow(db: Queryable, job: string, row: FailedRow): Promise<void> {
  await run(db, FAILED, [job, row.key, row.due, storable(row.error, 2_000), row.code ?? null, row.attempts]);
}

/** A pass ends before the tick does: its time counts. */
export async function pauseTick(db: Queryable, job: string, ms: number): Promise<void> {
  await run(db, PAUSE, [job, ms]);
}

/** Why a pass could not go on; shown until the tick has ended. */
export async function noteTickError(db: Queryable, job: string, error: string): Promise<void> {
  await run(db, ERROR, [job, storable(error, 2_000)]);
}

/** The open tick is over as it is: what it went along is no longer what the job goes along. */
export async function abandonTick(db: Queryable, job: string, reason: string): Promise<void> {
  await run(db, ABANDON, [job, reason]);
  await run(db, FORGET, [job]);
}

export async function totalsOf(db: Queryable, job: string): Promise<TickTotals> {
  return (await run<TickTotals & Record<string, unknown>>(db, TOTALS, [job]))[0]!;
}

interface TickClosing extends Omit<TickTotals, 'unfinished'> {
  due: number;
  ms: number;
  longestMs: number | null;
  roundTrips: { p50: number; p99: number } | null;
  band: Band;
  error: string | null;
  chunkRows: number | null;
  keep: number;
}

export async function closeTick(db: Queryable, job: string, one: TickClosing): Promise<void> {
  await run(db, CLOSE, [
    job,
    one.due,
    one.rows,
    one.chunks,
    one.failed,
    one.ms,
    one.longestMs,
    one.roundTrips?.p50 ?? null,
    one.roundTrips?.p99 ?? null,
    one.band,
    one.error,
  ]);
  await run(db, ENDED, [job, one.due, one.chunkRows]);
  await run(db, CLEAR_RANGES, [job]);
  await run(db, PRUNE, [job, one.keep]);
}

interface RawTick {
  [column: string]: unknown;
  due: number;
  request: string | null;
  elapsed: number;
  skipped: number;
  ms: number;
  rows: number;
  failed: number;
  band: Band | null;
  error: string | null;
  key: string[] | null;
  ended: boolean;
}

function toTick(raw: RawTick | undefined): TickRow | undefined {
  return raw && { ...raw, request: raw.request ?? undefined };
}
