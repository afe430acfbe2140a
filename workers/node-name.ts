/**
 * A node's name is its own: two of one name would write over each other's counters, and each would take the other's
 * pools for its own. The database's session lock says who has it, so a killed worker's name is free at once. Only names
 * that were given are held so; those that a worker makes up have random letters in them. Made by `parts.ts`.
 */
import type { Client } from 'pg';
import type { Logger } from 'pino';
import type { Database } from '../activities/lib/database';
import { Background } from '../activities/lib/service';
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

/** Takes the name at its start, and gives it back at its end. */
export class NodeName extends Background {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** Two that ask at once would refuse each other. */
  private asking = false;

  constructor(
    private readonly database: Database,
    private readonly claim: NodeClaim,
    private readonly log: Logger,
  ) {
    super();
  }

  /** @throws NameTakenError with host and process of who has it. */
  protected async open(): Promise<void> {
    const { database, claim } = this;
    this.client = await take(database, claim);
    if (!this.client) throw new NameTakenError(claim.name, await holderOf(database, claim.name));
    this.watch(this.client);
    await noteClaim(database, claim);
    this.timer = setInterval(() => void this.takeAgain(), LOOK_MS);
    this.timer.unref();
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    await this.client?.end().catch(() => undefined);
  }

  /** Asks for the name again, if the session was lost. */
  private async takeAgain(): Promise<void> {
    if (this.client || this.asking) return;
    this.asking = true;
    try {
      const taken = await take(this.database, this.claim);
      if (!taken) this.log.error(`another worker has taken the name ${this.claim.name}: end one of the two`);
      else if (this.isStopping) await taken.end().catch(() => undefined);
      else this.watch((this.client = taken));
    } catch {
      // The database is away; it is asked again.
    } finally {
      this.asking = false;
    }
  }

  private watch(connection: Client): void {
    connection.once('end', () => {
      if (this.client === connection) this.client = undefined;
    });
  }
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
