/**
 * The planner's statistics of our tables. A connection keeps the plans of its statements, and the first ones are made
 * while the tables are empty: then reading a whole table is cheapest, and goes on when it has a million rows. An
 * ANALYZE gives every connection new plans, but autovacuum comes once a minute at best. Called by
 * `shift/statistics.ts`.
 */
import { escapeIdentifier } from 'pg';
import { run, type Queryable, type Statement } from '../../lib/database';

/** A table with fewer changes than these is read whole in a moment. */
const LEAST_ROWS = 1_000;
/** It has this many times the rows that the planner knows of. */
const TIMES = 4;
/** One that is filled and emptied all the time is not analyzed more often than this, by whomever. Seconds. */
const EVERY_S = 30;

/**
 * Only of the tables' owner: nobody else may analyze them. The view `pg_stat_user_tables` would count all of each table
 * of the database: every node asks this every two seconds, and others may have thousands of tables there.
 */
const OUTGROWN: Statement = {
  name: 'statistics-outgrown',
  text: `select c.relname as name
         from pg_class c, pg_stat_get_mod_since_analyze(c.oid) as changes
         where c.relnamespace = (select oid from pg_namespace where nspname = 'longwatch') and c.relkind = 'r'
           and changes >= $1 and changes >= $2 * greatest(c.reltuples, 0) and pg_has_role(c.relowner, 'usage')
           and coalesce(greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid))
                        < now() - make_interval(secs => $3), true)
         order by changes desc`,
};
/** Any number that nothing else uses: its lock ends with the transaction. */
const ALONE: Statement = { name: 'statistics-alone', text: `select pg_try_advisory_xact_lock(7215438202) as alone` };

/** @returns the tables that have outgrown what the planner knows of them, the one that has changed most first */
export async function outgrownTables(db: Queryable): Promise<string[]> {
  return (await run<{ name: string }>(db, OUTGROWN, [LEAST_ROWS, TIMES, EVERY_S])).map(({ name }) => name);
}

/** In a transaction of its own. @returns false: another node is at it */
export async function analyzeTable(db: Queryable, name: string): Promise<boolean> {
  const [row] = await run<{ alone: boolean }>(db, ALONE);
  if (row!.alone) await db.query({ text: `analyze longwatch.${escapeIdentifier(name)}`, values: [] });
  return row!.alone;
}
