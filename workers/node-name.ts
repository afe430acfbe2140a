/**
 * A node's name is its own: two of one name would write over each other's rows, and each would take the other's pools
 * for its own. The database's session lock says who has a name that was given, so a killed worker's name is free at
 * once; a worker waits for one that is not free for a while. Each process notes its name with a greater incarnation
 * than the one before it (`store/nodes.ts`), also one that it has made up, which has random letters in it and needs no
 * lock. Made by `own-node.ts`.
 */
import { performance } from 'node:perf_hooks';
import type { Client } from 'pg';
import type { Logger } from 'pino';
import type { Database } from '../activities/lib/database';
import { Background } from '../activities/lib/service';
import { sleep } from '../activities/lib/sleep';
import {
  claimNode,
  endNode,
  holderOf,
  incarnationOf,
  type Incarnation,
  type NodeRow,
} from '../activities/tracker/store/nodes';
import { NameTakenError } from '../config/errors';

/** The first of the two numbers of a lock; hash functions may collide with a user's own locks else. */
const LOCKS_OF_NAMES = 460_187;
const LOOK_MS = 5_000;
/** A session that does not answer is given up, and another one asks. Milliseconds. */
const ANSWER_MS = 3_000;
/** A name that is not free is asked for again this much later. Milliseconds. */
const AGAIN_MS = 250;
/**
 * Twice the heartbeat timeout: a machine that is gone is noticed within the keepalives below, 6 s, and a process of the
 * rollout before has handed its pools back by then.
 */
export const DEFAULT_NODE_TIMEOUT_MS = 10_000;

export interface NodeNameSetup {
  /** The name was given, so that another process may have it as well. */
  given: boolean;
  /** How long a worker waits for a name that another process has. Milliseconds. */
  timeoutMs: number;
}

/** Takes the name at its start, and gives it back at its end. */
export class NodeName extends Background {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private claimed: Incarnation | undefined;
  /** Two that ask at once would refuse each other. */
  private asking = false;

  constructor(
    private readonly database: Database,
    private readonly row: NodeRow,
    private readonly log: Logger,
    private readonly setup: NodeNameSetup = { given: true, timeoutMs: DEFAULT_NODE_TIMEOUT_MS },
  ) {
    super();
  }

  /** Undefined before the start. */
  get incarnation(): Incarnation | undefined {
    return this.claimed;
  }

  /** @throws NameTakenError with host and process of who has it. */
  protected async open(): Promise<void> {
    if (this.setup.given) {
      this.client = await this.waitFor();
      if (!this.client) return;
      this.watch(this.client);
    }
    await this.claim();
    if (!this.setup.given) return;
    this.timer = setInterval(() => void this.takeAgain(), LOOK_MS);
    this.timer.unref();
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    const { claimed, row } = this;
    // The node has said so itself, unless it never started: that is not a crash.
    if (claimed) await this.database.transaction((db) => endNode(db, row.name, claimed.number)).catch(() => undefined);
    await this.client?.end().catch(() => undefined);
  }

  /** Undefined: the worker is to end before the name is free. */
  private async waitFor(): Promise<Client | undefined> {
    const { database, row, log, setup } = this;
    const until = performance.now() + setup.timeoutMs;
    for (let told = false; !this.isStopping; told = true) {
      const client = await take(database, row.name);
      if (client) return client;
      const holder = await database.transaction((db) => holderOf(db, row.name));
      if (performance.now() >= until) throw new NameTakenError(row.name, holder);
      if (!told)
        log.info({ ...holder, forMs: setup.timeoutMs }, `another worker has the name ${row.name}; waiting for it`);
      await sleep(Math.min(AGAIN_MS, Math.max(1, until - performance.now())));
    }
    return undefined;
  }

  private async claim(): Promise<void> {
    this.claimed = await this.database.transaction((db) => claimNode(db, this.row));
  }

  /** Asks for the name again, if the session was lost. */
  private async takeAgain(): Promise<void> {
    if (this.client || this.asking) return;
    this.asking = true;
    try {
      const { row, database } = this;
      const taken = await take(database, row.name);
      if (!taken) this.log.error(`another worker has taken the name ${row.name}: end one of the two`);
      else if (this.isStopping) await taken.end().catch(() => undefined);
      else {
        this.watch((this.client = taken));
        // Another process may have had it and ended meanwhile: its row is newer than ours.
        const now = await database.transaction((db) => incarnationOf(db, row.name));
        if (now !== undefined && now > (this.claimed?.number ?? 0)) await this.claim();
      }
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

/** A session that has the name; undefined: another one has it. */
async function take(database: Database, name: string): Promise<Client | undefined> {
  const client = database.listener();
  client.on('error', () => undefined);
  await client.connect();
  try {
    // So that the server gives the name free soon after the machine of its holder is gone.
    await client.query(
      answered('set tcp_keepalives_idle = 3; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3'),
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
