/**
 * The connection to PostgreSQL: a small pool for transactions, and one direct connection for LISTEN. Everything in
 * `store/` and `durable/` goes through `transaction` or `query`; what cannot reach the database fails as
 * StoreUnavailable, so that callers can tell an outage from a mistake.
 *
 * The pool may lead through PgBouncer in transaction mode, which is said by giving a direct address beside it. Then
 * nothing may rest on a connection's memory: statements are not prepared under their names, and all limits are set in
 * each transaction.
 */
import { Client, Pool, type ClientBase, type PoolClient, type QueryResultRow } from 'pg';
import type { Logger } from 'pino';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from './failures';
import { connectionString } from '../../config/address';
import { classOf } from './sqlstate';

/** One SQL statement, prepared once a connection under its name (unless `prepared` is false). */
export interface Statement {
  name: string;
  text: string;
}

/** Anything that statements can be run on: the pool or one connection in a transaction. */
export interface Queryable {
  query<R extends QueryResultRow>(query: { name?: string; text: string; values: unknown[] }): Promise<{ rows: R[] }>;
}

export interface DatabaseOptions {
  url: string;
  /**
   * The server's own address, where `url` is that of a pooler in transaction mode. @default url, which is the server's
   */
  directUrl?: string;
  log: Logger;
  /**
   * False: every statement is planned anew, for its values and for the tables as they are; for a caller that asks
   * seldom, of tables that grow a thousandfold in between. Always so through a pooler. @default true
   */
  prepared?: boolean;
  /** Connections at most. @default 6 */
  connections?: number;
  /** A statement that takes longer has failed, and its connection is thrown away. Milliseconds. @default 10,000 */
  statementTimeoutMs?: number;
  /**
   * A transaction that waits longer for a lock has failed: it must not wait for somebody who may never let go.
   * Milliseconds.
   * @default no limit but the statement's
   */
  lockTimeoutMs?: number;
  /**
   * The server ends a transaction whose client has not gone on for this long, and with it its locks: the client may be
   * frozen, or cut off without a word. Milliseconds. @default no limit, for transactions in which users' code runs
   */
  idleTimeoutMs?: number;
  /** How long to wait for a connection, a free one of the pool or a new one. Milliseconds. @default 3,000 */
  connectTimeoutMs?: number;
}

/** Settings of one transaction, in place of its database's. */
export interface TransactionOptions {
  /** Statements that begin it, in one round trip. @default begin */
  begin?: string;
  /** If it is longer than the database's, the client waits for as long as well. */
  statementTimeoutMs?: number;
  lockTimeoutMs?: number;
  /** 0: no limit. */
  idleTimeoutMs?: number;
}

/**
 * For Longwatch's own transactions, in which nothing but its own statements runs: whoever freezes in the middle of one
 * lets go of its locks before anybody has missed it, and nobody waits longer for a lock than others wait for him.
 */
export const OWN_LIMITS = { lockTimeoutMs: 3_000, idleTimeoutMs: 3_000 } as const;

/** For the flush of values: it waits for nobody, and what it cannot write now it writes later. */
export const VALUES_LIMITS = { statementTimeoutMs: 4_000, lockTimeoutMs: 500, idleTimeoutMs: 3_000 } as const;

/** Default of a statement's time. Milliseconds. */
const STATEMENT_MS = 10_000;
/** The server ends a statement in its time, so a client that has no answer this much later has no server. */
const ANSWER_MS = 1_000;

/**
 * A peer that does not answer for this long is gone, milliseconds: Linux would wait for minutes, and for hours while
 * nothing is sent.
 */
const PEER_GONE_MS = 6_000;

export class Database {
  private readonly connections: Pool;
  private readonly pooled: boolean;
  private readonly prepared: boolean;
  private readonly statementMs: number;

  constructor(private readonly options: DatabaseOptions) {
    const timeout = (this.statementMs = options.statementTimeoutMs ?? STATEMENT_MS);
    this.pooled = options.directUrl !== undefined && options.directUrl !== options.url;
    this.prepared = !this.pooled && (options.prepared ?? true);
    this.connections = new Pool({
      connectionString: connectionString(options.url),
      max: this.most,
      application_name: 'longwatch',
      connectionTimeoutMillis: options.connectTimeoutMs ?? 3_000,
      // PgBouncer refuses it at the start of a connection.
      statement_timeout: this.pooled ? undefined : timeout,
      // The server's own limit does not help when the server is frozen; the client's does.
      query_timeout: timeout + ANSWER_MS,
      // So that a server whose machine is gone is noticed in the middle of a long statement too; Linux would wait for
      // two hours.
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      // The same from the server's side: a client whose machine is gone holds its locks no longer. A pooler has its own
      // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool waits for it, although its types do not say so
      ...(this.pooled ? {} : { onConnect: noticeLostClient }),
    });
    // A connection that breaks while idle is replaced at its next use; without a listener Node would end the process.
    this.connections.on('error', (error) => options.log.debug({ err: error }, 'an idle database connection was lost'));
  }

  /** So many transactions go on at once: the others wait for a connection, and fail if they wait long. */
  get most(): number {
    return this.options.connections ?? 6;
  }

  /** For statements that are a transaction each by itself. */
  readonly single: Queryable = {
    query: async (query) => {
      try {
        const on: Queryable = this.prepared ? this.connections : unnamed(this.connections);
        return await on.query(query);
      } catch (error) {
        throw asOutage(error);
      }
    },
  };

  async rows<R extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<R[]> {
    return run<R>(this.single, statement, values);
  }

  /** All or nothing. `work` must use the connection it is given, and nothing else of the database. */
  async transaction<T>(work: (connection: Queryable) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    let connection: PoolClient;
    try {
      connection = await this.connections.connect();
    } catch (error) {
      throw asOutage(error);
    }
    let broken: Error | undefined;
    const onError = (error: Error) => (broken = error);
    connection.on('error', onError);
    try {
      await connection.query(this.begin(options));
      const result = await work(this.answering(this.prepared ? connection : unnamed(connection), options));
      await connection.query('commit');
      return result;
    } catch (error) {
      const outage = asOutage(error);
      if (outage !== error) broken = error as Error;
      else await connection.query('rollback').catch((failed: Error) => (broken = failed));
      // It knows a statement as it was before a table was altered, or no longer: a new one learns it anew.
      if (STALE.has((error as { code?: string }).code ?? '')) broken ??= error as Error;
      throw outage;
    } finally {
      connection.off('error', onError);
      connection.release(broken ?? false);
    }
  }

  /**
   * The beginning with its limits, in one round trip: they end with the transaction, also where a pooler lends the
   * connection on.
   */
  private begin(own: TransactionOptions): string {
    const { statementTimeoutMs, lockTimeoutMs, idleTimeoutMs } = { ...this.options, ...own };
    const parts = [own.begin ?? 'begin'];
    const limit = (name: string, ms: number) => parts.push(`set local ${name} = ${Math.round(ms)}`);
    if (this.pooled || own.statementTimeoutMs !== undefined)
      limit('statement_timeout', statementTimeoutMs ?? STATEMENT_MS);
    if (lockTimeoutMs !== undefined) limit('lock_timeout', lockTimeoutMs);
    if (idleTimeoutMs !== undefined) limit('idle_in_transaction_session_timeout', idleTimeoutMs);
    return parts.join('; ');
  }

  /** The client must not give up a statement that the server still works on, and take that for an outage. */
  private answering(connection: Queryable, { statementTimeoutMs = 0 }: TransactionOptions): Queryable {
    if (statementTimeoutMs <= this.statementMs) return connection;
    const query_timeout = statementTimeoutMs + ANSWER_MS;
    return { query: (query) => connection.query(Object.assign({ query_timeout }, query)) };
  }

  /** A connection of its own, for LISTEN. PgBouncer's transaction mode cannot serve it. */
  listener(): Client {
    return new Client({
      connectionString: connectionString(this.options.directUrl ?? this.options.url),
      application_name: 'longwatch listener',
      connectionTimeoutMillis: 3_000,
      keepAlive: true,
    });
  }

  async close(): Promise<void> {
    await this.connections.end();
  }
}

export async function run<R extends QueryResultRow>(
  connection: Queryable,
  statement: Statement,
  values: unknown[] = [],
): Promise<R[]> {
  const result = await connection.query<R>({ name: statement.name, text: statement.text, values });
  return result.rows;
}

/** Settings of the session, as far as the server's system knows them: what it does not know, it does without. */
async function noticeLostClient(client: ClientBase): Promise<void> {
  const settings = [
    `set tcp_user_timeout = ${PEER_GONE_MS}`,
    'set tcp_keepalives_idle = 5',
    'set tcp_keepalives_interval = 2',
    'set tcp_keepalives_count = 3',
  ];
  await client.query(settings.join('; ')).catch(() => undefined);
}

/** 'cached plan must not change result type', and a prepared statement that is not there. */
const STALE: ReadonlySet<string> = new Set(['0A000', '26000']);

/**
 * Plans are not kept: a pooler's next transaction may be on another server connection, which knows no statement by its
 * name.
 */
function unnamed(connection: Queryable): Queryable {
  return { query: ({ name: _name, ...query }) => connection.query(query) };
}

/**
 * The same error, or StoreUnavailable where the database could not be reached or could not work (`sqlstate.ts` has the
 * table).
 */
export function asOutage(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || isOutage(thrown) || classOf(thrown) !== 'outage') return thrown;
  return failure(ErrorType.StoreUnavailable, `PostgreSQL does not answer: ${thrown.message}`, { cause: thrown });
}

export function isOutage(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown as { type?: unknown }).type === ErrorType.StoreUnavailable;
}
