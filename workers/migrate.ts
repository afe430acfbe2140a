/**
 * Brings the database's schema up to date: the files of `db/migrations`, in order, each once, by node-pg-migrate.
 * Called by the `migrate` and `dev` verbs and by tests, and for migrations of one's own. Safe to run from several
 * places at once: one of them works, the others wait for it and then find nothing to do. Whether a worker's files and a
 * database's list agree says `schema.ts`.
 */
import runner from 'node-pg-migrate';
import { Client } from 'pg';
import type { Logger } from 'pino';
import { connectionString } from '../config/address';
import { checkAddress } from '../config/environment';
import { SchemaError } from '../config/errors';
import { LIST, migrationsFolder, SCHEMA } from './schema';
import { actorOf, writeAudit, type Actor } from '../activities/lib/audit';
import { sleep } from '../activities/lib/sleep';

/** Migrations beside Longwatch's. */
export interface OwnMigrations {
  /** The files `0001_what.sql`, applied in the order of their names. */
  folder: string;
  /** Notes which of them were applied. */
  table: string;
}

/** Apart from node-pg-migrate's own lock, which a user's own migrations take as well. */
const LOCK = 4_601_870_912_441;
const LOOK_AGAIN_MS = 250;
const SAY_SO_MS = 2_000;
/** A migration that takes longer, or one whose process is frozen: a person should look. */
const PATIENCE_MS = 600_000;
/** While a migration waits for a lock, all others wait behind it, workers too. */
const LOCK_TIMEOUT = '30s';

/**
 * @param via for the audit.
 * @returns the names of the migrations that were applied now.
 * @throws SchemaError that says which privilege is missing, or who keeps it waiting.
 */
export async function migrate(
  databaseUrl: string,
  log: Logger,
  own?: OwnMigrations,
  via: Actor['via'] = 'client',
): Promise<string[]> {
  checkAddress(databaseUrl);
  const client = new Client({
    connectionString: connectionString(databaseUrl),
    application_name: 'longwatch migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // It also fails the statement under way, which is where it is dealt with.
  client.on('error', (error) => log.debug({ err: error }, 'the connection was lost'));
  await client.connect();
  try {
    // A limit that the role has is for its usual statements; a migration takes as long as its tables are large.
    await client.query(`set lock_timeout = '${LOCK_TIMEOUT}'; set statement_timeout = 0`);
    await waitForOthers(client, log);
    if (!own) await prepare(client);
    const applied = await apply(client, log, own);
    if (applied.length > 0 && !own) await note(client, applied, actorOf(undefined, via), log);
    return applied;
  } catch (error) {
    throw await explained(client, error);
  } finally {
    // The lock goes with its session.
    await client.end().catch(() => undefined);
  }
}

async function apply(client: Client, log: Logger, own: OwnMigrations | undefined): Promise<string[]> {
  const applied = await runner({
    dbClient: client,
    noLock: true,
    dir: own?.folder ?? migrationsFolder(),
    direction: 'up',
    migrationsTable: own?.table ?? LIST,
    migrationsSchema: own ? undefined : SCHEMA,
    // Files of one release are numbered by the part that they belong to, so one may come before what is applied
    // already.
    checkOrder: own !== undefined,
    logger: {
      debug: (message) => log.debug(message),
      info: (message) => log.debug(message),
      warn: (message) => log.warn(message),
      // An error is thrown as well. (And it wishes for time stamps where our files have numbers, which order them
      // too.)
      error: (message) => log.debug(message),
    },
  });
  return applied.map((migration) => migration.name);
}

/** The migrations have committed by now, and their list has them: a row that cannot be written does not undo them. */
async function note(client: Client, applied: string[], by: Actor, log: Logger): Promise<void> {
  try {
    await writeAudit(client, { ...by, what: 'migrate', subject: `schema/${SCHEMA}`, after: { applied } }, 'done');
  } catch (error) {
    log.warn({ err: error }, 'the migrations are applied, and the audit does not have it');
  }
}

/**
 * Takes the lock. Asks for it again and again, since a statement that waits would hold back what the migration itself
 * may wait for.
 */
async function waitForOthers(client: Client, log: Logger): Promise<void> {
  const since = Date.now();
  for (let said = false; ;) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [LOCK]);
    if (rows[0]!.taken) return;
    const waited = Date.now() - since;
    if (waited > PATIENCE_MS) {
      throw new SchemaError(
        `another migration has been running for ${Math.round(waited / 60_000)} min${await holder(client)}`,
      );
    }
    if (!said && waited > SAY_SO_MS) {
      log.warn(`another migration is running${await holder(client)}: waiting for it`);
      said = true;
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

async function holder(client: Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; host: string | null }>(
    `select l.pid, host(a.client_addr) as host from pg_locks l left join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
       and (l.classid::bigint << 32) + l.objid::bigint = $1`,
    [LOCK],
  );
  return rows.length === 0
    ? ''
    : ` (session ${rows[0]!.pid} of PostgreSQL${rows[0]!.host ? `, from ${rows[0]!.host}` : ''})`;
}

/**
 * The schema and the list of what was applied, in it: since version 15 of PostgreSQL only a database's owner may create
 * in `public`. A list that an earlier version kept there is moved, or copied where this role does not own it.
 */
async function prepare(client: Client): Promise<void> {
  const { rows } = await client.query<{ schema: boolean; list: boolean; old: boolean }>(
    // By the catalog, which everybody may read: `to_regclass` asks for a right to the schema, and in many databases
    // nobody has one to public.
    `with seen as (select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   where c.relname in ($2, 'tracker') and n.nspname in ($1, 'public'))
     select to_regnamespace($1) is not null as schema,
            exists (select from seen where schema = $1 and name = $2) as list,
            exists (select from seen where schema = 'public' and name = $2) and exists (select from seen where schema = $1 and name = 'tracker') as old`,
    [SCHEMA, LIST],
  );
  const found = rows[0]!;
  if (!found.schema) await client.query(`create schema ${SCHEMA}`);
  if (found.list) return;
  if (found.old) {
    try {
      await client.query(`alter table public.${LIST} set schema ${SCHEMA}`);
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== '42501') throw error;
    }
  }
  const copied = found.old
    ? `; insert into ${SCHEMA}.${LIST} (name, run_on) select name, run_on from public.${LIST} order by id`
    : '';
  // Two statements in one message are one transaction.
  await client.query(
    `create table ${SCHEMA}.${LIST} (id serial primary key, name varchar(255) not null, run_on timestamp not null)${copied}`,
  );
}

/** The same error, or one line of what to do where that can be known. */
async function explained(client: Client, error: unknown): Promise<unknown> {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === '55P03') {
    return new SchemaError(
      'a table is in use: a transaction has held it for 30 s. End that one (pg_stat_activity), and run migrate again',
    );
  }
  if (code !== '42501') return error;
  const asked = await client
    .query<{ role: string; name: string; may: boolean; schema: boolean }>(
      `select quote_ident(current_user) as role, quote_ident(current_database()) as name,
              has_database_privilege(current_database(), 'CREATE') as may, to_regnamespace($1) is not null as schema`,
      [SCHEMA],
    )
    .catch(() => undefined);
  const who = asked?.rows[0];
  if (!who) return new SchemaError(`a privilege is missing: ${String(message)}`);
  const grant =
    who.schema || who.may
      ? `the schema '${SCHEMA}' belongs to another role; run migrate as that one`
      : `as the database's owner: grant create on database ${who.name} to ${who.role}`;
  return new SchemaError(`the role ${who.role} lacks a privilege (${String(message)}); ${grant}`);
}
