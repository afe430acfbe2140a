/**
 * `explain`: the statement of a job as it is run, PostgreSQL's plan of it, and what stands in the way of speed. Runs
 * nothing. Called by the client (`JobHandle.explain`).
 */
import type { JobOptions, JobWork } from '../../workflows/job/options';
import { run, type Queryable, type Statement } from '../lib/database';
import { readWorkTable, type TableFacts } from './catalog';
import { boundStatement, boundValues, decayStatement, lastKeyStatement, regenStatement, withRule } from './statement';
import { claimStatement } from './sweep-statement';
import type { Template } from './template';

export interface Explanation {
  table: string;
  key: string[];
  statement: string;
  /** Lines of PostgreSQL's EXPLAIN, for the first chunk of the table. */
  plan: string[];
  warnings: string[];
}

/**
 * Every column that an index reads: as a key, included, in an expression or in its predicate. BRIN does not keep a row
 * from being HOT since 16.
 */
const INDEX_COLUMNS: Statement = {
  name: 'job-index-columns',
  text: `select i.relname as index, array_agg(distinct a.attname::text order by a.attname::text) as columns,
                bool_or(x.indpred is not null and not a.attnum = any (x.indkey::int2[])) as in_predicate
         from pg_index x
         join pg_class i on i.oid = x.indexrelid
         join pg_am m on m.oid = i.relam
         join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = i.oid
           and d.refclassid = 'pg_class'::regclass and d.refobjid = x.indrelid and d.refobjsubid > 0
         join pg_attribute a on a.attrelid = x.indrelid and a.attnum = d.refobjsubid
         where x.indrelid = $1 and not (m.amname = 'brin' and current_setting('server_version_num')::int >= 160000)
         group by i.relname order by i.relname`,
};
const FILLFACTOR: Statement = {
  name: 'job-fillfactor',
  text: `select coalesce((select option_value::int from pg_options_to_table(c.reloptions) where option_name = 'fillfactor'), 100)
                as fillfactor
         from pg_class c where c.oid = $1`,
};
const TRIGGERS: Statement = {
  name: 'job-triggers',
  text: `select tgname as name from pg_trigger where tgrelid = $1 and not tgisinternal and tgenabled <> 'D' and tgtype & 1 = 1
           and tgtype & $2::int <> 0 order by tgname`,
};
const ROW_UPDATE = 16;
const ROW_DELETE = 8;

/** @throws BadOption when the table or its key are not there; PostgreSQL's error when the SQL is wrong. */
export async function explainWork(db: Queryable, options: JobOptions): Promise<Explanation> {
  await run(db, { name: 'job-read-only', text: 'set transaction read only' });
  const { chunk } = options;
  const work = withRule(options.work);
  const table = await readWorkTable(db, work);
  const all = chunk === 'all';
  const values: Record<string, unknown> = { elapsed: 1, due: new Date(), limit: 2_000 };
  let statement: Template;
  if (work.kind === 'regen') {
    const upto = all ? undefined : await firstBound(db, table, typeof chunk === 'number' ? chunk : 2_000);
    statement = regenStatement(work, table, { after: false, upto: upto !== undefined });
    Object.assign(values, boundValues(undefined, upto));
  } else if (work.kind === 'decay') {
    statement = decayStatement(work, table, { after: false, upto: !all, all });
    const last = all ? undefined : (await lastKeyStatement(table).run<{ key: string[] }>(db, {})).rows[0]?.key;
    Object.assign(values, boundValues(undefined, last));
  } else {
    statement = claimStatement(work, table, { cursor: 'none', orderType: 'text' });
    values.limit = options.page;
  }
  const plan = await statement.explain(db, values);
  return {
    table: `${table.schema}.${table.name}`,
    key: table.key.map((column) => column.name),
    statement: statement.shown,
    plan: plan.map((row) => String(row['QUERY PLAN'])),
    warnings: await warningsOf(
      db,
      work,
      table,
      plan.map((row) => String(row['QUERY PLAN'])),
    ),
  };
}

async function firstBound(db: Queryable, table: TableFacts, size: number): Promise<string[] | undefined> {
  const bound = boundStatement(table, { after: false, upto: false });
  const found = (await bound.run<{ key: string[] }>(db, { skip: size - 1 })).rows[0];
  return found?.key ?? (await lastKeyStatement(table).run<{ key: string[] }>(db, {})).rows[0]?.key;
}

async function warningsOf(db: Queryable, work: JobWork, table: TableFacts, plan: string[]): Promise<string[]> {
  const warnings: string[] = [];
  if (work.kind === 'regen' && 'set' in work) {
    const changed = Object.keys(work.set);
    const indexes = await run<{ index: string; columns: string[]; in_predicate: boolean }>(db, INDEX_COLUMNS, [
      table.oid,
    ]);
    for (const { index, columns, in_predicate } of indexes) {
      const read = changed.filter((column) => columns.includes(column));
      if (read.length === 0) continue;
      const how = in_predicate ? 'in its predicate or as a column' : 'as a column or in an expression';
      warnings.push(
        `index ${index} reads ${read.join(', ')} (${how}), which this statement changes: no update can be HOT, so each one writes to ` +
          'every index of the table. Measured, that is three to four times slower; drop it, or leave that column out of it',
      );
    }
    const [found] = await run<{ fillfactor: number }>(db, FILLFACTOR, [table.oid]);
    if (!table.partitioned && found && found.fillfactor > 90) {
      warnings.push(
        `the table's fillfactor is ${found.fillfactor}: pages have no room for new versions of their rows, so few updates can be HOT. ` +
          `ALTER TABLE ${table.quoted} SET (fillfactor = 50) helps pages that are written from then on`,
      );
    }
  }
  if (work.kind !== 'sweep') {
    const event = work.kind === 'regen' ? ROW_UPDATE : ROW_DELETE;
    const triggers = await run<{ name: string }>(db, TRIGGERS, [table.oid, event]);
    if (triggers.length > 0) {
      warnings.push(`triggers run for each row: ${triggers.map((trigger) => trigger.name).join(', ')}`);
    }
  }
  if (work.kind !== 'regen' && table.diskPages > 1_000 && plan.some((line) => /Seq Scan on/.test(line))) {
    warnings.push(
      `the rows are looked for by reading all of the table (${table.diskPages} pages): an index for the condition makes that the price of what is found`,
    );
  }
  return warnings;
}
