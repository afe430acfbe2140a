/** The tables' rows in the forms of `rpc/decode.ts`, by ranges of blocks. Called by `check.ts`. */
import type { BlockRow, LogRow, ReceiptRow, TransactionRow } from '../rpc/decode';
import { type Queryable, rows, type Statement } from './database';

/** `null || x` is null, so what may be null stays so. */
const hex = (column: string): string => `'0x' || encode(${column}, 'hex')`;

const BLOCKS: Statement = {
  name: 'compare-blocks',
  text: `select number::float8 as number, ${hex('hash')} as hash, ${hex('parent_hash')} as "parentHash",
                extract(epoch from mined_at)::float8 as "minedAt", ${hex('miner')} as miner,
                ${hex('state_root')} as "stateRoot", gas_limit::text as "gasLimit", gas_used::text as "gasUsed",
                base_fee::text as "baseFee", size::float8 as size, ${hex('extra_data')} as "extraData", transactions
         from chain.block where number between $1 and $2 order by number`,
};

const TRANSACTIONS: Statement = {
  name: 'compare-transactions',
  text: `select block_number::float8 as "blockNumber", index, ${hex('hash')} as hash, type::float8 as type, ${hex('sender')} as sender,
                ${hex('recipient')} as recipient, nonce::text as nonce, value::text as value,
                gas_limit::text as "gasLimit", gas_price::text as "gasPrice", max_fee::text as "maxFee",
                max_priority_fee::text as "maxPriorityFee", ${hex('input')} as input
         from chain.transaction where block_number between $1 and $2 order by block_number, index`,
};

const RECEIPTS: Statement = {
  name: 'compare-receipts',
  text: `select block_number::float8 as "blockNumber", transaction_index as index, succeeded,
                gas_used::text as "gasUsed", gas_price::text as "gasPrice", ${hex('contract')} as contract
         from chain.receipt where block_number between $1 and $2 order by block_number, transaction_index`,
};

const LOGS: Statement = {
  name: 'compare-logs',
  text: `select block_number::float8 as "blockNumber", index, transaction_index as "transactionIndex",
                ${hex('address')} as address,
                array_remove(array[${['topic0', 'topic1', 'topic2', 'topic3'].map(hex).join(', ')}], null) as topics,
                ${hex('data')} as data
         from chain.log where block_number between $1 and $2 order by block_number, transaction_index, index`,
};

type Row<T> = T & Record<string, unknown>;

export const storedBlocks = (db: Queryable, from: number, to: number): Promise<BlockRow[]> =>
  rows<Row<BlockRow>>(db, BLOCKS, [from, to]);

export const storedTransactions = (db: Queryable, from: number, to: number): Promise<TransactionRow[]> =>
  rows<Row<TransactionRow>>(db, TRANSACTIONS, [from, to]);

export const storedReceipts = (db: Queryable, from: number, to: number): Promise<ReceiptRow[]> =>
  rows<Row<ReceiptRow>>(db, RECEIPTS, [from, to]);

export const storedLogs = (db: Queryable, from: number, to: number): Promise<LogRow[]> =>
  rows<Row<LogRow>>(db, LOGS, [from, to]);
