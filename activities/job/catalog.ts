/**
 * Reads a job's table in PostgreSQL's catalog: its real names, the columns and types of its key, its size. Read at
 * the start of a job and of each pass, so a table that was altered meanwhile is seen as it is. Goes to `statement.ts`.
 */
import { escapeIdentifier } from 'pg';
import { ErrorType } from '../../workflows/lib/errors';
import type { TableRef, JobWork } from '../../workflows/job/options';
import { failure } from '../lib/failures';
import { run, type Queryable, type Statement } from '../lib/database';

export interface Column {
  name: string;
  /** As SQL spells it: `bigint`, `character varying(20)`. */
  type: string;
  notNull: boolean;
  /** Computed from other columns. */
  generated: boolean;
  /** Numbered by PostgreSQL alone (`generated always as identity`). */
  identity: boolean;
}

export interface TableFacts {
  oid: number;
  schema: string;
  name: string;
  /** Schema and name, quoted. */
  quoted: string;
  partitioned: boolean;
  /** Its pages of 8 kB, its partitions included. */
  diskPages: number;
  columns: Column[];
  /**
   * The role that row-level policies of the table hold for, which is the worker's; undefined: they do not, or there are
   * none.
   */
  policiesFor?: string;
  /** The columns that the job goes along. */
  key: Column[];
}

const TABLE: Statement = {
  name: 'job-table',
  text: `select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relkind as kind,
                coalesce((select sum(pg_relation_size(p.relid)) from pg_partition_tree(c.oid) p),
                         pg_relation_size(c.oid))::float8 / 8192 as pages,
                row_security_active(c.oid) as policies, current_user as role
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.oid = to_regclass($1)`,
};
const COLUMNS: Statement = {
  name: 'job-columns',
  text: `select a.attnum as number, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
                a.attnotnull and not exists (
                  select from pg_constraint n
                  where n.conrelid = a.attrelid and n.contype = 'n' and not n.convalidated and n.conkey[1] = a.attnum) as not_null, a.attgenerated <> '' as generated,
                a.attidentity = 'a' as identity
         from pg_attribute a
         where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
         order by a.attnum`,
};
/** Whole unique b-trees, whose order and equality the ranges of a key stand on. The primary key comes first. */
const UNIQUE: Statement = {
  name: 'job-unique',
  text: `select i.indisprimary as is_primary, (i.indkey::int2[])[0:i.indnkeyatts - 1] as columns
         from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
         where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
           and m.amname = 'btree'
           -- In the order in which the columns are compared: by another one each chunk would sort the table.
           and (select count(distinct o & 1) from unnest(i.indoption::int2[]) as o) = 1
           and not exists (
             select from unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[]) with ordinality as u (att, coll, class, n)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.att join pg_opclass o on o.oid = u.class
             where u.n <= i.indnkeyatts and (a.attcollation <> u.coll or not o.opcdefault))
         order by i.indisprimary desc, i.indexrelid`,
};

interface TableRow {
  [column: string]: unknown;
  oid: number;
  schema: string;
  name: string;
  kind: string;
  pages: number;
  /** Row-level policies hold for this role. */
  policies: boolean;
  role: string;
}

/** The schema whose tables no job works on. */
const OWN_SCHEMA = 'longwatch';

interface ColumnRow {
  [column: string]: unknown;
  number: number;
  name: string;
  type: string;
  not_null: boolean;
  generated: boolean;
  identity: boolean;
}

export const quoteTable = ({ schema, name }: TableRef): string =>
  schema === undefined ? escapeIdentifier(name) : `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;

export const showTable = ({ schema, name }: TableRef): string => (schema === undefined ? name : `${schema}.${name}`);

/** @throws BadOption when there is no such table, or no key that a job could go along. */
export async function readTable(db: Queryable, ref: TableRef, key?: string[]): Promise<TableFacts> {
  const facts = await readColumns(db, ref);
  const unique = await run<{ is_primary: boolean; columns: number[] }>(db, UNIQUE, [facts.table.oid]);
  const byNumber = new Map(facts.rows.map((row) => [row.number, row]));
  const keys = unique.map((index) => index.columns.map((number) => byNumber.get(number)!));
  const shown = showTable(ref);
  if (key === undefined) {
    const primary = unique[0]?.is_primary ? keys[0] : undefined;
    if (!primary) {
      throw bad(`table ${shown} has no primary key; name the columns of a unique index: key: 'id'`);
    }
    return { ...facts.table, key: primary.map(toColumn) };
  }
  for (const name of key) {
    if (!facts.rows.some((row) => row.name === name)) throw bad(`key: table ${shown} has no column ${name}`);
  }
  const found = keys.find((columns) => columns.length === key.length && columns.every((c) => key.includes(c.name)));
  if (!found) throw bad(`key: table ${shown} has no unique index on ${key.join(', ')} alone, in their own order`);
  const nullable = found.find((column) => !column.not_null);
  if (nullable) throw bad(`key: column ${nullable.name} of ${shown} may be null, and such rows would be left out`);
  // In the order of the index, which the ranges are read by.
  return { ...facts.table, key: found.map(toColumn) };
}

/** A table that rows move to: any, with or without a key. */
export async function readTarget(db: Queryable, ref: TableRef): Promise<TableFacts> {
  return (await readColumns(db, ref)).table;
}

/**
 * The table of a job, for whoever is about to work on it.
 * @throws BadOption also where row-level policies would hide rows from the worker, and nobody has said that this is
 *   meant
 */
export async function readWorkTable(db: Queryable, work: JobWork): Promise<TableFacts> {
  const table = await readTable(db, work.table, work.key);
  if (table.policiesFor !== undefined && work.policies !== true) {
    throw bad(
      `table: ${showTable(work.table)} has row-level policies that hold for the role ${table.policiesFor}, so rows that they hide would be left out ` +
        'without a word; give the worker a role with BYPASSRLS, or say that it is meant: policies: true',
    );
  }
  return table;
}

async function readColumns(db: Queryable, ref: TableRef): Promise<{ table: TableFacts; rows: ColumnRow[] }> {
  const [table] = await run<TableRow>(db, TABLE, [quoteTable(ref)]);
  if (!table) throw bad(`table: there is no table ${showTable(ref)}`);
  if (table.kind !== 'r' && table.kind !== 'p')
    throw bad(`table: ${showTable(ref)} is not a table that can be updated`);
  if (table.schema === OWN_SCHEMA) {
    throw bad(
      `table: ${table.schema}.${table.name} is Longwatch's own; name the schema of yours: 'public.${table.name}'`,
    );
  }
  const rows = await run<ColumnRow>(db, COLUMNS, [table.oid]);
  return {
    rows,
    table: {
      oid: table.oid,
      schema: table.schema,
      name: table.name,
      quoted: quoteTable({ schema: table.schema, name: table.name }),
      partitioned: table.kind === 'p',
      diskPages: Math.ceil(table.pages),
      policiesFor: table.policies ? table.role : undefined,
      columns: rows.map(toColumn),
      key: [],
    },
  };
}

const toColumn = (row: ColumnRow): Column => ({
  name: row.name,
  type: row.type,
  notNull: row.not_null,
  generated: row.generated,
  identity: row.identity,
});

export const bad = (message: string): Error => failure(ErrorType.BadOption, message);
