/**
 * Brings the database's schema up to date: the files of `db/migrations`, in order, each once, by node-pg-migrate. Called by
 * the `migrate` and `dev` verbs and by tests, and for migrations of one's own. Safe to run from several places at once (an
 * advisory lock), and again.
 */
import path from 'node:path';
import runner from 'node-pg-migrate';
import type { Logger } from 'pino';
import { connectionString } from '../activities/store/address';

/** Migrations beside Longwatch's. */
export interface OwnMigrations {
  /** Of files `0001_what.sql`, applied in the order of their names. */
  folder: string;
  /** Notes which of them were applied. */
  table: string;
}

/** @returns the names of the migrations that were applied now. */
export async function migrate(databaseUrl: string, log: Logger, own?: OwnMigrations): Promise<string[]> {
  const applied = await runner({
    databaseUrl: connectionString(databaseUrl),
    dir: own?.folder ?? migrationsFolder(),
    direction: 'up',
    migrationsTable: own?.table ?? 'longwatch_migrations',
    checkOrder: true,
    logger: {
      debug: (message) => log.debug(message),
      info: (message) => log.debug(message),
      warn: (message) => log.warn(message),
      // It wishes for time stamps where our files have numbers, which order them as well.
      error: (message) => (/^Can't determine timestamp/.test(message) ? log.debug(message) : log.error(message)),
    },
  });
  return applied.map((migration) => migration.name);
}

/** From `dist/workers` and from `workers` alike. */
function migrationsFolder(): string {
  const root =
    path.basename(path.dirname(__dirname)) === 'dist' ? path.join(__dirname, '..', '..') : path.join(__dirname, '..');
  return path.join(root, 'db', 'migrations');
}
