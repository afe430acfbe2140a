/**
 * Compares every row of the tables with the node: blocks and transactions by block, receipts by block, logs by another
 * way than they came (`eth_getLogs`). Called by `main.ts` and the tests, when the chain stands still or has gone on
 * from the last block that is compared.
 */
import type { Chain } from './rpc/chain';
import { counts } from './store/gaps';
import type { Database, Queryable } from './store/database';
import { storedBlocks, storedLogs, storedReceipts, storedTransactions } from './store/compare';

export interface Agreement {
  blocks: number;
  transactions: number;
  receipts: number;
  logs: number;
  /** The differences, in words: none when all agrees. At most twenty. */
  differences: string[];
}

const PAGE = 500;
const MOST_TOLD = 20;

/** From one block to another, both included; nothing may be stored below. */
export async function check(chain: Chain, database: Database, firstBlock: number, head: number): Promise<Agreement> {
  const db: Queryable = database.pool;
  const agreement: Agreement = { blocks: 0, transactions: 0, receipts: 0, logs: 0, differences: [] };
  const { differences } = agreement;
  const tell = (what: string): void => void (differences.length < MOST_TOLD && differences.push(what));

  /** Rows of both sides, by their keys. */
  const compare = <T>(what: string, key: (row: T) => string, ours: readonly T[], theirs: readonly T[]): number => {
    const stored = new Map(ours.map((row) => [key(row), JSON.stringify(row)]));
    for (const row of theirs) {
      const name = `${what} ${key(row)}`;
      const mine = stored.get(key(row));
      if (mine === undefined) tell(`${name} is not stored`);
      else if (mine !== JSON.stringify(row)) tell(`${name} is stored as ${mine}, and is ${JSON.stringify(row)}`);
      stored.delete(key(row));
    }
    for (const left of stored.keys()) tell(`${what} ${left} is stored, and is not on the chain`);
    return theirs.length;
  };

  for (let from = firstBlock; from <= head; from += PAGE) {
    const to = Math.min(head, from + PAGE - 1);
    const numbers = Array.from({ length: to - from + 1 }, (_, k) => from + k);
    const blocks = (await chain.blocks(numbers)).map(must);
    const references = blocks.map(({ block }) => block).filter((block) => block.transactions > 0);
    const receipts = (await chain.receipts(references)).map(must).flatMap((each) => each.receipts);
    const transactions = blocks.flatMap((each) => each.transactions);
    agreement.blocks += compare(
      'block',
      (row) => String(row.number),
      await storedBlocks(db, from, to),
      blocks.map(({ block }) => block),
    );
    agreement.transactions += compare(
      'transaction',
      (row) => `${row.blockNumber}/${row.index}`,
      await storedTransactions(db, from, to),
      transactions,
    );
    agreement.receipts += compare(
      'receipt',
      (row) => `${row.blockNumber}/${row.index}`,
      await storedReceipts(db, from, to),
      receipts,
    );
    agreement.logs += compare(
      'log',
      (row) => `${row.blockNumber}/${row.transactionIndex}/${row.index}`,
      await storedLogs(db, from, to),
      await chain.logs(from, to),
    );
  }
  // The part below the range that was compared.
  const { blocks, transactions, receipts, logs, awaiting } = await counts(db, head);
  for (const [table, count, compared] of [
    ['blocks', blocks, agreement.blocks],
    ['transactions', transactions, agreement.transactions],
    ['receipts', receipts, agreement.receipts],
    ['logs', logs, agreement.logs],
    ['blocks that await their receipts', awaiting, 0],
  ] as const) {
    if (count !== compared) tell(`${count} ${table} are stored, and should be ${compared}`);
  }
  return agreement;
}

function must<T>(outcome: { ok: true; value: T } | { ok: false; error: Error }): T {
  if (!outcome.ok) throw outcome.error;
  return outcome.value;
}
