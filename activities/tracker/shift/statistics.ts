/**
 * Looks every few seconds whether a table has outgrown the planner's statistics, and has it analyzed then
 * (`store/statistics.ts` says why). Each node has one; a lock in the database lets one of them work at a time. Started
 * by the node (`node.ts`).
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { errorOf } from '../../lib/failures';
import { isOutage, type Database } from '../../lib/database';
import { Background } from '../../lib/service';
import { analyzeTable, outgrownTables } from '../store/statistics';

const LOOK_MS = 2_000;
/**
 * Autovacuum may be at a table: it is looked at again. An ANALYZE reads a sample, 30,000 pages at most. A node that
 * ends waits for it.
 */
const LIMITS = { lockTimeoutMs: 100, statementTimeoutMs: 10_000 };
/**
 * Some locks are held for hours (autovacuum against wraparound), and some disks are too slow for an ANALYZE in its
 * time: such a table is tried again this much later, then twice as much, and keeps no other one from it. Milliseconds.
 */
const AGAIN_MS = 5_000;
const LATEST_AGAIN_MS = 10 * 60_000;
/** A table that has failed so often in a row is worth a word. */
const TOLD_AT = 4;

interface Failing {
  readonly times: number;
  /** Monotonic. */
  readonly notBefore: number;
}

export class Statistics extends Background {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  /** By table, while it has outgrown its statistics. */
  private readonly failing = new Map<string, Failing>();

  constructor(
    private readonly database: Database,
    private readonly log: Logger,
    private readonly againMs = AGAIN_MS,
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
    const tables = await outgrownTables(this.database.single);
    for (const table of this.failing.keys()) if (!tables.includes(table)) this.failing.delete(table);
    for (const table of tables) {
      if (this.isStopping) return;
      if (performance.now() < (this.failing.get(table)?.notBefore ?? 0)) continue;
      try {
        const isMine = await this.database.transaction((db) => analyzeTable(db, table), LIMITS);
        if (!isMine) return;
        this.log.debug({ table }, 'a table had outgrown its statistics and was analyzed');
        this.failing.delete(table);
      } catch (thrown) {
        // Nothing is wrong with the table, and the others could not be had either.
        if (isOutage(thrown)) throw thrown;
        this.failed(table, errorOf(thrown));
      }
    }
  }

  /** It waits, and the next ones are looked at. */
  private failed(table: string, error: Error): void {
    const times = (this.failing.get(table)?.times ?? 0) + 1;
    const inMs = Math.min(LATEST_AGAIN_MS, this.againMs * 2 ** Math.min(times - 1, 10));
    this.failing.set(table, { times, notBefore: performance.now() + inMs });
    const said = times === TOLD_AT ? 'warn' : 'debug';
    const words = `table longwatch.${table} has outgrown what the planner knows of it and cannot be analyzed: statements may be slow until autovacuum, or somebody, analyzes it`;
    this.log[said]({ err: error, table, times }, words);
  }
}
