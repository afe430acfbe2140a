/**
 * Looks every few seconds whether a table has outgrown the planner's statistics, and has it analyzed then
 * (`store/statistics.ts` says why). Each node has one; a lock in the database lets one of them work at a time. Started
 * by the node (`node.ts`).
 */
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import type { Database } from '../../lib/database';
import { Background } from '../../lib/service';
import { analyzeTable, outgrownTables } from '../store/statistics';

const LOOK_MS = 2_000;
/** Autovacuum may be at a table: it is looked at again. An ANALYZE reads a sample, 30,000 pages at most. */
const LIMITS = { lockTimeoutMs: 100, statementTimeoutMs: 30_000 };

export class Statistics extends Background {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
  ) {
    super();
  }

  /** Looks now, unless a look is under way. Never rejects: without it plans are better some minutes later. */
  look(): Promise<void> {
    this.looking ??= this.lookOnce()
      .catch((thrown: unknown) => this.log.debug({ err: errorOf(thrown) }, 'tables were not analyzed now'))
      .finally(() => (this.looking = undefined));
    return this.looking;
  }

  protected open(): Promise<void> {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    return Promise.resolve();
  }

  protected async close(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async lookOnce(): Promise<void> {
    for (const table of await outgrownTables(this.database.single)) {
      if (this.isStopping) return;
      const isMine = await this.database.transaction((db) => analyzeTable(db, table), LIMITS);
      if (!isMine) return;
      this.log.debug({ table }, 'a table had outgrown its statistics and was analyzed');
    }
  }
}
