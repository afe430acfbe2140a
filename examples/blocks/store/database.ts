/**
 * The example's connections to PostgreSQL: statements by name, transactions. The tables are those of `migrations/`.
 *
 * Through a pooler in transaction mode, as PgBouncer, nothing may rest on a connection's memory: statements are not
 * named, and the time limit, which it refuses at a connection's start, is set in each transaction.
 */
import { Pool, type PoolClient, type QueryResultRow } from 'pg';

export interface Statement {
  name: string;
  text: string;
}

/** The pool, or one connection in a transaction. */
export type Queryable = Pick<PoolClient, 'query'>;

export interface DatabaseOptions {
  /** @default 8 */
  connections?: number;
  /** The address is that of a pooler in transaction mode. @default false */
  pooled?: boolean;
}

const TIMEOUT_MS = 30_000;

export class Database {
  /** For statements outside of a transaction. */
  readonly pool: Queryable;
  private readonly connections: Pool;
  private readonly pooled: boolean;

  constructor(url: string, { connections = 8, pooled = false }: DatabaseOptions = {}) {
    this.pooled = pooled;
    this.connections = new Pool({
      connectionString: url,
      max: connections,
      application_name: 'blocks',
      connectionTimeoutMillis: 5_000,
      statement_timeout: pooled ? undefined : TIMEOUT_MS,
      query_timeout: TIMEOUT_MS + 1_000,
    });
    // A connection that breaks while idle is replaced at its next use.
    this.connections.on('error', () => undefined);
    this.pool = this.without(this.connections);
  }

  /** All or nothing. */
  async transaction<T>(work: (connection: Queryable) => Promise<T>): Promise<T> {
    const connection = await this.connections.connect();
    let broken: Error | undefined;
    const onError = (error: Error): void => void (broken = error);
    connection.on('error', onError);
    try {
      await connection.query(this.pooled ? `begin; set local statement_timeout = ${TIMEOUT_MS}` : 'begin');
      const result = await work(this.without(connection));
      await connection.query('commit');
      return result;
    } catch (error) {
      await connection.query('rollback').catch((failed: Error) => (broken = failed));
      throw error;
    } finally {
      connection.off('error', onError);
      connection.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.connections.end();
  }

  /**
   * Through a pooler a statement's name is left out: the next one may run on another connection, which does not know
   * it.
   */
  private without(db: Queryable): Queryable {
    if (!this.pooled) return db;
    const query = (given: { name?: string }, ...more: unknown[]): unknown => {
      if (given.name !== undefined) given = { ...given, name: undefined };
      return (db.query as (...all: unknown[]) => unknown).call(db, given, ...more);
    };
    return { query: query as Queryable['query'] };
  }
}

export async function rows<R extends QueryResultRow>(
  db: Queryable,
  { name, text }: Statement,
  values: unknown[],
): Promise<R[]> {
  return (await db.query<R>({ name, text, values })).rows;
}
