/**
 * Blocks and their transactions into their tables, and what is wrong with them there. A block that differs from the
 * stored one replaces it and all that hangs on it, in the same transaction. Called by `index/blocks.ts` and
 * `index/head.ts`.
 */
import type { Block, BlockRow, TransactionRow } from '../rpc/decode';
import { byteColumn, column } from './columns';
import { bytea, copy, copyRows, type CopyRows, groupsAmong, NULL } from './copy';
import { type Database, type Queryable, rows, type Statement } from './database';

const BEGIN_FETCH: Statement = { name: 'begin-fetch', text: `select nextval('chain.fetch_number')::text as fetch` };

/**
 * In the order of their numbers, so that two writers never wait for each other in a circle. The receipts of those that
 * were not there are to come.
 */
const WRITE_BLOCKS: Statement = {
  name: 'write-blocks',
  text: `with written as (
           insert into chain.block as b (number, hash, parent_hash, mined_at, miner, state_root, gas_limit, gas_used,
                                         base_fee, size, extra_data, transactions, fetch_number)
           select number, hash, parent_hash, to_timestamp(mined_at), miner, state_root, gas_limit, gas_used, base_fee,
                  size, extra_data, transactions, $13::bigint
           from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::float8[], $5::bytea[], $6::bytea[], $7::numeric[],
                       $8::numeric[], $9::numeric[], $10::bigint[], $11::bytea[], $12::int[])
             as r (number, hash, parent_hash, mined_at, miner, state_root, gas_limit, gas_used, base_fee, size,
                   extra_data, transactions)
           order by number
           on conflict (number) do update
           set hash = excluded.hash, parent_hash = excluded.parent_hash, mined_at = excluded.mined_at,
               miner = excluded.miner, state_root = excluded.state_root, gas_limit = excluded.gas_limit,
               gas_used = excluded.gas_used, base_fee = excluded.base_fee, size = excluded.size,
               extra_data = excluded.extra_data, transactions = excluded.transactions,
               fetch_number = excluded.fetch_number
           where b.hash <> excluded.hash and b.fetch_number < excluded.fetch_number
           returning number, hash, transactions, xmax <> 0 as replaced
         ), awaiting as (
           insert into chain.awaiting_receipts (block_number, hash, transactions)
           select number, hash, transactions from written where transactions > 0 and not replaced
         )
         select number::float8 as number, replaced from written`,
};

/**
 * Blocks that are no longer what they were, or gone, leave nothing behind. The list first: who is writing their
 * receipts has taken them off it, and is waited for; what it wrote is seen then.
 */
const CLEAR = ['awaiting_receipts', 'transaction', 'receipt', 'log'].map((table): Statement => ({
  name: `clear-${table}`,
  text: `delete from chain.${table} where block_number = any($1::bigint[])`,
}));

/** They come with their block, so nobody else has written them. */
const TRANSACTIONS =
  'chain.transaction (block_number, index, hash, type, sender, recipient, nonce, value, gas_limit, gas_price, max_fee, ' +
  'max_priority_fee, input)';

/** Puts blocks on the list again whose place another one had, once they are cleared. */
const AWAIT_AGAIN: Statement = {
  name: 'await-again',
  text: `insert into chain.awaiting_receipts (block_number, hash, transactions)
         select number, hash, transactions from chain.block where number = any($1::bigint[]) and transactions > 0`,
};

const AWAITING_AMONG: Statement = {
  name: 'awaiting-among',
  text: `select block_number::float8 as number from chain.awaiting_receipts where block_number = any($1::bigint[])
         order by block_number desc`,
};

/** Blocks whose parent is stored, and is another one than they say. */
const BROKEN_LINKS: Statement = {
  name: 'broken-links',
  text: `select b.number::float8 as number
         from chain.block b join chain.block p on p.number = b.number - 1
         where b.number = any($1::bigint[]) and b.parent_hash <> p.hash
         order by b.number`,
};

const STORED_AROUND: Statement = {
  name: 'stored-around',
  text: `select distinct b.number::float8 as number
         from unnest($1::bigint[]) as r (number)
         join chain.block b on b.number >= greatest($3, r.number - $2) and b.number < r.number + $2
         order by number`,
};

const REMOVE_FROM: Statement = {
  name: 'remove-from',
  text: `delete from chain.block where number >= $1 and fetch_number < $2 returning number::float8 as number`,
};

/** To be taken before the node is asked: of two answers that differ, the one that was asked for later holds. */
export async function beginFetch(db: Queryable): Promise<string> {
  return (await rows<{ fetch: string }>(db, BEGIN_FETCH, []))[0]!.fetch;
}

export interface Written {
  /** New, or another block than before. */
  written: number[];
  /** The ones of these whose block is another than before. */
  replaced: number[];
}

/** Blocks as the statements take them: a few long texts in place of the many values that were parsed. */
export interface BlockText {
  numbers: number[];
  /** The columns of {@link WRITE_BLOCKS}. */
  columns: string[];
  /** A group a block. */
  transactions: CopyRows;
}

/** @param blocks at most one of each number */
export function blockText(blocks: readonly Block[]): BlockText {
  return {
    numbers: blocks.map(({ block }) => block.number),
    columns: blockColumns(blocks.map(({ block }) => block)),
    transactions: copyRows(
      blocks.map(({ transactions }) => transactions),
      transactionLine,
    ),
  };
}

/** Writes blocks. A block that is stored as it is costs no write. */
export async function writeBlocks(database: Database, fetch: string, blocks: BlockText): Promise<Written> {
  if (blocks.numbers.length === 0) return { written: [], replaced: [] };
  return database.transaction(async (db) => {
    const values = [...blocks.columns, fetch];
    const result = await rows<{ number: number; replaced: boolean }>(db, WRITE_BLOCKS, values);
    const written = result.map(({ number }) => number);
    const replaced = result.filter((row) => row.replaced).map(({ number }) => number);
    if (replaced.length > 0) {
      await clear(db, replaced);
      await rows(db, AWAIT_AGAIN, [column(replaced, (number) => number)]);
    }
    await copy(db, TRANSACTIONS, blocks.transactions, groupsAmong(blocks.numbers, written));
    return { written, replaced };
  });
}

/** The ones of these blocks whose receipts are still to come, the newest first. */
export async function awaitingAmong(db: Queryable, numbers: readonly number[]): Promise<number[]> {
  const found = await rows<{ number: number }>(db, AWAITING_AMONG, [column(numbers, (number) => number)]);
  return found.map(({ number }) => number);
}

/**
 * The ones of these blocks, and of those above them, that do not follow from the block below them. Asked after their
 * transaction has ended: of two writers of neighbours, the later one then sees both.
 */
export async function brokenLinks(db: Queryable, numbers: readonly number[]): Promise<number[]> {
  const looked = [...new Set(numbers.flatMap((number) => [number, number + 1]))];
  const found = await rows<{ number: number }>(db, BROKEN_LINKS, [column(looked, (number) => number)]);
  return found.map(({ number }) => number);
}

/** The stored blocks from `width` below each of `numbers` to `width - 1` above it, and none below `first`. */
export async function storedAround(
  db: Queryable,
  numbers: readonly number[],
  width: number,
  first: number,
): Promise<number[]> {
  const values = [column(numbers, (number) => number), width, first];
  return (await rows<{ number: number }>(db, STORED_AROUND, values)).map(({ number }) => number);
}

/** Removes the blocks from `number` up, with all that hangs on them, unless a later fetch has brought them. */
export async function removeFrom(database: Database, fetch: string, number: number): Promise<number[]> {
  return database.transaction(async (db) => {
    const removed = (await rows<{ number: number }>(db, REMOVE_FROM, [number, fetch])).map((row) => row.number);
    if (removed.length > 0) await clear(db, removed);
    return removed;
  });
}

async function clear(db: Queryable, numbers: readonly number[]): Promise<void> {
  const value = column(numbers, (number) => number);
  for (const statement of CLEAR) await rows(db, statement, [value]);
}

function blockColumns(blocks: readonly BlockRow[]): string[] {
  return [
    column(blocks, (block) => block.number),
    byteColumn(blocks, (block) => block.hash),
    byteColumn(blocks, (block) => block.parentHash),
    column(blocks, (block) => block.minedAt),
    byteColumn(blocks, (block) => block.miner),
    byteColumn(blocks, (block) => block.stateRoot),
    column(blocks, (block) => block.gasLimit),
    column(blocks, (block) => block.gasUsed),
    column(blocks, (block) => block.baseFee),
    column(blocks, (block) => block.size),
    byteColumn(blocks, (block) => block.extraData),
    column(blocks, (block) => block.transactions),
  ];
}

function transactionLine(each: TransactionRow): string {
  const { blockNumber, index, type, nonce, value, gasLimit } = each;
  return (
    `${blockNumber}\t${index}\t${bytea(each.hash)}\t${type}\t${bytea(each.sender)}\t${bytea(each.recipient)}\t` +
    `${nonce ?? NULL}\t${value ?? NULL}\t${gasLimit ?? NULL}\t${each.gasPrice ?? NULL}\t${each.maxFee ?? NULL}\t` +
    `${each.maxPriorityFee ?? NULL}\t${bytea(each.input)}\n`
  );
}
