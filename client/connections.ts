/**
 * The client's connections, each made when first needed: what only reads PostgreSQL works while Temporal is away. Rows
 * that are only shown may come from a replica (`read`); rows that decide a change are read where they are written
 * (`rows`). Every failure leaves as one of `errors.ts`. Made by `connect()`; used by the handles and by `status.ts`.
 */
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import pino, { type Logger } from 'pino';
import type { QueryResultRow } from 'pg';
import { Database, type Queryable, type Statement } from '../activities/lib/database';
import type { Actor } from '../activities/lib/audit';
import { requireDatabase, shownEnvironment, type Environment, type ShownEnvironment } from '../config/environment';
import type { AnyBuffer } from '../config/define/buffer';
import type * as deployment from '../activities/lib/deployment';
import { ourLog } from '../activities/lib/log';
import { isDoneWithin } from '../activities/lib/sleep';
import { ForeignNamespaceError, ReplicaUnavailableError, TemporalUnavailableError } from './errors';
import { MailConnections } from './mail-connections';
import { databaseError } from './outages';
import type { KnownDefinition } from './tracker/decode';
import { connectTemporal, isUnreachable } from './temporal-client';
import { UnderWay } from './under-way';
import { WorkersEncoding } from './workers-encoding';
import { TASK_QUEUE } from '../workflows/lib/contract';

/** To PostgreSQL, where nothing else is said. */
const CONNECTIONS = 3;
/** How long a request to Temporal may take. Milliseconds. */
const REQUEST_MS = 10_000;
/** So long the end waits for requests to Temporal; they end by themselves, at their time-outs. Milliseconds. */
const CLOSE_MS = 2_000;
/** Counting a million members takes a second or two; a statement that takes this long has hung. */
const STATEMENT_MS = 60_000;
/**
 * A process that freezes in the middle of a command lets go of its locks before it keeps a node from saying that it
 * lives.
 */
const COMMAND_LIMITS = { lockTimeoutMs: 3_000, idleTimeoutMs: 2_000 };
/** A batch of mail that takes longer is written again. Milliseconds. */
const MAIL_MS = 5_000;
/** The kinds of task queue, by the server's numbers. */
const WORKFLOWS = 1;
const ACTIVITIES = 2;
/** So often a replica may end the same statement for what it replays before that is an error. */
const REPLAY_CONFLICTS = 3;

/** The things that are opened when first needed, by whoever needs them first. */
interface Opened {
  connecting?: Promise<Client>;
  database?: Database;
  replica?: Database;
  readonly encoding: WorkersEncoding;
  readonly requests: UnderWay;
}

export class Connections {
  // Private to the language too: whoever prints a handle, to see what it is, must not print addresses with passwords in
  // them.
  readonly #environment: Environment;
  readonly #log: Logger;
  readonly #converter?: DataConverter;
  #opened: Opened;
  /** The one that it shares them with, and that closes them. */
  #of?: Connections;
  readonly mail: MailConnections;

  constructor(
    environment: Environment,
    /** The person or program whose commands go by it. */ readonly actor: Actor,
    log: Logger = pino({ level: 'silent' }),
    converter?: DataConverter,
    /** To PostgreSQL, and as many to a replica. */ private readonly most = CONNECTIONS,
    /** Trackers whose code is known here. */ readonly definitions = new Map<string, KnownDefinition>(),
    /** Buffers whose code is known here. */ readonly buffers = new Map<string, AnyBuffer>(),
  ) {
    this.#converter = converter;
    this.#environment = environment;
    this.#log = ourLog(log);
    const translate = (error: unknown): unknown => this.databaseError(error);
    this.#opened = {
      encoding: new WorkersEncoding(converter, () => this.store(), translate),
      requests: new UnderWay(),
    };
    this.mail = new MailConnections(() => this.openForMail(), translate, this.#log);
  }

  get log(): Logger {
    return this.#log;
  }

  /** The same connections for the commands of somebody else. They are closed by the one that opened them. */
  as(actor: Actor): Connections {
    const known = [this.most, this.definitions, this.buffers] as const;
    const other = new Connections(this.#environment, actor, this.#log, this.#converter, ...known);
    other.#opened = this.#opened;
    other.#of = this.#of ?? this;
    return other;
  }

  /** The servers that they lead to, without passwords and keys. */
  get shown(): ShownEnvironment {
    return shownEnvironment(this.#environment);
  }

  // ── PostgreSQL ──

  async rows<R extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<R[]> {
    try {
      return await this.store().rows<R>(statement, values);
    } catch (error) {
      throw this.databaseError(error);
    }
  }

  /** A change of more than one statement: all or nothing. */
  async transaction<T>(work: (db: Queryable) => Promise<T>): Promise<T> {
    try {
      return await this.store().transaction(work, COMMAND_LIMITS);
    } catch (error) {
      throw this.databaseError(error);
    }
  }

  get readsReplica(): boolean {
    return this.#environment.readDatabaseUrl !== undefined;
  }

  /**
   * For what is only shown: from the replica, where there is one (READ_DATABASE_URL). It may be behind, and it may have
   * to end a statement that is in the way of what it replays; then it is asked again.
   */
  read<R extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<R[]> {
    return this.look((database) => database.rows<R>(statement, values));
  }

  /** Several statements that change nothing, in one transaction; as `read`. */
  readTransaction<T>(work: (db: Queryable) => Promise<T>): Promise<T> {
    return this.look((database) => database.transaction(work));
  }

  private async look<T>(work: (database: Database) => Promise<T>): Promise<T> {
    const replica = this.readsReplica;
    for (let left = replica ? REPLAY_CONFLICTS : 0; ; left--) {
      try {
        return await work(replica ? this.replicaStore() : this.store());
      } catch (error) {
        if ((error as { code?: unknown }).code === '40001' && left > 0) continue;
        throw replica ? this.replicaError(error) : this.databaseError(error);
      }
    }
  }

  /** Calls `onNotice` at each announcement on a channel, until the returned function is called. */
  async listen(channel: string, onNotice: () => void): Promise<() => Promise<void>> {
    const listener = this.store().listener();
    listener.on('notification', onNotice);
    // A lost listener costs nothing but time: who waits also looks by himself.
    listener.on('error', (error) => this.#log.debug({ err: error }, 'the listening connection was lost'));
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
    this.#opened.database ??= this.open(requireDatabase(this.#environment), this.#environment.directDatabaseUrl);
    return this.#opened.database;
  }

  private replicaStore(): Database {
    requireDatabase(this.#environment);
    const { readDatabaseUrl, directDatabaseUrl } = this.#environment;
    // If there is a pooler before the primary, there may be one before the replica too.
    this.#opened.replica ??= this.open(readDatabaseUrl!, directDatabaseUrl);
    return this.#opened.replica;
  }

  private openForMail(): Database {
    const { directDatabaseUrl: directUrl } = this.#environment;
    const own = { connections: 4, statementTimeoutMs: MAIL_MS, lockTimeoutMs: MAIL_MS };
    return new Database({ url: requireDatabase(this.#environment), directUrl, log: this.#log, ...own });
  }

  private open(url: string, directUrl: string | undefined): Database {
    return new Database({
      url,
      directUrl,
      log: this.#log,
      prepared: false,
      connections: this.most,
      statementTimeoutMs: STATEMENT_MS,
    });
  }

  private databaseError(error: unknown): unknown {
    return databaseError(error, this.#environment.databaseUrl);
  }

  private replicaError(error: unknown): unknown {
    return databaseError(error, this.#environment.readDatabaseUrl, ReplicaUnavailableError);
  }

  // ── Temporal ──

  /**
   * Runs requests that write something to Temporal, all of them within `withinMs`.
   * @param done what the message of a failure says was done so far.
   * @throws EncodingMismatchError before anything is sent; else as `ask`.
   */
  async temporal<T>(
    request: (client: Client) => Promise<T>,
    options: { withinMs?: number; done?: () => string } = {},
  ): Promise<T> {
    await this.mayWrite();
    return this.ask(request, options);
  }

  /**
   * Whether what is written here is what the workers write, as they have noted it, five seconds ago at most. Also asked
   * by who changes something in the database before it is sent.
   * @throws EncodingMismatchError, or what the database fails with.
   */
  mayWrite(): Promise<void> {
    return this.#opened.encoding.check();
  }

  /**
   * Runs requests that write nothing of ours, or only through `temporal`.
   * @throws TemporalUnavailableError when the server cannot be reached; the SDK's errors otherwise.
   */
  async ask<T>(
    request: (client: Client) => Promise<T>,
    options: { withinMs?: number; done?: () => string } = {},
  ): Promise<T> {
    const { address } = this.#environment.temporal;
    try {
      const client = await this.client();
      const asked = client.withDeadline(Date.now() + (options.withinMs ?? REQUEST_MS), () => request(client));
      return await this.#opened.requests.track(asked);
    } catch (error) {
      if (isUnreachable(error)) throw new TemporalUnavailableError(address, options.done?.(), error);
      throw error;
    }
  }

  /**
   * Before something is started: workers of another database would open it in theirs.
   * @throws ForeignNamespaceError, TemporalUnavailableError, or what the database fails with.
   */
  async ownNamespace(): Promise<void> {
    const { namespace } = this.#environment.temporal;
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- loads Temporal's client, as the request after it does
    const { foreignMessage, namespaceIsForeign } = require('../activities/lib/deployment') as typeof deployment;
    try {
      const foreign = await this.ask((client) => namespaceIsForeign(this.store(), client.connection, namespace));
      if (foreign) throw new ForeignNamespaceError(foreignMessage(namespace));
    } catch (error) {
      // A role that may not look at it is still one of this database.
      if ((error as { code?: unknown }).code === '42501') return;
      throw this.databaseError(error);
    }
  }

  /** Whether any worker has asked for work lately. True when that cannot be told. @throws TemporalUnavailableError */
  async workersPoll(): Promise<boolean> {
    try {
      return await this.isPolled(TASK_QUEUE, WORKFLOWS);
    } catch (error) {
      if (error instanceof TemporalUnavailableError) throw error;
      return true;
    }
  }

  /** Whether any worker has asked for work of a task queue in the last minute. @throws whatever kept it from knowing */
  isPolled(queue: string, kind: number = ACTIVITIES): Promise<boolean> {
    return this.ask(async ({ workflowService }) => {
      const { pollers } = await workflowService.describeTaskQueue({
        namespace: this.#environment.temporal.namespace,
        taskQueue: { name: queue },
        taskQueueType: kind,
      });
      // The server remembers a poller for five minutes; a live one asks again at least once a minute.
      const latest = Math.max(0, ...pollers.map((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000));
      return Date.now() - latest < 70_000;
    });
  }

  private client(): Promise<Client> {
    const opened = this.#opened;
    if (!opened.connecting) {
      opened.connecting = connectTemporal(this.#environment.temporal, this.#converter);
      // The next caller tries again.
      opened.connecting.catch(() => (opened.connecting = undefined));
    }
    return opened.connecting;
  }

  async close(): Promise<void> {
    if (this.#of) return;
    const { connecting, database, replica, requests } = this.#opened;
    const client = await connecting?.catch(() => undefined);
    const ended = requests.idle().then(() => client?.connection.close());
    await Promise.all([isDoneWithin(CLOSE_MS, ended), database?.close(), replica?.close(), this.mail.close()]);
  }
}
