/**
 * The blocks that are still to be indexed, the newest first, a page at a time: the `init` of both buffers. A cursor is
 * the number below which the next page begins.
 */
import type { Chain } from '../rpc/chain';
import type { Database } from '../store/database';
import { missingBlocks } from '../store/gaps';
import { awaitingBelow } from '../store/receipts';

/** Numbers that are looked through at once, so that a long chain that is there costs many short looks. */
const WINDOW = 50_000;

/**
 * The writer of blocks pushes their receipts at once: receipts that are on their way would be fetched twice. Seconds.
 */
const PUSHED_WITHIN = 10;

export interface Page {
  /** Numbers of blocks. */
  entries: number[];
  /** Absent: the last page. */
  cursor?: number;
}

export class Missing {
  constructor(
    private readonly chain: Chain,
    private readonly database: Database,
    private readonly firstBlock: number,
    /** Seconds after which receipts that are still awaited count as not pushed. */
    private readonly pushedWithin = PUSHED_WITHIN,
  ) {}

  async blocks(cursor: number | undefined, limit: number, signal?: AbortSignal): Promise<Page> {
    const below = cursor ?? (await this.chain.headNumber(signal)) + 1;
    const from = Math.max(this.firstBlock, below - WINDOW);
    const entries = await missingBlocks(this.database.pool, from, below - 1, limit);
    const next = entries.length === limit ? entries.at(-1)! : from;
    return next > this.firstBlock ? { entries, cursor: next } : { entries };
  }

  async receipts(cursor: number | undefined, limit: number): Promise<Page> {
    const below = cursor ?? Number.MAX_SAFE_INTEGER;
    const entries = await awaitingBelow(this.database.pool, below, limit, this.pushedWithin);
    return entries.length === limit ? { entries, cursor: entries.at(-1)! } : { entries };
  }
}
