/**
 * The statements of the history's own tables: when it was written last, what had been counted then, and the rows of
 * minutes and hours. Called by `write.ts`, in one transaction.
 */
import { run, type Queryable, type Statement } from '../lib/database';
import { errorOf } from '../lib/failures';
import { ms } from '../lib/sql';
import type { Before, Figures, Reading } from './fold';
import type { SeriesKind, Step } from './kinds';

/** The second one has nothing to do. */
const LOCK: Statement = {
  name: 'series-lock',
  text: `select pg_try_advisory_xact_lock(hashtext('longwatch series')) as taken`,
};
const CLOCK: Statement = {
  name: 'series-clock',
  text: `select ${ms('c.at')} as at, ${ms('clock_timestamp()')} as now from (select) as one left join longwatch.series_clock c on true`,
};
const SET_CLOCK: Statement = {
  name: 'series-set-clock',
  text: `insert into longwatch.series_clock (at) values (to_timestamp($1::float8 / 1000))
         on conflict (only_one) do update set at = excluded.at`,
};
const BEFORE: Statement = {
  name: 'series-before',
  text: `select name, totals, late, ${ms('seen_at')} as "seenAt" from longwatch.series_total where kind = $1`,
};
const SAVE_TOTALS: Statement = {
  name: 'series-save-totals',
  text: `insert into longwatch.series_total as t (kind, name, totals, late, seen_at)
         select $1, r.name, r.totals::float8[], r.late::float8[], to_timestamp($5::float8 / 1000)
         from unnest($2::text[], $3::text[], $4::text[]) as r (name, totals, late)
         on conflict (kind, name) do update
         set totals = excluded.totals, late = excluded.late, seen_at = excluded.seen_at`,
};
/** In the place of a name: a kind of which nothing could be read yet, so there is nothing to count from. */
const NOT_BEGUN = '';
const SAVE_NOT_BEGUN: Statement = {
  name: 'series-save-not-begun',
  text: `insert into longwatch.series_total (kind, name, totals, late) values ($1, '${NOT_BEGUN}', '{}', '{}')
         on conflict (kind, name) do nothing`,
};
const FORGET_NOT_BEGUN: Statement = {
  name: 'series-forget-not-begun',
  text: `delete from longwatch.series_total where kind = $1 and name = '${NOT_BEGUN}'`,
};
const ROWS: Statement = {
  name: 'series-rows',
  text: `select name, seconds, counts, look_sums as "lookSums", look_numbers as "lookNumbers", mosts, late
         from longwatch.series
         where step = $1 and kind = $2 and name = any($3::text[]) and at = to_timestamp($4::float8 / 1000)`,
};
const WRITE: Statement = {
  name: 'series-write',
  text: `insert into longwatch.series as s (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
         select $1, $2, r.name, to_timestamp($3::float8 / 1000), r.seconds, r.counts::float8[], r.look_sums::float8[],
                r.look_numbers::int[], r.mosts::float8[], r.late::float8[]
         from unnest($4::text[], $5::float8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
           as r (name, seconds, counts, look_sums, look_numbers, mosts, late)
         on conflict (step, kind, name, at) do update
         set seconds = excluded.seconds, counts = excluded.counts, look_sums = excluded.look_sums,
             look_numbers = excluded.look_numbers, mosts = excluded.mosts, late = excluded.late`,
};
/** Bounded: what is left waits for the next minute. */
const PURGE: Statement = {
  name: 'series-purge',
  text: `delete from longwatch.series
         where ctid = any(array(
           select ctid from longwatch.series
           where step = $1 and at < now() - $2::float8 * interval '1 second' order by at limit $3))`,
};
/** One kind that cannot be read or written does not keep the others from it. */
const SAVEPOINT: Statement = { name: 'series-savepoint', text: 'savepoint series_kind' };
const RELEASE: Statement = { name: 'series-release', text: 'release savepoint series_kind' };
const BACK: Statement = { name: 'series-back', text: 'rollback to savepoint series_kind' };
/** Things of which no row is left: if one of that name comes again, it counts anew. */
const FORGET: Statement = {
  name: 'series-forget',
  text: `delete from longwatch.series_total where seen_at < now() - $1::float8 * interval '1 second'`,
};
const FORGET_STARTS: Statement = {
  name: 'series-forget-starts',
  text: `delete from longwatch.node_start where at < now() - interval '31 days'`,
};

const array = (numbers: readonly (number | null)[]): string => `{${numbers.map((n) => n ?? 'null').join(',')}}`;

export async function takeTurn(db: Queryable): Promise<boolean> {
  return (await run<{ taken: boolean }>(db, LOCK))[0]!.taken;
}

/** Epoch milliseconds of the database. `at`: until when the history is written; null: it has not begun. */
export async function readClock(db: Queryable): Promise<{ at: number | null; now: number }> {
  return (await run<{ at: number | null; now: number }>(db, CLOCK))[0]!;
}

export async function setClock(db: Queryable, at: number): Promise<void> {
  await run(db, SET_CLOCK, [at]);
}

/** @returns null: nothing of the kind could be read until now */
export async function readBefore(db: Queryable, kind: SeriesKind): Promise<Map<string, Before> | null> {
  const rows = await run<Before & { name: string }>(db, BEFORE, [kind]);
  const before = new Map(rows.map(({ name, ...counts }) => [name, counts]));
  if (!before.has(NOT_BEGUN)) return before;
  await run(db, FORGET_NOT_BEGUN, [kind]);
  return null;
}

export async function saveNotBegun(db: Queryable, kind: SeriesKind): Promise<void> {
  await run(db, SAVE_NOT_BEGUN, [kind]);
}

/** @param at when they were read, epoch milliseconds of the database */
export async function saveTotals(
  db: Queryable,
  kind: SeriesKind,
  readings: readonly Reading[],
  at: number,
): Promise<void> {
  if (readings.length === 0) return;
  await run(db, SAVE_TOTALS, [
    kind,
    readings.map(({ name }) => name),
    readings.map(({ totals }) => array(totals)),
    readings.map(({ late }) => array(late)),
    at,
  ]);
}

export async function readRows(
  db: Queryable,
  step: Step,
  kind: SeriesKind,
  names: readonly string[],
  at: number,
): Promise<Map<string, Figures>> {
  const rows = await run<Figures & { name: string }>(db, ROWS, [step, kind, names, at]);
  return new Map(rows.map(({ name, ...figures }) => [name, figures]));
}

export async function writeRows(
  db: Queryable,
  step: Step,
  kind: SeriesKind,
  at: number,
  rows: readonly (Figures & { name: string })[],
): Promise<void> {
  if (rows.length === 0) return;
  await run(db, WRITE, [
    step,
    kind,
    at,
    rows.map(({ name }) => name),
    rows.map(({ seconds }) => seconds),
    rows.map(({ counts }) => array(counts)),
    rows.map(({ lookSums }) => array(lookSums)),
    rows.map(({ lookNumbers }) => array(lookNumbers)),
    rows.map(({ mosts }) => array(mosts)),
    rows.map(({ late }) => array(late)),
  ]);
}

export async function purgeRows(db: Queryable, step: Step, keptSeconds: number, most: number): Promise<void> {
  await run(db, PURGE, [step, keptSeconds, most]);
}

/** @returns why all of it was taken back */
export async function apart(db: Queryable, work: () => Promise<void>): Promise<Error | undefined> {
  await run(db, SAVEPOINT);
  try {
    await work();
    await run(db, RELEASE);
    return undefined;
  } catch (thrown) {
    // Fails too where the connection is gone.
    await run(db, BACK);
    return errorOf(thrown);
  }
}

export async function forgetThings(db: Queryable, keptSeconds: number): Promise<void> {
  await run(db, FORGET, [keptSeconds]);
  await run(db, FORGET_STARTS);
}
