/**
 * The statements of a regen or decay, from its definition and what the catalog says of its table. A row is in a chunk
 * when its key is: after < key <= upto, in the order of the key's index. Names are quoted by pg; expressions stand in
 * parentheses, and `check.ts` has seen to it that they cannot leave them. Run by `rows.ts`.
 */
import { escapeIdentifier } from 'pg';
import type { JobWork } from '../../workflows/job/options';
import { quoteTable, type Column, type TableFacts } from './catalog';
import { ruleValue, ruleWhere } from './rule';
import { scan } from '../lib/scan';
import { Template } from './template';

/**
 * A position between two keys: the columns of the key below it, as text. Undefined: before the first, or after the
 * last.
 */
export type Bound = string[] | undefined;

export type RegenWork = Extract<JobWork, { kind: 'regen' }>;
type DecayWork = Extract<JobWork, { kind: 'decay' }>;
export type SweepWork = Extract<JobWork, { kind: 'sweep' }>;

const q = escapeIdentifier;

/** The rows of a part that a statement is for; all of it is part of its text. */
export interface Span {
  after: boolean;
  upto: boolean;
  /** The one row whose key is `upto`. */
  alone?: boolean;
  /** But for the rows of these keys: others hold them locked. */
  without?: boolean;
  /** The condition is asked of no other row: PostgreSQL keeps to that order only inside of a CASE. */
  careful?: boolean;
}

/** One statement that advances the rows of a range. */
export function regenStatement(work: RegenWork, table: TableFacts, span: Span): Template {
  const made = new Template();
  const range = (alias?: string): string => rangeOf(made, table, span, alias);
  if ('sql' in work) return made.expression('sql', work.sql, range);
  made.sql(`update ${table.quoted} set `);
  Object.entries(work.set).forEach(([column, expression], index) => {
    made
      .sql(`${index > 0 ? ', ' : ''}${q(column)} = (`)
      .expression(`set.${column}`, expression)
      .sql(')');
  });
  made.sql(` where ${range(q(table.name))}`);
  if (work.where !== undefined) condition(made.sql(' and '), table, span, work.where);
  return made;
}

function condition(made: Template, table: TableFacts, span: Span, where: string): Template {
  if (!span.careful) return made.sql('(').expression('where', where).sql(')');
  made.sql(`case when ${rangeOf(made, table, span, q(table.name))} then (`);
  return made.expression('where', where).sql(') end');
}

/**
 * A statement of the user's own that has no range: it changes the whole table each time it runs, so it is never cut
 * into chunks.
 */
export const isBoundless = (work: JobWork): boolean =>
  work.kind === 'regen' && 'sql' in work && !scan(work.sql).some(({ name }) => name === 'range');

/**
 * Deletes the rows of a range that go; those that others hold locked are left for the next tick. `all`: one statement
 * without a range.
 */
export function decayStatement(work: DecayWork, table: TableFacts, span: Span & { all?: boolean }): Template {
  const made = new Template();
  const key = keyList(table);
  if (work.moveTo) made.sql('with gone as (');
  made.sql(`delete from ${table.quoted} where `);
  if (span.all) made.sql('(').expression('where', work.where).sql(')');
  else {
    made.sql(`(${key}) in (select ${key} from ${table.quoted} where ${rangeOf(made, table, span, q(table.name))} and `);
    condition(made, table, span, work.where).sql(' for update skip locked)');
  }
  if (work.moveTo) {
    const columns = table.columns.filter((column) => !column.generated).map((column) => q(column.name));
    made.sql(` returning ${columns.map((column) => `${q(table.name)}.${column}`).join(', ')})`);
    // A row keeps its number, also where the other table numbers rows by itself.
    const numbers = table.columns.some((column) => column.identity) ? 'overriding system value ' : '';
    made.sql(
      ` insert into ${quoteTable(work.moveTo)} (${columns.join(', ')}) ${numbers}select ${columns.join(', ')} from gone`,
    );
  }
  return made;
}

/** The key of the `:skip` + 1st row of a range (of a decay: that goes): where a chunk of that many rows ends. */
export function boundStatement(table: TableFacts, span: Span, where?: string): Template {
  const made = new Template().sql(`select ${keyArray(table)} as key from ${table.quoted} where `);
  made.sql(rangeOf(made, table, span, q(table.name)));
  if (where !== undefined) condition(made.sql(' and '), table, span, where);
  return made
    .sql(` order by ${orderOf(table)} offset `)
    .param('skip', 'bigint')
    .sql(' limit 1');
}

/**
 * Keys of rows of a range that others hold locked; at most `:limit` of them. The others are locked until
 * the transaction ends.
 */
export function lockedStatement(table: TableFacts, span: Span): Template {
  const made = new Template();
  const range = rangeOf(made, table, span, q(table.name));
  const names = table.key.map((_column, index) => `k${index}`);
  const same = table.key
    .map((column, index) => `"longwatch free".${names[index]!} = ${qualified(table)(column)}`)
    .join(' and ');
  made.sql(
    `with free (${names.join(', ')}) as materialized (select ${keyList(table)} from ${table.quoted} where ${range}`,
  );
  made.sql(` for no key update skip locked) select ${keyArray(table)} as key from ${table.quoted} where ${range}`);
  return made.sql(` and not exists (select from free "longwatch free" where ${same}) limit `).param('limit', 'bigint');
}

export function lastKeyStatement(table: TableFacts): Template {
  const order = table.key.map((column) => `${q(column.name)} desc`).join(', ');
  return new Template().sql(`select ${keyArray(table)} as key from ${table.quoted} order by ${order} limit 1`);
}

/** Some keys from all over the table, in order. */
export function sampleStatement(table: TableFacts, percent: number): Template {
  return new Template().sql(
    `select ${keyArray(table)} as key from ${table.quoted} tablesample system (${percent.toFixed(4)}) order by ${orderOf(table)}`,
  );
}

/** The values of a range's parameters. */
export function boundValues(after: Bound, upto: Bound): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  after?.forEach((value, index) => (values[`after${index}`] = value));
  upto?.forEach((value, index) => (values[`upto${index}`] = value));
  return values;
}

/**
 * With several columns, the first one is compared alone as well: the planner takes a comparison of rows for a part of
 * the table that has nothing to do with its other end, so that a chunk would be a tenth of the table to it.
 */
export function rangeOf(made: Template, table: TableFacts, span: Span, alias?: string): string {
  const columns = table.key.map((column) => (alias === undefined ? '' : `${alias}.`) + q(column.name));
  const tuple = (parts: string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(', ')})`);
  const given = (name: string): string[] =>
    table.key.map((column, index) => made.paramText(`${name}${index}`, column.type));
  const several = columns.length > 1;
  const parts: string[] = [];
  if (span.alone) parts.push(...given('upto').map((value, index) => `${columns[index]!} = ${value}`));
  else {
    if (span.after && several) parts.push(`${columns[0]!} >= ${given('after')[0]!}`);
    if (span.upto && several) parts.push(`${columns[0]!} <= ${given('upto')[0]!}`);
    if (span.after) parts.push(`${tuple(columns)} > ${tuple(given('after'))}`);
    if (span.upto) parts.push(`${tuple(columns)} <= ${tuple(given('upto'))}`);
  }
  if (span.without) {
    const key = `to_jsonb(array[${columns.map((column) => `${column}::text`).join(', ')}])`;
    parts.push(`${key} <> all (array(select jsonb_array_elements(${made.paramText('without', 'jsonb')})))`);
  }
  return parts.length === 0 ? 'true' : `(${parts.join(' and ')})`;
}

/** The key's columns, as a list. */
export const keyList = (table: TableFacts): string => table.key.map(qualified(table)).join(', ');

const qualified =
  (table: TableFacts) =>
  (column: Column): string =>
    `${q(table.name)}.${q(column.name)}`;

const orderOf = keyList;

/** The key as an array of text, as progress and reports have it. */
export const keyArray = (table: TableFacts): string =>
  `array[${table.key.map((column) => `${qualified(table)(column)}::text`).join(', ')}]`;

/**
 * A hash of the key, as `longwatch.swept` and the index of `longwatch.failed_row` have it: of its bytes, whatever its
 * collation says is equal.
 */
export const keyHash = (table: TableFacts, seed: 0 | 1): string =>
  `hash_array_extended(array[${table.key.map((column) => `${qualified(table)(column)}::text collate "C"`).join(', ')}], ${seed})`;

/** With what a rule says as what it sets, and without the rows that it does not change. Other work is as it was. */
export function withRule(work: JobWork): JobWork {
  if (work.kind !== 'regen' || !('rule' in work) || work.rule === undefined) return work;
  const { rule } = work;
  const conditions = [work.where, ruleWhere(rule)].flatMap((one) => (one === undefined ? [] : [`(${one}\n)`]));
  return {
    ...work,
    set: { [rule.column]: ruleValue(rule, q(rule.column), ':elapsed') },
    where: conditions.length > 0 ? conditions.join(' and ') : undefined,
  };
}
