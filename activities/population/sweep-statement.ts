/**
 * The statements of a sweep, from its definition and what the catalog says of its table. Due rows are claimed in order (`order`, then
 * the key), each pass going on behind the last row that it has claimed, so that a row comes once a tick also when handling leaves it due.
 * Run by `sweep.ts`.
 */
import { escapeIdentifier } from 'pg';
import type { TableFacts } from './catalog';
import { keyArray, keyHash, keyList, type SweepWork } from './statement';
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

/** @param form.fresh only rows that the tick has not claimed: it reads them all, so it is for what is left in the end */
export function claimStatement(
  work: SweepWork,
  table: TableFacts,
  form: { cursor: Cursor; orderType: string; fresh?: boolean },
): Template {
  const made = new Template();
  const key = keyList(table);
  made.of(shapeOf(table)).sql(`select ${columnsOf(table)}, ${keyArray(table)} as ${KEY}, `);
  order(made, work).sql(`::text as ${ORDER} from ${table.quoted} where (`);
  made.expression('due', work.due).sql(')');
  made.sql(' and not exists (select from longwatch.failed_row f where f.job = ').param('job', 'text');
  made.sql(
    ` and hash_array_extended(f.key, 0) = ${keyHash(table, 0)} and hash_array_extended(f.key, 1) = ${keyHash(table, 1)})`,
  );
  if (form.fresh) {
    made.sql(' and not exists (select from longwatch.swept s where s.job = ').param('job', 'text');
    made.sql(` and s.h0 = ${keyHash(table, 0)} and s.h1 = ${keyHash(table, 1)})`);
  }
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
  const made = new Template().of(shapeOf(table)).sql(`select ${columnsOf(table)}, ${keyArray(table)} as ${KEY}`);
  const names = table.key.map((_column, index) => `k${index}`);
  const typed = table.key.map((column, index) => `${names[index]!}::${column.type}`).join(', ');
  // As text, one list for each column: a list of arrays would be one array of more dimensions.
  const lists = table.key.map((_column, index) => made.paramText(`keys${index}`, 'text[]')).join(', ');
  made.sql(
    ` from ${table.quoted} where (${keyList(table)}) in (select ${typed} from unnest(${lists}) as u (${names.join(', ')}))`,
  );
  made.sql(' and (').expression('due', work.due).sql(')');
  return made.sql(` order by ${keyList(table)}`);
}

/** The columns by their names: a statement that says `*` fails on each connection that knows it when a column is added. */
const columnsOf = (table: TableFacts): string =>
  table.columns.map((column) => `${escapeIdentifier(table.name)}.${escapeIdentifier(column.name)}`).join(', ');

const shapeOf = (table: TableFacts): string => JSON.stringify(table.columns.map(({ name, type }) => [name, type]));

/**
 * The type of what rows are ordered by, also while there are none. As one that says nothing of a length: `character` alone is a single one, so
 * the place would be cut off and lie before the rows that it stands for.
 */
export function orderTypeStatement(work: SweepWork, table: TableFacts): Template {
  return order(new Template().sql('select format_type(pg_typeof((select '), work).sql(
    ` from ${table.quoted} limit 0))::oid, -1) as type`,
  );
}

function order(made: Template, work: SweepWork): Template {
  if (work.order === undefined) return made.sql('null');
  return made.sql('(').expression('order', work.order).sql(')');
}
