/**
 * Receipts and logs into their tables. They are of one block, not of one number: those of a block that was replaced
 * meanwhile are not written. Called by `index/receipts.ts`.
 */
import type { BlockReference } from '../rpc/chain';
import type { LogRow, ReceiptRow, Receipts } from '../rpc/decode';
import { byteColumn, column } from './columns';
import { bytea, copy, copyRows, type CopyRows, groupsAmong, NULL } from './copy';
import { type Database, type Queryable, rows, type Statement } from './database';

/**
 * Takes blocks off the list that are still the same blocks. Only the writer that takes one off writes its rows, so a
 * second time nothing is left to do; a writer that replaces the block clears its place on the list first (`blocks.ts`),
 * and so waits for the end of this transaction, or is waited for.
 */
const TAKE_OFF: Statement = {
  name: 'take-off',
  text: `delete from chain.awaiting_receipts a
         where block_number = any($1::bigint[])
           and exists (select from unnest($1::bigint[], $2::bytea[]) as r (number, hash)
                       where r.number = a.block_number and r.hash = a.hash)
         returning block_number::float8 as number`,
};

const RECEIPTS = 'chain.receipt (block_number, transaction_index, succeeded, gas_used, gas_price, contract)';
const LOGS = 'chain.log (block_number, index, transaction_index, address, topic0, topic1, topic2, topic3, data)';

const AWAITING: Statement = {
  name: 'awaiting',
  text: `select block_number::float8 as number, '0x' || encode(hash, 'hex') as hash, transactions
         from chain.awaiting_receipts where block_number = any($1::bigint[])`,
};

const AWAITING_BELOW: Statement = {
  name: 'awaiting-below',
  text: `select block_number::float8 as number from chain.awaiting_receipts
         where block_number < $1 and since <= now() - make_interval(secs => $3)
         order by block_number desc limit $2`,
};

/** Receipts as the statements take them: a few long texts in place of the many values that were parsed. */
export interface ReceiptText {
  numbers: number[];
  /** The columns of {@link TAKE_OFF}. */
  columns: string[];
  /** A group a block. */
  receipts: CopyRows;
  logs: CopyRows;
}

export function receiptText(receipts: readonly Receipts[]): ReceiptText {
  return {
    numbers: receipts.map(({ blockNumber }) => blockNumber),
    columns: [column(receipts, ({ blockNumber }) => blockNumber), byteColumn(receipts, ({ blockHash }) => blockHash)],
    receipts: copyRows(
      receipts.map((each) => each.receipts),
      receiptLine,
    ),
    logs: copyRows(
      receipts.map((each) => each.logs),
      logLine,
    ),
  };
}

/** @returns the numbers of the blocks whose receipts were written now; the others were, or are another block by now. */
export async function writeReceipts(database: Database, receipts: ReceiptText): Promise<number[]> {
  if (receipts.numbers.length === 0) return [];
  return database.transaction(async (db) => {
    const taken = await rows<{ number: number }>(db, TAKE_OFF, receipts.columns);
    const numbers = taken.map(({ number }) => number);
    const mine = groupsAmong(receipts.numbers, numbers);
    await copy(db, RECEIPTS, receipts.receipts, mine);
    await copy(db, LOGS, receipts.logs, mine);
    return numbers;
  });
}

/** The ones of these blocks whose receipts are still to come, as they are stored now. */
export async function awaitingReceipts(db: Queryable, numbers: readonly number[]): Promise<BlockReference[]> {
  return rows<BlockReference & Record<string, unknown>>(db, AWAITING, [column(numbers, (number) => number)]);
}

/** The newest blocks below `number` whose receipts have been awaited for so many seconds. */
export async function awaitingBelow(db: Queryable, number: number, limit: number, seconds: number): Promise<number[]> {
  return (await rows<{ number: number }>(db, AWAITING_BELOW, [number, limit, seconds])).map((row) => row.number);
}

function receiptLine({ blockNumber, index, succeeded, gasUsed, gasPrice, contract }: ReceiptRow): string {
  return `${blockNumber}\t${index}\t${succeeded ?? NULL}\t${gasUsed ?? NULL}\t${gasPrice ?? NULL}\t${bytea(contract)}\n`;
}

function logLine({ blockNumber, index, transactionIndex, address, topics, data }: LogRow): string {
  return (
    `${blockNumber}\t${index}\t${transactionIndex}\t${bytea(address)}\t${bytea(topics[0])}\t${bytea(topics[1])}\t` +
    `${bytea(topics[2])}\t${bytea(topics[3])}\t${bytea(data)}\n`
  );
}
