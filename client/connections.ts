/**
 * The client's two connections, each made when first needed: what only reads PostgreSQL works while Temporal is away.
 * Every failure leaves as one of `errors.ts`. Made by `connect()`; used by `tracker.ts`, `roster.ts` and `status.ts`.
 */
import type { Client } from '@temporalio/client';
import pino, { type Logger } from 'pino';
import type { QueryResultRow } from 'pg';
import { Database, isOutage, type Queryable, type Statement } from '../activities/store/database';
import { redactUrl, requireDatabase, type Environment } from '../workers/config/environment';
import { TASK_QUEUE } from '../workflows/tracker/contract';
import { DatabaseNotMigratedError, DatabaseUnavailableError, LongwatchError, TemporalUnavailableError } from './errors';
import { connectTemporal, isUnreachable } from './temporal-client';

/** How long a request to Temporal may take. Milliseconds. */
const REQUEST_MS = 10_000;
/** Counting a million members takes a second or two; a statement that takes this long has hung. */
const STATEMENT_MS = 60_000;

export class Connections {
  private connecting?: Promise<Client>;
  private database?: Database;

  constructor(
    readonly environment: Environment,
    private readonly log: Logger = pino({ level: 'silent' }),
  ) {}

  // ── PostgreSQL ──

  async rows<R extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<R[]> {
    try {
      return await this.store().rows<R>(statement, values);
    } catch (error) {
      throw this.databaseError(error);
    }
  }

  /** Several statements on one connection, all or nothing. */
  async transaction<T>(work: (db: Queryable) => Promise<T>): Promise<T> {
    try {
      return await this.store().transaction(work);
    } catch (error) {
      throw this.databaseError(error);
    }
  }

  /** Calls `onNotice` at each announcement on a channel, until the returned function is called. */
  async listen(channel: string, onNotice: () => void): Promise<() => Promise<void>> {
    const listener = this.store().listener();
    listener.on('notification', onNotice);
    // A lost listener costs nothing but time: who waits also looks by himself.
    listener.on('error', (error) => this.log.debug({ err: error }, 'the listening connection was lost'));
    try {
      await listener.connect();
      await listener.query(`listen ${channel}`);
    } catch (error) {
      await listener.end().catch(() => undefined);
      throw this.databaseError(error);
    }
    return () => listener.end().catch(() => undefined);
  }

  private store(): Database {
    this.database ??= new Database({
      url: requireDatabase(this.environment),
      log: this.log,
      connections: 3,
      statementTimeoutMs: STATEMENT_MS,
    });
    return this.database;
  }

  private databaseError(error: unknown): unknown {
    if (error instanceof LongwatchError) return error;
    const address = this.environment.databaseUrl ? redactUrl(this.environment.databaseUrl) : 'an unknown address';
    const code = (error as { code?: unknown }).code;
    // Undefined table, column, function or schema.
    if (code === '42P01' || code === '42703' || code === '42883' || code === '3F000') {
      return new DatabaseNotMigratedError(address, error);
    }
    // Wrong password or role, or no such database.
    const refused = typeof code === 'string' && /^(28|3D)/.test(code);
    if (isOutage(error) || refused || isNetworkError(error)) {
      return new DatabaseUnavailableError(address, outageText(error), error);
    }
    return error;
  }

  // ── Temporal ──

  /**
   * Runs requests against Temporal, all of them within `withinMs`.
   * @param done what the message of a failure says was done so far.
   * @throws TemporalUnavailableError when the server cannot be reached; the SDK's errors otherwise.
   */
  async temporal<T>(
    request: (client: Client) => Promise<T>,
    options: { withinMs?: number; done?: () => string } = {},
  ): Promise<T> {
    const { address } = this.environment.temporal;
    try {
      const client = await this.client();
      return await client.withDeadline(Date.now() + (options.withinMs ?? REQUEST_MS), () => request(client));
    } catch (error) {
      if (isUnreachable(error)) throw new TemporalUnavailableError(address, options.done?.(), error);
      throw error;
    }
  }

  /** Whether any worker has asked for work lately. True when that cannot be told. @throws TemporalUnavailableError */
  async workersPoll(): Promise<boolean> {
    try {
      return await this.temporal(async ({ workflowService }) => {
        const { pollers } = await workflowService.describeTaskQueue({
          namespace: this.environment.temporal.namespace,
          taskQueue: { name: TASK_QUEUE },
          taskQueueType: 1,
        });
        // The server remembers a poller for five minutes; a live one asks again at least once a minute.
        const latest = Math.max(0, ...pollers.map((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000));
        return Date.now() - latest < 70_000;
      });
    } catch (error) {
      if (error instanceof TemporalUnavailableError) throw error;
      return true;
    }
  }

  private client(): Promise<Client> {
    if (!this.connecting) {
      this.connecting = connectTemporal(this.environment.temporal);
      // The next caller tries again.
      this.connecting.catch(() => (this.connecting = undefined));
    }
    return this.connecting;
  }

  async close(): Promise<void> {
    const client = await this.connecting?.catch(() => undefined);
    await Promise.all([client?.connection.close(), this.database?.close()]);
  }
}

function isNetworkError(error: unknown): boolean {
  return /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)/.test(String((error as { code?: unknown }).code));
}

/** What went wrong, in a few words: several addresses of one name fail with one message each and none of their own. */
function outageText(error: unknown): string {
  const message = error instanceof Error ? error.message.replace(/^PostgreSQL does not answer: ?/, '') : String(error);
  if (message !== '') return message;
  const inner = error instanceof Error && error.cause instanceof AggregateError ? error.cause.errors : [];
  return inner[0] instanceof Error ? inner[0].message : 'it does not answer';
}
