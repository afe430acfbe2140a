/**
 * Follows the head: what the chain says now, against what is stored of its last blocks. The tracker's operation calls
 * it each second; what it wants goes to the buffer `blocks`. One request a look: that the last blocks are still those
 * of the chain follows from the head's parent hash and theirs.
 */
import type { Chain } from '../rpc/chain';
import { beginFetch, removeFrom } from '../store/blocks';
import type { Database } from '../store/database';
import { missingBlocks, storedAtHead, tornBlocks } from '../store/gaps';

/** `finalized` is about that far behind: deeper blocks do not change. */
const RECHECKED = 64;
/** After a pause of the indexer, so many of the newest go in front; the rest comes with the missing ones. */
const MOST_WANTED = 1_000;
/** Behind a balancer the next node may be behind the last one: so long is a shorter chain not believed. */
const SHORTER_AFTER_MS = 10_000;

export interface Look {
  number: number;
  hash: string;
  /** Blocks that are missing or are not those of the chain, the newest first. */
  wanted: number[];
}

export class Head {
  private shorterSince: number | undefined;

  constructor(
    private readonly chain: Chain,
    private readonly database: Database,
    private readonly firstBlock: number,
    private readonly now: () => number = Date.now,
  ) {}

  async look(signal?: AbortSignal): Promise<Look> {
    const db = this.database.pool;
    const fetch = await beginFetch(db);
    const { number, hash, parentHash } = await this.chain.head(signal);
    const stored = await storedAtHead(db, number);
    await this.shorten(fetch, number, hash, stored);
    const gap = stored.top === null ? 0 : Math.min(number - stored.top, MOST_WANTED);
    const from = Math.max(this.firstBlock, number - Math.max(RECHECKED, gap) + 1);
    const wanted = new Set(await missingBlocks(db, from, number, MOST_WANTED));
    for (const torn of await tornBlocks(db, from, number)) wanted.add(torn).add(torn - 1);
    if (stored.hash !== hash) wanted.add(number);
    if (stored.parent !== null && stored.parent !== parentHash) wanted.add(number - 1);
    const numbers = [...wanted].filter((each) => each >= this.firstBlock);
    return { number, hash, wanted: numbers.sort((a, b) => b - a) };
  }

  /** Removes what is stored above the head, when the chain has been shorter for a while. */
  private async shorten(
    fetch: string,
    number: number,
    hash: string,
    stored: { top: number | null; hash: string | null },
  ) {
    // If the head itself differs, the blocks above it are found by its hash.
    if (stored.top === null || stored.top <= number || stored.hash !== hash) {
      this.shorterSince = undefined;
      return;
    }
    this.shorterSince ??= this.now();
    if (this.now() - this.shorterSince >= SHORTER_AFTER_MS) await removeFrom(this.database, fetch, number + 1);
  }
}
