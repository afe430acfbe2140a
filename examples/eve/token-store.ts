/**
 * The store of refresh tokens. Each one can be used once only, so a change is made while nobody else (no other worker
 * either) can make one, and is on disk before anybody uses what it brought. Used by `tokens.ts`.
 */
import { Pool, type PoolClient } from 'pg';

export interface StoredToken {
  refreshToken: string;
  accessToken: string;
  /** Until when the access token may be used, epoch milliseconds: a little before its end. */
  freshUntil: number;
  /** How often in a row the login server refused the refresh token. */
  refusals: number;
}

export interface TokenStore {
  /**
   * Calls `change` with what is stored for a character and keeps what it returns; returned means kept. `lane` (0 to 4)
   * is a place among those that may talk to the login server at once.
   */
  change(
    id: string,
    lane: number,
    change: (stored: StoredToken | undefined) => Promise<StoredToken>,
  ): Promise<StoredToken>;
  close(): Promise<void>;
}

/** For tests, and where there is no database. */
export class MemoryTokenStore implements TokenStore {
  readonly tokens = new Map<string, StoredToken>();

  async change(
    id: string,
    _lane: number,
    change: (stored: StoredToken | undefined) => Promise<StoredToken>,
  ): Promise<StoredToken> {
    const changed = await change(this.tokens.get(id));
    this.tokens.set(id, changed);
    return changed;
  }

  async close(): Promise<void> {}
}

interface Row {
  refresh_token: string;
  access_token: string;
  fresh_until: Date;
  refusals: number;
}

/** Any number, the same in every worker: the space of our advisory locks. */
const LOCK_SPACE = 0x45564500;
const SCHEMA_LOCK = 99;

/** The example's own table `eve.token`, made when first needed. */
export class PostgresTokenStore implements TokenStore {
  private readonly pool: Pool;
  private ready: Promise<void> | undefined;

  constructor(databaseUrl: string, onError: (error: Error) => void = () => undefined) {
    this.pool = new Pool({ connectionString: databaseUrl, max: 5, application_name: 'longwatch eve tokens' });
    // An idle connection that breaks is replaced at the next use.
    this.pool.on('error', onError);
  }

  async change(
    id: string,
    lane: number,
    change: (stored: StoredToken | undefined) => Promise<StoredToken>,
  ): Promise<StoredToken> {
    this.ready ??= this.transaction((client) => createTable(client)).catch((error: unknown) => {
      this.ready = undefined;
      throw error;
    });
    await this.ready;
    return this.transaction(async (client) => {
      // One lane is held by one worker at a time: five lanes are five refreshes, over all workers.
      await client.query('SELECT pg_advisory_xact_lock($1, $2)', [LOCK_SPACE, lane]);
      // The character's own lock, for the first time there is no row to lock.
      await client.query("SELECT pg_advisory_xact_lock(hashtextextended('eve.token ' || $1, 0))", [id]);
      const { rows } = await client.query<Row>(
        'SELECT refresh_token, access_token, fresh_until, refusals FROM eve.token WHERE character_id = $1',
        [id],
      );
      const row = rows[0];
      const changed = await change(row && fromRow(row));
      await client.query(
        `INSERT INTO eve.token (character_id, refresh_token, access_token, fresh_until, refusals)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (character_id) DO UPDATE SET refresh_token = excluded.refresh_token,
           access_token = excluded.access_token, fresh_until = excluded.fresh_until, refusals = excluded.refusals`,
        [id, changed.refreshToken, changed.accessToken, new Date(changed.freshUntil), changed.refusals],
      );
      return changed;
    });
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken);
    }
  }
}

async function createTable(client: PoolClient): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1, $2)', [LOCK_SPACE, SCHEMA_LOCK]);
  await client.query('CREATE SCHEMA IF NOT EXISTS eve');
  await client.query(
    `CREATE TABLE IF NOT EXISTS eve.token (
       character_id bigint PRIMARY KEY,
       refresh_token text NOT NULL,
       access_token text NOT NULL DEFAULT '',
       fresh_until timestamptz NOT NULL DEFAULT '-infinity',
       refusals integer NOT NULL DEFAULT 0
     )`,
  );
}

function fromRow(row: Row): StoredToken {
  // A row typed in by hand has no access token yet; its time is then the number -Infinity.
  const freshUntil = row.fresh_until instanceof Date ? row.fresh_until.getTime() : 0;
  return { refreshToken: row.refresh_token, accessToken: row.access_token, freshUntil, refusals: row.refusals };
}
