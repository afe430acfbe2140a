/** The example's connections to PostgreSQL: statements by name, transactions. The tables are those of `migrations/`. */
import { Pool, type PoolClient, type QueryResultRow } from 'pg';

export interface Statement {
  name: string;
  text: string;
}

/** The pool, or one connection in a transaction. */
export type Queryable = Pick<PoolClient, 'query'>;

export class Database {
  readonly pool: Pool;

  constructor(url: string, connections = 8) {
    this.pool = new Pool({
      connectionString: url,
      max: connections,
      application_name: 'blocks',
      connectionTimeoutMillis: 5_000,
      statement_timeout: 30_000,
      query_timeout: 31_000,
    });
    // A connection that breaks while idle is replaced at its next use.
    this.pool.on('error', () => undefined);
  }

  /** All or nothing. */
  async transaction<T>(work: (connection: Queryable) => Promise<T>): Promise<T> {
    const connection = await this.pool.connect();
    let broken: Error | undefined;
    const onError = (error: Error): void => void (broken = error);
    connection.on('error', onError);
    try {
      await connection.query('begin');
      const result = await work(connection);
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
    await this.pool.end();
  }
}

export async function rows<R extends QueryResultRow>(
  db: Queryable,
  { name, text }: Statement,
  values: unknown[],
): Promise<R[]> {
  return (await db.query<R>({ name, text, values })).rows;
}
