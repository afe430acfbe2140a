/**
 * Receipts and logs into their tables. They are of one block, not of one number: those of a block that was replaced meanwhile
 * are not written. Called by `index/receipts.ts`.
 */
import type { BlockReference } from '../rpc/chain';
import type { LogRow, ReceiptRow, Receipts } from '../rpc/decode';
import { byteColumn, column } from './columns';
import { type Database, type Queryable, rows, type Statement } from './database';

/** Until the end of the transaction none of them can be replaced. */
const HOLD_BLOCKS: Statement = {
  name: 'hold-blocks',
  text: `select b.number::float8 as number
         from unnest($1::bigint[], $2::bytea[]) as r (number, hash)
         join chain.block b on b.number = r.number and b.hash = r.hash
         order by b.number for share of b`,
};

/** Only who takes a block off the list writes its rows, so a second time nothing is left to do. */
const TAKE_OFF: Statement = {
  name: 'take-off',
  text: `delete from chain.awaiting_receipts where block_number = any($1::bigint[])
         returning block_number::float8 as number`,
};

const WRITE_RECEIPTS: Statement = {
  name: 'write-receipts',
  text: `insert into chain.receipt (block_number, transaction_index, succeeded, gas_used, gas_price, contract)
         select * from unnest($1::bigint[], $2::int[], $3::boolean[], $4::bigint[], $5::numeric[], $6::bytea[])`,
};

const WRITE_LOGS: Statement = {
  name: 'write-logs',
  text: `insert into chain.log (block_number, index, transaction_index, address, topic0, topic1, topic2, topic3, data)
         select * from unnest($1::bigint[], $2::int[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[],
                              $8::bytea[], $9::bytea[])`,
};

const AWAITING_BELOW: Statement = {
  name: 'awaiting-below',
  text: `select b.number::float8 as number, '0x' || encode(b.hash, 'hex') as hash, b.transactions
         from chain.awaiting_receipts a join chain.block b on b.number = a.block_number
         where a.block_number < $1 order by a.block_number desc limit $2`,
};

/** @returns the numbers of the blocks whose receipts were written now; the others were, or are another block by now. */
export async function writeReceipts(database: Database, receipts: readonly Receipts[]): Promise<number[]> {
  if (receipts.length === 0) return [];
  return database.transaction(async (db) => {
    const given = [
      column(receipts, ({ blockNumber }) => blockNumber),
      byteColumn(receipts, ({ blockHash }) => blockHash),
    ];
    const held = await rows<{ number: number }>(db, HOLD_BLOCKS, given);
    const taken = await rows<{ number: number }>(db, TAKE_OFF, [column(held, ({ number }) => number)]);
    const numbers = new Set(taken.map(({ number }) => number));
    const mine = receipts.filter(({ blockNumber }) => numbers.has(blockNumber));
    const all = mine.flatMap((each) => each.receipts);
    const logs = mine.flatMap((each) => each.logs);
    if (all.length > 0) await rows(db, WRITE_RECEIPTS, receiptColumns(all));
    if (logs.length > 0) await rows(db, WRITE_LOGS, logColumns(logs));
    return [...numbers];
  });
}

/** The newest blocks below `number` whose receipts are still to come. */
export async function awaitingBelow(db: Queryable, number: number, limit: number): Promise<BlockReference[]> {
  return rows<BlockReference & Record<string, unknown>>(db, AWAITING_BELOW, [number, limit]);
}

function receiptColumns(receipts: readonly ReceiptRow[]): string[] {
  return [
    column(receipts, (each) => each.blockNumber),
    column(receipts, (each) => each.index),
    column(receipts, (each) => each.succeeded),
    column(receipts, (each) => each.gasUsed),
    column(receipts, (each) => each.gasPrice),
    byteColumn(receipts, (each) => each.contract),
  ];
}

function logColumns(logs: readonly LogRow[]): string[] {
  const topic = (k: number): string => byteColumn(logs, (log) => log.topics[k]);
  return [
    column(logs, (log) => log.blockNumber),
    column(logs, (log) => log.index),
    column(logs, (log) => log.transactionIndex),
    byteColumn(logs, (log) => log.address),
    topic(0),
    topic(1),
    topic(2),
    topic(3),
    byteColumn(logs, (log) => log.data),
  ];
}
