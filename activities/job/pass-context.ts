/**
 * The things that a pass has of its worker (`PassHost`, which is `node.ts`), and those that it hands to the code that
 * does its kind of work (`regen.ts`, `sweep.ts`): the tick, the fence's token, what may end it, and where it counts.
 * Made by `pass.ts`.
 */
import type { Logger } from 'pino';
import type { PassEnd } from '../../workflows/job/contract';
import type { SweepDefinition } from '../../config/define/job';
import type { JobOptions } from '../../workflows/job/options';
import { ErrorType } from '../../workflows/lib/errors';
import { failure } from '../lib/failures';
import type { Database, Queryable, Statement, TransactionOptions } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';
import type { Transactions } from '../durable/transaction';
import { tokenOf, type OpenTick } from './store/ticks';
import type { Backends } from './backends';
import type { TableFacts } from './catalog';
import type { DefinedJobs } from './defined';
import type { JobMeter, JobMetrics } from './telemetry';

/** Ends a pass before its tick has ended; the first reason counts. */
export class StopSignal {
  reason: PassEnd | undefined;
  private readonly controller = new AbortController();

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  end(reason: PassEnd): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.controller.abort(new Error(`the pass ends: ${reason}`));
  }

  /** Sleeps, or returns early when the pass is to end. */
  async sleep(ms: number): Promise<void> {
    if (ms <= 0 || this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.signal.addEventListener('abort', wake);
    });
  }
}

export interface JobDeps {
  nodeName: string;
  database: Database;
  temporal: TemporalLink;
  log: Logger;
}

/** The parts that a pass needs of the worker that it runs on (`JobNode`). */
export interface PassHost {
  readonly deps: JobDeps;
  readonly isDraining: boolean;
  readonly handlers: ReadonlyMap<string, SweepDefinition['handle']>;
  readonly defined: DefinedJobs;
  readonly metrics: JobMetrics;
  readonly effects: Transactions;
  readonly backends: Backends;
  readonly streams: number;
  /** The pass is told when the worker drains, until the function that is returned is called. */
  join(job: string, stopSignal: StopSignal): () => void;
}

/** One pass, for the code that does its kind of work. */
export interface PassContext {
  job: string;
  token: number;
  node: string;
  tick: OpenTick;
  options: JobOptions;
  /** Chunks or pages at once: what the options say, as far as this worker has connections. */
  streams: number;
  table: TableFacts;
  database: Database;
  /** How long a transaction of it waits for a lock, milliseconds. */
  lockMs: number;
  /** One that changes rows: it gives way (`beginOf`). */
  transaction: <T>(act: (db: Queryable) => Promise<T>) => Promise<T>;
  /**
   * The same for what goes over the user's table: a worker that must end can cancel it, and one lock after the other is
   * too long.
   */
  watched: <T>(act: (db: Queryable) => Promise<T>) => Promise<T>;
  stopSignal: StopSignal;
  /** Shown by `status` while the tick is open. */
  waits: (why: string) => Promise<void>;
  meter: JobMeter;
  log: Logger;
}

/** The findings of a kind of work beside its progress rows. */
export interface TickOutcome {
  /** The size of a chunk that fits, for the next tick. */
  chunkRows?: number;
  /** Nothing of the tick is left: it ends, also when the pass was asked to. */
  complete?: boolean;
  /** Rows to try again, at this time. Epoch milliseconds. */
  retryAt?: number;
  /** The tick ends, although not all of it could be done. */
  error?: string;
}

/**
 * Begins every transaction that changes rows. It does not wait for the disk: effect and progress are lost together or
 * not at all, and the end of the tick, which does wait, makes everything before it durable. A holder that freezes in
 * between lets go of its locks. It gives way: who waits for a lock for longer than `lockMs` is rolled back, and comes
 * again. Compiling a statement costs more than a chunk of it.
 */
export function beginOf(lockMs: number): TransactionOptions {
  return {
    begin: 'begin; set local synchronous_commit = off; set local jit = off',
    idleTimeoutMs: 10_000,
    lockTimeoutMs: lockMs,
  };
}

const DEADLOCK: Statement = {
  name: 'job-deadlock-timeout',
  text: `select setting::float8 as ms from pg_settings where name = 'deadlock_timeout'`,
};
const LOCK_MS = 500;

/**
 * How long a chunk waits for a lock. Half of the time after which PostgreSQL looks for deadlocks: of a chunk and a
 * player who wait for each other it is then never the player who is rolled back.
 */
export async function lockMsOf(database: Database): Promise<number> {
  const [found] = await database.rows<{ ms: number }>(DEADLOCK);
  return Math.max(1, Math.min(LOCK_MS, Math.floor(found!.ms / 2)));
}

/** After a write that found nothing to write to: is it another holder's job by now? */
export async function stillHeld({ database, job, token }: PassContext): Promise<boolean> {
  return (await database.transaction((db) => tokenOf(db, job))) === token;
}

export function fenced(job: string): Error {
  return failure(ErrorType.Fenced, `job ${job} has a newer holder`);
}
