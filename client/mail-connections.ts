/**
 * Connections for mail, beside those of all else that a program asks: their statements stay prepared, each is a
 * transaction, and one that takes long is given up soon. Made by `connections.ts`; used by `member/post.ts`.
 */
import type { QueryResultRow } from 'pg';
import type { Logger } from 'pino';
import type { Database, Queryable, Statement } from '../activities/lib/database';
import { Listener } from '../activities/lib/listener';

export class MailConnections {
  #database?: Database;
  readonly #open: () => Database;
  readonly #log: Logger;

  /** @param translate from what a statement fails with to what the caller gets */
  constructor(
    open: () => Database,
    private readonly translate: (error: unknown) => unknown,
    log: Logger,
  ) {
    this.#open = open;
    this.#log = log;
  }

  async rows<R extends QueryResultRow>(statement: Statement, values: unknown[]): Promise<R[]> {
    try {
      return await this.database().rows<R>(statement, values);
    } catch (error) {
      throw this.translate(error);
    }
  }

  /** For the functions that take what statements can be run on. */
  readonly queryable: Queryable = {
    query: async <R extends QueryResultRow>({ name = '', text, values }: Parameters<Queryable['query']>[0]) => ({
      rows: await this.rows<R>({ name, text }, values),
    }),
  };

  /** It connects again by itself. */
  listener(channel: string, heard: (payload: string | undefined) => void): Listener {
    return new Listener(this.database(), { channel, heard, log: this.#log });
  }

  async close(): Promise<void> {
    await this.#database?.close();
  }

  private database(): Database {
    return (this.#database ??= this.#open());
  }
}
