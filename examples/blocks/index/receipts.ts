/**
 * Indexes receipts and logs of blocks that are stored. The buffer `receipts` runs it on each batch. Knows nothing of
 * Temporal.
 */
import type { BlockReference, Chain } from '../rpc/chain';
import type { Receipts } from '../rpc/decode';
import type { Database } from '../store/database';
import { awaitingReceipts, type ReceiptText, receiptText, writeReceipts } from '../store/receipts';
import type { Failure } from './blocks';
import { Parts } from './parts';

export interface IndexedReceipts {
  written: number;
  /**
   * Numbers whose answer is of another block than the one that was asked about: the chain has changed since. The writer
   * that replaces the stored block asks for its receipts again; until then its number is to be fetched again.
   */
  changed: number[];
  /** To be asked for again. */
  failed: Failure[];
}

export class ReceiptIndexer {
  private readonly parts = new Parts();

  constructor(
    private readonly chain: Chain,
    private readonly database: Database,
  ) {}

  /** @throws HoldError, UpstreamError where the node does not answer as a whole; errors of PostgreSQL. */
  async index(numbers: readonly number[], signal?: AbortSignal): Promise<IndexedReceipts> {
    const done: IndexedReceipts = { written: 0, changed: [], failed: [] };
    // Blocks that are missing here have their receipts by now, or were removed.
    const blocks = await awaitingReceipts(this.database.pool, numbers);
    await this.parts.each(blocks, async (part) => {
      const receipts = await this.fetch(part, done, signal);
      done.written += (await writeReceipts(this.database, receipts)).length;
    });
    return done;
  }

  private async fetch(
    blocks: readonly BlockReference[],
    done: IndexedReceipts,
    signal: AbortSignal | undefined,
  ): Promise<ReceiptText> {
    const outcomes = await this.chain.receipts(blocks, signal);
    const receipts: Receipts[] = [];
    outcomes.forEach((outcome, k) => {
      const block = blocks[k]!;
      if (outcome.ok && outcome.value.blockHash === block.hash) receipts.push(outcome.value);
      else if (outcome.ok || outcome.error.failure === 'null') done.changed.push(block.number);
      else done.failed.push({ number: block.number, error: outcome.error });
    });
    return receiptText(receipts);
  }
}
