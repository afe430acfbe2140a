/**
 * The statements of a regen or decay, from its definition and what the catalog says of its table. A row is in a chunk when its key
 * is: after < key <= upto, in the order of the key's index. Names are quoted by pg; expressions stand in parentheses, and
 * `check.ts` has seen to it that they cannot leave them. Run by `chunk.ts`.
 */
import { escapeIdentifier } from 'pg';
import type { Work } from '../../workflows/population/options';
import { quoteTable, type Column, type TableFacts } from './catalog';
import { ruleValue, ruleWhere } from './rule';
import { Template } from './template';

/** A position between two keys: the columns of the key below it, as text. Undefined: before the first, or after the last. */
export type Bound = string[] | undefined;

export type RegenWork = Extract<Work, { kind: 'regen' }>;
export type DecayWork = Extract<Work, { kind: 'decay' }>;
export type SweepWork = Extract<Work, { kind: 'sweep' }>;

const q = escapeIdentifier;

/** One statement that advances the rows of a range. Which ends the range has is part of its text. */
export function regenStatement(work: RegenWork, table: TableFacts, ends: { after: boolean; upto: boolean }): Template {
  const made = new Template();
  const range = (alias?: string): string => rangeOf(made, table, ends, alias);
  if ('sql' in work) return made.expression('sql', work.sql, range);
  made.sql(`update ${table.quoted} set `);
  Object.entries(work.set).forEach(([column, expression], index) => {
    made
      .sql(`${index > 0 ? ', ' : ''}${q(column)} = (`)
      .expression(`set.${column}`, expression)
      .sql(')');
  });
  made.sql(` where ${range(q(table.name))}`);
  if (work.where !== undefined) made.sql(' and (').expression('where', work.where).sql(')');
  return made;
}

/** Deletes at most `:limit` of the rows that go (what others hold locked is left for later), all of them, or one by its key. */
export function decayStatement(
  work: DecayWork,
  table: TableFacts,
  form: { all?: boolean; one?: boolean; without?: boolean },
): Template {
  const made = new Template();
  const key = keyList(table);
  if (work.moveTo) made.sql('with gone as (');
  made.sql(`delete from ${table.quoted} where `);
  if (form.all || form.one) {
    made.sql('(').expression('where', work.where).sql(')');
    if (form.one) table.key.forEach((column, i) => made.sql(` and ${q(column.name)} = `).param(`key${i}`, column.type));
  } else {
    made.sql(`(${key}) in (select ${key} from ${table.quoted} where (`).expression('where', work.where).sql(')');
    if (form.without)
      made
        .sql(` and ${keyText(table)} <> all (`)
        .param('failed', 'text[]')
        .sql(')');
    made.sql(' limit ').param('limit', 'bigint').sql(' for update skip locked)');
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

/** The key of the next row that goes: which one it is when a chunk of one row fails. */
export function decayNext(work: DecayWork, table: TableFacts, without: boolean): Template {
  const made = new Template().sql(
    `select ${keyArray(table)} as key, ${keyText(table)} as text from ${table.quoted} where (`,
  );
  made.expression('where', work.where).sql(')');
  if (without)
    made
      .sql(` and ${keyText(table)} <> all (`)
      .param('failed', 'text[]')
      .sql(')');
  return made.sql(' limit 1');
}

/** The key of the `:rows`-th row of a range: where a chunk of that many rows ends. */
export function boundStatement(table: TableFacts, ends: { after: boolean; upto: boolean }): Template {
  const made = new Template().sql(`select ${keyArray(table)} as key from ${table.quoted} where `);
  made.sql(`${rangeOf(made, table, ends, q(table.name))} order by ${orderOf(table)} offset `);
  return made.param('skip', 'bigint').sql(' limit 1');
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

function rangeOf(made: Template, table: TableFacts, ends: { after: boolean; upto: boolean }, alias?: string): string {
  const columns = table.key.map((column) => (alias === undefined ? '' : `${alias}.`) + q(column.name));
  const tuple = (parts: string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(', ')})`);
  const given = (name: string): string =>
    tuple(table.key.map((column, index) => made.paramText(`${name}${index}`, column.type)));
  const parts = [
    ...(ends.after ? [`${tuple(columns)} > ${given('after')}`] : []),
    ...(ends.upto ? [`${tuple(columns)} <= ${given('upto')}`] : []),
  ];
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

/** The key as one text, for lists of them. */
export const keyText = (table: TableFacts): string => `${keyArray(table)}::text`;

/** With what a rule says as what it sets, and without the rows that it does not change. Other work is as it was. */
export function withRule(work: Work): Work {
  if (work.kind !== 'regen' || !('rule' in work) || work.rule === undefined) return work;
  const { rule } = work;
  const conditions = [work.where, ruleWhere(rule)].flatMap((one) => (one === undefined ? [] : [`(${one}\n)`]));
  return {
    ...work,
    set: { [rule.column]: ruleValue(rule, q(rule.column), ':elapsed') },
    where: conditions.length > 0 ? conditions.join(' and ') : undefined,
  };
}
