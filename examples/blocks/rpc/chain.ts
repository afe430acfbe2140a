/**
 * The node as the indexer asks it: heads, blocks by number, receipts of blocks, logs of a range, as rows. Batches,
 * limits and errors are `client.ts`'s; the forms are `decode.ts`'s. Called by `index/` and by `check.ts`.
 */
import type { Json } from 'longwatch';
import { UpstreamError } from 'longwatch/upstream';
import { BatchSize } from './batch-size';
import { type RpcCall, RpcClient, type RpcClientOptions } from './client';
import {
  decodeBlock,
  decodeHeader,
  decodeLog,
  decodeReceipts,
  type Block,
  type Header,
  type LogRow,
  type Receipts,
} from './decode';
import { isUnknownMethod, RpcError } from './errors';

/** The answer to one thing that was asked for. */
export type Outcome<T> = { ok: true; value: T } | { ok: false; error: RpcError };

/** A block as the tables have it, for its receipts. */
export interface BlockReference {
  number: number;
  hash: string;
  transactions: number;
}

const toHex = (number: number): string => `0x${number.toString(16)}`;

export class Chain {
  private readonly rpc: RpcClient;
  /** Blocks in one `eth_getLogs`. */
  private readonly range = new BatchSize(2_000);
  /** False: the node has no `eth_getBlockReceipts`, so they are asked for one by one. */
  private receiptsByBlock = true;

  constructor(options: RpcClientOptions) {
    this.rpc = new RpcClient(options);
  }

  async head(signal?: AbortSignal): Promise<Header> {
    const value = await this.rpc.call('eth_getBlockByNumber', ['latest', false], signal);
    if (value === null) throw new RpcError('The node has no block at all', { failure: 'null' });
    return decodeHeader(value);
  }

  async headNumber(signal?: AbortSignal): Promise<number> {
    return (await this.head(signal)).number;
  }

  /** With their transactions, in the order of `numbers`. A block that the node does not have fails as `null`. */
  async blocks(numbers: readonly number[], signal?: AbortSignal): Promise<Outcome<Block>[]> {
    const calls = numbers.map((number): RpcCall => ({ method: 'eth_getBlockByNumber', params: [toHex(number), true] }));
    const outcomes = await this.rpc.batch(calls, signal);
    return outcomes.map((outcome, k) => {
      if (!outcome.ok) return outcome;
      const number = numbers[k]!;
      return settle(() => {
        if (outcome.value === null) throw new RpcError(`The node has no block ${number}`, { failure: 'null' });
        return decodeBlock(outcome.value, number);
      });
    });
  }

  /**
   * Receipts and logs, in the order of `blocks`. If the node has another block of that number, after a reorganisation,
   * its receipts are answered all the same: `blockHash` says so. Receipts that the block's list leaves out are asked
   * for one by one; a block that cannot be had even so fails as `malformed`, and the node that has no such block at all
   * as `null`.
   */
  async receipts(blocks: readonly BlockReference[], signal?: AbortSignal): Promise<Outcome<Receipts>[]> {
    const lists = await this.receiptLists(blocks, signal);
    return Promise.all(
      blocks.map(async (block, k) => {
        const list = lists[k]!;
        if (!list.ok) return list;
        const outcome = receiptsOf(list.value, block);
        return isShort(outcome, list.value, block) ? this.fillIn(block, list.value, signal) : outcome;
      }),
    );
  }

  /** By the block; empty lists of a node that has no such method. */
  private async receiptLists(
    blocks: readonly BlockReference[],
    signal: AbortSignal | undefined,
  ): Promise<Outcome<Json>[]> {
    if (this.receiptsByBlock) {
      const calls = blocks.map(({ number }): RpcCall => ({ method: 'eth_getBlockReceipts', params: [toHex(number)] }));
      const outcomes = await this.rpc.batch(calls, signal);
      if (!outcomes.some((outcome) => !outcome.ok && isUnknownMethod(outcome.error))) return outcomes;
      this.receiptsByBlock = false;
    }
    return blocks.map(() => ({ ok: true, value: [] }));
  }

  /** The block's own transactions are asked for first: by the time of the receipts the block may be another one. */
  private async fillIn(block: BlockReference, list: Json, signal: AbortSignal | undefined): Promise<Outcome<Receipts>> {
    const [found] = await this.blocks([block.number], signal);
    if (!found!.ok) return found!;
    const { hash, transactions } = { ...found!.value.block, transactions: found!.value.transactions };
    // It is another block now, and its receipts are nobody's yet.
    if (hash !== block.hash) {
      return { ok: true, value: { blockNumber: block.number, blockHash: hash, receipts: [], logs: [] } };
    }
    const known = new Map((Array.isArray(list) ? list : []).map((each) => [transactionOf(each), each]));
    const missing = transactions.filter((transaction) => !known.has(transaction.hash));
    const calls = missing.map((transaction): RpcCall => {
      return { method: 'eth_getTransactionReceipt', params: [transaction.hash] };
    });
    const outcomes = await this.rpc.batch(calls, signal);
    const failed = outcomes.find((outcome) => !outcome.ok);
    if (failed && !failed.ok) return failed;
    outcomes.forEach((outcome, k) => {
      if (outcome.ok && outcome.value !== null) known.set(missing[k]!.hash, outcome.value);
    });
    return receiptsOf(
      transactions.flatMap((transaction) => known.get(transaction.hash) ?? []),
      block,
    );
  }

  /** All logs from one block to another, both included; in as many ranges as the node wants. */
  async logs(from: number, to: number, signal?: AbortSignal): Promise<LogRow[]> {
    const logs: LogRow[] = [];
    for (let at = from; at <= to;) {
      const end = Math.min(to, at + this.range.current - 1);
      const params: Json[] = [{ fromBlock: toHex(at), toBlock: toHex(end) }];
      try {
        const value = await this.rpc.call('eth_getLogs', params, signal);
        if (!Array.isArray(value)) throw new RpcError('eth_getLogs: no list', { failure: 'malformed' });
        for (const log of value) logs.push(decodeLog(log));
      } catch (error) {
        if (end === at || !isTooWide(error)) throw error;
        this.range.tooLarge(end - at + 1, suggestedRange((error as Error).message, at));
        continue;
      }
      this.range.worked(end - at + 1);
      at = end + 1;
    }
    return logs;
  }

  async close(): Promise<void> {
    await this.rpc.close();
  }
}

function receiptsOf(value: Json, { number, hash, transactions }: BlockReference): Outcome<Receipts> {
  return settle(() => {
    const receipts = decodeReceipts(value ?? [], number);
    // Receipts of another block may be any number.
    if (receipts.blockHash !== undefined && receipts.blockHash !== hash) return receipts;
    if (receipts.receipts.length === transactions) return { ...receipts, blockHash: hash };
    throw new RpcError(`${receipts.receipts.length} receipts for the ${transactions} transactions of block ${number}`, {
      failure: 'malformed',
    });
  });
}

/** Whether more can be had by asking for each transaction: the list is of this block, and has fewer than it should. */
function isShort(outcome: Outcome<Receipts>, list: Json, { transactions }: BlockReference): boolean {
  return !outcome.ok && (list === null || (Array.isArray(list) && list.length < transactions));
}

function transactionOf(receipt: Json): string | undefined {
  const hash = (receipt as { transactionHash?: Json } | null)?.transactionHash;
  return typeof hash === 'string' ? hash.toLowerCase() : undefined;
}

function settle<T>(decode: () => T): Outcome<T> {
  try {
    return { ok: true, value: decode() };
  } catch (error) {
    if (error instanceof RpcError) return { ok: false, error };
    throw error;
  }
}

function isTooWide(error: unknown): boolean {
  if (error instanceof RpcError) return error.failure === 'too large';
  return error instanceof UpstreamError && (error.failure === 'timeout' || error.status === 504);
}

/** Some nodes say which range would do: '… this block range should work: [0x1, 0x5a]'. */
function suggestedRange(message: string, from: number): number | undefined {
  const match = /\[(0x[0-9a-f]+), ?(0x[0-9a-f]+)\]/i.exec(message);
  if (!match || parseInt(match[1]!, 16) !== from) return undefined;
  const blocks = parseInt(match[2]!, 16) - from + 1;
  return blocks > 0 ? blocks : undefined;
}
