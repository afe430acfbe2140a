/**
 * Indexes blocks: asks the node, writes, and mends what a reorganisation has torn. The buffer `blocks` runs it on each
 * batch; what it answers says which blocks come again and which have receipts to fetch. Knows nothing of Temporal.
 */
import type { Chain } from '../rpc/chain';
import { RpcError } from '../rpc/errors';
import {
  awaitingAmong,
  beginFetch,
  type BlockText,
  blockText,
  brokenLinks,
  removeFrom,
  storedAround,
  writeBlocks,
} from '../store/blocks';
import type { Database } from '../store/database';
import { Parts } from './parts';

export interface Failure {
  number: number;
  error: RpcError;
}

export interface IndexedBlocks {
  /** Blocks that were written now, those that were mended with them included. */
  written: number[];
  /** The ones of these that took another block's place. */
  replaced: number[];
  /** Taken away: the chain has become shorter. */
  removed: number[];
  /** Their receipts are to be fetched. */
  awaiting: number[];
  /** To be asked for again. */
  failed: Failure[];
}

/** Blocks that are asked for at once to find the fork; it is doubled at each step up to here. */
const WIDEST_STEP = 128;
/**
 * Steps of one batch: some 2,000 blocks back. Links that are still torn then are left to the next batch, as `failed`.
 */
const STEPS = 20;

export class BlockIndexer {
  private readonly parts = new Parts();

  constructor(
    private readonly chain: Chain,
    private readonly database: Database,
    /** Nothing below is indexed. */
    private readonly firstBlock: number,
  ) {}

  /** @throws HoldError, UpstreamError where the node does not answer as a whole; errors of PostgreSQL. */
  async index(given: readonly number[], signal?: AbortSignal): Promise<IndexedBlocks> {
    const done: IndexedBlocks = { written: [], replaced: [], removed: [], awaiting: [], failed: [] };
    const numbers = [...new Set(given)].filter((number) => number >= this.firstBlock);
    const present = await this.fetchAndWrite(numbers, done, signal);
    await this.mend(present, done, signal);
    // Also of those that were there before: who wrote them may have died before it could say so.
    done.awaiting = await awaitingAmong(this.database.pool, [...new Set([...numbers, ...done.written])]);
    return done;
  }

  /**
   * A part at a time, so that what was read can go before more is. @returns the numbers of those blocks that the node
   * has.
   */
  private async fetchAndWrite(
    numbers: readonly number[],
    done: IndexedBlocks,
    signal: AbortSignal | undefined,
  ): Promise<number[]> {
    const present: number[] = [];
    await this.parts.each(numbers, async (part) => {
      present.push(...(await this.fetchAndWritePart(part, done, signal)));
    });
    return present;
  }

  private async fetchAndWritePart(
    numbers: readonly number[],
    done: IndexedBlocks,
    signal: AbortSignal | undefined,
  ): Promise<number[]> {
    const fetch = await beginFetch(this.database.pool);
    const { blocks, failed } = await this.fetch(numbers, signal);
    done.failed.push(...(await this.withoutThoseAhead(failed, signal)));
    const { written, replaced } = await writeBlocks(this.database, fetch, blocks);
    done.written.push(...written);
    done.replaced.push(...replaced);
    return blocks.numbers;
  }

  private async fetch(
    numbers: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<{ blocks: BlockText; failed: Failure[] }> {
    const outcomes = await this.chain.blocks(numbers, signal);
    return {
      blocks: blockText(outcomes.flatMap((outcome) => (outcome.ok ? [outcome.value] : []))),
      failed: outcomes.flatMap((outcome, k) => (outcome.ok ? [] : [{ number: numbers[k]!, error: outcome.error }])),
    };
  }

  /** A block past the head is none that failed: the head's tracker will come for it. */
  private async withoutThoseAhead(failed: readonly Failure[], signal: AbortSignal | undefined): Promise<Failure[]> {
    if (!failed.some(({ error }) => error.failure === 'null')) return [...failed];
    const head = await this.chain.headNumber(signal);
    return failed.filter(({ number, error }) => error.failure !== 'null' || number <= head);
  }

  /**
   * If a block does not follow from the one below it, one of the two is of a chain that has been given up. Both sides
   * are fetched again, in wider and wider steps, until everything follows: then the fork was reached. Blocks above a
   * torn link that the node does not have any more are removed.
   */
  private async mend(numbers: readonly number[], done: IndexedBlocks, signal: AbortSignal | undefined): Promise<void> {
    let torn = await brokenLinks(this.database.pool, numbers);
    for (let step = 0, width = 1; torn.length > 0; step++, width = Math.min(width * 2, WIDEST_STEP)) {
      const failedBefore = done.failed.length;
      const around = await storedAround(this.database.pool, torn, width, this.firstBlock);
      const fetch = await beginFetch(this.database.pool);
      const present = new Set(await this.fetchAndWrite(around, done, signal));
      if (done.failed.length > failedBefore || step === STEPS) {
        done.failed.push(...torn.map((number) => ({ number, error: stillTorn(number) })));
        return;
      }
      for (const number of torn) {
        if (!present.has(number)) done.removed.push(...(await removeFrom(this.database, fetch, number)));
      }
      torn = await brokenLinks(this.database.pool, around);
    }
  }
}

function stillTorn(number: number): RpcError {
  return new RpcError(`Block ${number} does not follow from the one below it`, { failure: 'malformed' });
}
