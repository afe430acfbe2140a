/**
 * The statements of a sweep, from its definition and what the catalog says of its table. Due rows are claimed in order (`order`, then
 * the key), each pass going on behind the last row that it has claimed, so that a row comes once a tick also when handling leaves it due.
 * Run by `sweep.ts`.
 */
import { escapeIdentifier } from 'pg';
import type { TableFacts } from './catalog';
import { keyArray, keyList, type SweepWork } from './statement';
import { Template } from './template';

/** Columns beside those of the user's table, by names that no table has by chance. */
export const KEY_COLUMN = 'longwatch key';
export const ORDER_COLUMN = 'longwatch order';
const KEY = escapeIdentifier(KEY_COLUMN);
const ORDER = escapeIdentifier(ORDER_COLUMN);

/**
 * Where a claim begins: at the first row; behind one with an order; at the first whose order is null (those come last); behind one of
 * those, or, without an order, behind a key. One condition each, so that an index on (order, key) leads straight to the place.
 */
export type Cursor = 'none' | 'value' | 'nulls' | 'null';

export function claimStatement(
  work: SweepWork,
  table: TableFacts,
  form: { cursor: Cursor; orderType: string },
): Template {
  const made = new Template();
  const key = keyList(table);
  made.sql(`select ${escapeIdentifier(table.name)}.*, ${keyArray(table)} as ${KEY}, `);
  order(made, work).sql(`::text as ${ORDER} from ${table.quoted} where (`);
  made.expression('due', work.due).sql(')');
  made.sql(' and not exists (select from longwatch.failed_row f where f.job = ').param('job', 'text');
  made.sql(` and f.key = ${keyArray(table)})`);
  made
    .sql(` and not ${keyArray(table)}::text = any (`)
    .param('claimed', 'text[]')
    .sql(')');
  const cursorKey = (): string => table.key.map((c, i) => made.paramText(`key${i}`, c.type)).join(', ');
  if (form.cursor === 'value') {
    order(made.sql(' and ('), work).sql(`, ${key}) > (`).param('ordered', form.orderType).sql(`, ${cursorKey()})`);
  } else if (form.cursor !== 'none') {
    if (work.order !== undefined) order(made.sql(' and '), work).sql(' is null');
    if (form.cursor === 'null') made.sql(` and (${key}) > (${cursorKey()})`);
  }
  made.sql(' order by ');
  if (work.order !== undefined) order(made, work).sql(' nulls last, ');
  made.sql(`${key} limit `).param('limit', 'bigint');
  return made.sql(` for no key update of ${escapeIdentifier(table.name)} skip locked`);
}

/** Rows of a page that are still there and due, for an attempt after the first. */
export function pageStatement(work: SweepWork, table: TableFacts): Template {
  const made = new Template().sql(`select ${escapeIdentifier(table.name)}.*, ${keyArray(table)} as ${KEY}`);
  made.sql(` from ${table.quoted} where (${keyList(table)}) in (`);
  const lists = table.key.map((column, index) => made.paramText(`keys${index}`, `${column.type}[]`));
  made
    .sql(`select * from unnest(${lists.join(', ')})) and (`)
    .expression('due', work.due)
    .sql(')');
  return made.sql(` order by ${keyList(table)}`);
}

/** The type of what rows are ordered by; no row when the table is empty. */
export function orderTypeStatement(work: SweepWork, table: TableFacts): Template {
  return order(new Template().sql('select pg_typeof('), work).sql(`)::text as type from ${table.quoted} limit 1`);
}

function order(made: Template, work: SweepWork): Template {
  if (work.order === undefined) return made.sql('null');
  return made.sql('(').expression('order', work.order).sql(')');
}
