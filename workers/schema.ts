/**
 * Whether a worker and the database's schema are of one version: the files of `db/migrations` against the list in the
 * database. Asked before a worker takes any task, and by `/readyz`. A worker that is newer than the schema would fail
 * in each activity; one that is older would write what the schema no longer means.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { SchemaError } from '../config/errors';
import type { Statement } from '../activities/lib/database';

export const SCHEMA = 'longwatch';
/** Has a row for each migration that was applied. */
export const LIST = 'longwatch_migrations';

const APPLIED: Statement = { name: 'schema-applied', text: `select name from ${SCHEMA}.${LIST}` };

/** The part of a database that is used here. */
interface Rows {
  rows<R extends { name: string }>(statement: Statement): Promise<R[]>;
}

/** @returns one line that says what to do; undefined when they fit. */
export async function schemaProblem(
  database: Rows,
  files: readonly string[] = migrations(),
): Promise<string | undefined> {
  let applied: Set<string>;
  try {
    applied = new Set((await database.rows<{ name: string }>(APPLIED)).map(({ name }) => name));
  } catch (error) {
    const { code } = error as { code?: unknown };
    // No such table or schema: never migrated, or by a version that kept the list elsewhere.
    if (code === '42P01' || code === '3F000') {
      return 'the database has no (or an old) Longwatch schema; bring it up to date: npx longwatch migrate';
    }
    if (code === '42501') return `this role may not read ${SCHEMA}.${LIST}; see the roles in docs/security.md`;
    throw error;
  }
  const missing = files.filter((name) => !applied.has(name));
  if (missing.length > 0) {
    return `the database's schema is older than this worker (without ${some(missing)}); bring it up to date: npx longwatch migrate`;
  }
  const unknown = [...applied].filter((name) => !files.includes(name)).sort();
  if (unknown.length > 0) {
    return `the database's schema is newer than this worker (it has ${some(unknown)}); upgrade the worker to the version that migrated it`;
  }
  return undefined;
}

const some = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');

/** @throws SchemaError, which says what to do. */
export async function checkSchema(database: Rows): Promise<void> {
  const problem = await schemaProblem(database);
  if (problem !== undefined) throw new SchemaError(problem);
}

/** Their names, as they stand in the list. */
export function migrations(): string[] {
  return readdirSync(migrationsFolder())
    .filter((file) => file.endsWith('.sql'))
    .map((file) => path.basename(file, '.sql'))
    .sort();
}

/** From `dist/workers` and from `workers` alike. */
export function migrationsFolder(): string {
  const root =
    path.basename(path.dirname(__dirname)) === 'dist' ? path.join(__dirname, '..', '..') : path.join(__dirname, '..');
  return path.join(root, 'db', 'migrations');
}
