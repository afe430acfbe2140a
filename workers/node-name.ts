/**
 * A node's name is its own: two of one name would write over each other's counters, and each would take the other's
 * pools for its own. The database's session lock says who has it, so a killed worker's name is free at once. Only names
 * that were given are held so; those that a worker makes up have random letters in them. Called by `worker.ts`.
 */
import type { Client } from 'pg';
import type { Logger } from 'pino';
import type { Database } from '../activities/lib/database';
import { NameTakenError } from '../config/errors';

/** The first of the two numbers of a lock; hash functions may collide with a user's own locks else. */
const LOCKS_OF_NAMES = 460_187;
const LOOK_MS = 5_000;
/** A session that does not answer is given up, and another one asks. Milliseconds. */
const ANSWER_MS = 3_000;

export interface NodeClaim {
  name: string;
  host: string;
  pid: number;
}

/** @returns what gives the name back. @throws NameTakenError with host and process of who has it. */
export async function claimName(database: Database, claim: NodeClaim, log: Logger): Promise<() => Promise<void>> {
  let client = await take(database, claim);
  if (!client) throw new NameTakenError(claim.name, await holderOf(database, claim.name));
  try {
    await noteClaim(database, claim);
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  let closed = false;
  // Two that ask at once would refuse each other.
  let asking = false;
  const again = setInterval(() => {
    if (client || asking) return;
    asking = true;
    take(database, claim)
      .then(
        (taken) => {
          if (!taken) return log.error(`another worker has taken the name ${claim.name}: end one of the two`);
          if (closed) return void taken.end().catch(() => undefined);
          client = taken;
          watch(taken);
        },
        // The database is away; it is asked again.
        () => undefined,
      )
      .finally(() => (asking = false));
  }, LOOK_MS);
  again.unref();
  const watch = (connection: Client): void => {
    connection.once('end', () => {
      if (client === connection) client = undefined;
    });
  };
  watch(client);
  return async () => {
    closed = true;
    clearInterval(again);
    await client?.end().catch(() => undefined);
  };
}

async function take(database: Database, { name }: NodeClaim): Promise<Client | undefined> {
  const client = database.listener();
  client.on('error', () => undefined);
  await client.connect();
  try {
    // So that the server gives the name free soon after the machine of its holder is gone.
    await client.query(
      answered('set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3'),
    );
    const asked = await client.query<{ taken: boolean }>(
      answered('select pg_try_advisory_lock($1, hashtext($2)) as taken', [LOCKS_OF_NAMES, name]),
    );
    if (asked.rows[0]!.taken) return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  await client.end().catch(() => undefined);
  return undefined;
}

/** `pg` reads it, its types do not know it. */
const answered = (text: string, values?: unknown[]) => ({ text, values, query_timeout: ANSWER_MS });

const CLAIM = {
  name: 'node-claim',
  text: `insert into longwatch.node (name, host, pid) values ($1, $2, $3)
         on conflict (name) do update set host = excluded.host, pid = excluded.pid, started_at = now(), seen_at = now(), ended_at = null`,
};
const HOLDER = { name: 'node-holder', text: `select host, pid from longwatch.node where name = $1` };

const noteClaim = (database: Database, { name, host, pid }: NodeClaim) => database.rows(CLAIM, [name, host, pid]);

async function holderOf(database: Database, name: string): Promise<{ host: string; pid: number } | undefined> {
  return (await database.rows<{ host: string; pid: number }>(HOLDER, [name]))[0];
}
