/**
 * The transaction of an effect: opened by its first statement, and ended by Longwatch, which settles the task in it
 * before the commit. So effect and stored result are there together or not at all. Made by `execute.ts`, once an
 * attempt.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { asOutage, isOutage, type Database, type Queryable, type TransactionOptions } from '../lib/database';
import { isPassing } from '../lib/sqlstate';
import { refuseEnded, refuseNotYours } from './not-yours';
import type { Transaction } from '../../config/define/transaction';

/** pg's own connection says more than {@link Queryable}. */
interface Connection extends Queryable {
  query<R extends QueryResultRow>(query: { name?: string; text: string; values: unknown[] }): Promise<QueryResult<R>>;
}

/** Ends a transaction without a commit. Its message is not looked at. */
class RolledBack extends Error {}

/**
 * At most so many transactions at once: an activity waits for its turn here, where it can be stopped, not in the pool.
 */
export class Transactions {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(
    readonly database: Database,
    connections: number,
  ) {
    this.free = connections;
  }

  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.free > 0) {
      this.free -= 1;
    } else {
      await new Promise<void>((resolve, reject) => {
        const turn = () => {
          signal.removeEventListener('abort', stop);
          resolve();
        };
        const stop = () => {
          this.waiting.splice(this.waiting.indexOf(turn), 1);
          reject(signal.reason as Error);
        };
        signal.addEventListener('abort', stop, { once: true });
        this.waiting.push(turn);
      });
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = this.waiting.shift();
      if (next) next();
      else this.free += 1;
    };
  }
}

export class LazyTransaction implements Transaction {
  private opened: Promise<Connection> | undefined;
  private ended: Promise<void> | undefined;
  private finish: ((settle: ((db: Queryable) => Promise<void>) | undefined) => void) | undefined;
  private closed: string | undefined;
  private running = 0;
  private last: Promise<void> = Promise.resolve();
  /** A statement has ended the transaction: nothing of it is settled any more, also where the code went on. */
  private ending: Error | undefined;
  /** The first error of the database that was not the fault of what was asked. */
  private trouble: unknown;

  constructor(
    private readonly transactions: Transactions,
    private readonly signal: AbortSignal,
    /** `entered`: its turn has come already. `begin`: what it begins with, asked when it does. */
    private readonly options: { entered?: boolean; begin?: () => TransactionOptions } = {},
  ) {}

  /** Whether the code has used it. */
  get used(): boolean {
    return this.opened !== undefined;
  }

  async query<R extends QueryResultRow = QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<QueryResult<R>> {
    this.mayWrite();
    refuseNotYours(text);
    const connection = await (this.opened ??= this.open()).catch((error: unknown) => {
      throw this.noted(error);
    });
    this.mayWrite();
    this.running += 1;
    // One after the other, also where the code does not wait for each.
    const before = this.last;
    const result = before.then(() => connection.query<R>({ text, values }));
    this.last = result.then(
      () => undefined,
      () => undefined,
    );
    try {
      const answer = await result;
      this.expectOpen(text, answer);
      return answer;
    } catch (error) {
      throw this.noted(asOutage(error));
    } finally {
      this.running -= 1;
    }
  }

  /** Runs `settle` in the transaction and commits, or throws what went wrong, with nothing written. */
  async commit(settle: (db: Queryable) => Promise<void>): Promise<void> {
    this.closed ??= 'the activity has returned';
    await this.opened;
    await this.last;
    if (this.ending !== undefined) throw this.ending;
    this.finish!(settle);
    try {
      await this.ended;
    } catch (error) {
      throw this.noted(error);
    }
  }

  /**
   * Why the transaction could not be, where the database was the reason: also when the code has thrown an error of its
   * own after that, as wrappers of clients do. A conflict counts only where the code has passed it on: it may have gone
   * back to a savepoint.
   */
  troubleOf(error: unknown): unknown {
    if (isOutage(this.trouble)) return this.trouble;
    let at = error;
    for (let depth = 0; depth < 10 && at instanceof Error; depth++) {
      if (at === this.trouble) return at;
      at = at.cause;
    }
    return undefined;
  }

  private noted(error: unknown): unknown {
    if (this.trouble === undefined && isPassing(error)) this.trouble = error;
    return error;
  }

  /** Nothing is written from now on. A statement that hangs is not waited for: the rollback comes after it. */
  async rollback(why: string): Promise<void> {
    this.closed ??= why;
    if (!this.opened) return;
    await this.opened.catch(() => undefined);
    this.finish?.(undefined);
    if (this.running === 0) await this.ended?.catch(() => undefined);
  }

  private expectOpen(text: string, answer: unknown): void {
    try {
      refuseEnded(text, answer);
    } catch (error) {
      this.ending ??= error as Error;
      throw error;
    }
  }

  private mayWrite(): void {
    if (this.ending !== undefined) throw this.ending;
    if (this.closed !== undefined) throw new Error(`the transaction is over: ${this.closed}`);
    this.signal.throwIfAborted();
  }

  private async open(): Promise<Connection> {
    const leave = this.options.entered ? () => undefined : await this.transactions.enter(this.signal);
    return new Promise<Connection>((resolve, reject) => {
      const work = async (connection: Queryable): Promise<void> => {
        const settle = await new Promise<((db: Queryable) => Promise<void>) | undefined>((finish) => {
          this.finish = finish;
          resolve(connection as Connection);
        });
        if (!settle) throw new RolledBack();
        await settle(connection);
      };
      this.ended = this.transactions.database.transaction(work, this.options.begin?.()).finally(leave);
      // Also what fails before it is open; when it is, `commit` reports it.
      this.ended.catch(reject);
    });
  }
}
