/**
 * The statements of a sweep, from its definition and what the catalog says of its table. Due rows are claimed in order
 * (`order`, then the key), each pass going on behind the last row that it has claimed, so that a row comes once a tick
 * also when handling leaves it due. Run by `sweep.ts`.
 */
import { escapeIdentifier } from 'pg';
import type { TableFacts } from './catalog';
import { codeOf } from '../lib/scan';
import { keyArray, keyHash, keyList, rangeOf, type Span, type SweepWork } from './statement';
import { Template } from './template';

/** Columns beside those of the user's table, by names that no table has by chance. */
export const KEY_COLUMN = 'longwatch key';
export const ORDER_COLUMN = 'longwatch order';
const KEY = escapeIdentifier(KEY_COLUMN);
const ORDER = escapeIdentifier(ORDER_COLUMN);
/** A table of ours inside of a statement: the user's may be called `f`. */
const INNER = '"longwatch inner"';

/**
 * A claim begins at the first row; behind one with an order; at the first whose order is null (those come last);
 * behind one of those, or, without an order, behind a key. One condition each, so that an index on (order, key) leads
 * straight to the place.
 */
export type Cursor = 'none' | 'value' | 'nulls' | 'null';

/**
 * @param form.fresh only rows that the tick has not claimed: it reads them all, so it is for what is left in the end
 * @param form.guarded failed rows are not even asked whether they are due: on some of them that fails. PostgreSQL keeps
 *   to an order of conditions only inside of a CASE, which no index can be used for, so it is for sweeps that have such
 *   rows
 */
export function claimStatement(
  work: SweepWork,
  table: TableFacts,
  form: { cursor: Cursor; orderType: string; fresh?: boolean; guarded?: boolean },
): Template {
  const made = new Template();
  const key = keyList(table);
  const guarded = form.guarded === true;
  made.of(shapeOf(table)).sql(`select ${columnsOf(table)}, ${keyArray(table)} as ${KEY}, `);
  order(made, work, table, guarded).sql(`::text as ${ORDER} from ${table.quoted} where `);
  if (guarded) due(made, work, table);
  else failedRow(made.sql('(').expression('due', work.due).sql(') and not '), table);
  if (form.fresh) {
    made.sql(` and not exists (select from longwatch.swept ${INNER} where ${INNER}.job = `).param('job', 'text');
    made.sql(` and ${INNER}.h0 = ${keyHash(table, 0)} and ${INNER}.h1 = ${keyHash(table, 1)})`);
  }
  const cursorKey = (): string => table.key.map((c, i) => made.paramText(`key${i}`, c.type)).join(', ');
  if (form.cursor === 'value') {
    order(made.sql(' and ('), work, table, guarded).sql(`, ${key}) > (`).param('ordered', form.orderType);
    made.sql(`, ${cursorKey()})`);
  } else if (form.cursor !== 'none') {
    if (work.order !== undefined) order(made.sql(' and '), work, table, guarded).sql(' is null');
    if (form.cursor === 'null') made.sql(` and (${key}) > (${cursorKey()})`);
  }
  made.sql(' order by ');
  if (work.order !== undefined) order(made, work, table, guarded).sql(' nulls last, ');
  made.sql(`${key} limit `).param('limit', 'bigint');
  return made.sql(` for no key update of ${escapeIdentifier(table.name)} skip locked`);
}

/**
 * Rows of a page that are still there and due, for an attempt after the first. Found by their keys, so the guard costs
 * nothing.
 */
export function pageStatement(work: SweepWork, table: TableFacts): Template {
  const made = new Template().of(shapeOf(table)).sql(`select ${columnsOf(table)}, ${keyArray(table)} as ${KEY}`);
  const names = table.key.map((_column, index) => `k${index}`);
  const typed = table.key.map((column, index) => `${names[index]!}::${column.type}`).join(', ');
  // As text, one list for each column: a list of arrays would be one array of more dimensions.
  const lists = table.key.map((_column, index) => made.paramText(`keys${index}`, 'text[]')).join(', ');
  made.sql(
    ` from ${table.quoted} where (${keyList(table)}) in (select ${typed} from unnest(${lists}) as u (${names.join(', ')})) and `,
  );
  return due(made, work, table).sql(` order by ${keyList(table)}`);
}

/**
 * Whether all that a claim asks of the rows of a range can be answered: it fails where one of them cannot. Locks
 * nothing.
 * @param form.known false: failed rows are asked as well
 */
export function probeStatement(work: SweepWork, table: TableFacts, form: { span: Span; known: boolean }): Template {
  const made = new Template().of(shapeOf(table)).sql('select count(case when ');
  if (form.known) due(made, work, table);
  else made.sql('(').expression('due', work.due).sql(')');
  // The things that a due row must be able to say: its place in the order, as the text that is kept, and its columns,
  // which may be computed.
  order(made.sql(` then row(${columnsOf(table)}, `), work);
  const range = rangeOf(made, table, form.span, escapeIdentifier(table.name));
  return made.sql(`::text) end) from ${table.quoted} where ${range}`);
}

/** Asks no row at all: what fails even so is wrong for all of them (`100 / (3 - :elapsed)`). */
export function emptyProbe(work: SweepWork, table: TableFacts): Template {
  return probeStatement(work, table, { span: { after: false, upto: false }, known: false }).sql(' and false');
}

/**
 * The columns by their names: a statement that says `*` fails on each connection that knows it when a column is added.
 */
const columnsOf = (table: TableFacts): string =>
  table.columns.map((column) => `${escapeIdentifier(table.name)}.${escapeIdentifier(column.name)}`).join(', ');

const shapeOf = (table: TableFacts): string => JSON.stringify(table.columns.map(({ name, type }) => [name, type]));

/**
 * The type of what rows are ordered by, also while there are none. As one that says nothing of a length: `character`
 * alone is a single one, so the place would be cut off and lie before the rows that it stands for.
 */
export function orderTypeStatement(work: SweepWork, table: TableFacts): Template {
  return order(new Template().sql('select format_type(pg_typeof((select '), work).sql(
    ` from ${table.quoted} limit 0))::oid, -1) as type`,
  );
}

/** A condition that no failed row answers. */
function due(made: Template, work: SweepWork, table: TableFacts): Template {
  return failedRow(made.sql('case when '), table).sql(' then false else (').expression('due', work.due).sql(') end');
}

function failedRow(made: Template, table: TableFacts): Template {
  made.sql(`exists (select from longwatch.failed_row ${INNER} where ${INNER}.job = `).param('job', 'text');
  return made.sql(
    ` and hash_array_extended(${INNER}.key, 0) = ${keyHash(table, 0)} and hash_array_extended(${INNER}.key, 1) = ${keyHash(table, 1)})`,
  );
}

function order(made: Template, work: SweepWork, table?: TableFacts, guarded = false): Template {
  if (work.order === undefined) return made.sql('null');
  if (!guarded || !table || isStored(work.order, table)) return made.sql('(').expression('order', work.order).sql(')');
  return due(made.sql('(case when '), work, table).sql(' then (').expression('order', work.order).sql(') end)');
}

/** A column that lies in the table: reading it cannot fail, and an index of it is of use. */
function isStored(order: string, table: TableFacts): boolean {
  const [only, ...more] = codeOf(order);
  if (more.length > 0 || !only) return false;
  const name = only.kind === 'quoted' ? only.text.slice(1, -1).replace(/""/g, '"') : only.text.toLowerCase();
  return table.columns.some((column) => column.name === name && !column.generated);
}
