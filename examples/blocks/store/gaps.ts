/**
 * Reads what the tables do not have yet, and what is known of the newest blocks. Called by `index/missing.ts` and
 * `index/head.ts`.
 */
import { type Queryable, rows, type Statement } from './database';

const MISSING: Statement = {
  name: 'missing-blocks',
  text: `select json_agg(n) as numbers
         from (select n from generate_series($1::bigint, $2::bigint) n
               where not exists (select from chain.block b where b.number = n)
               order by n desc limit $3) as missing`,
};

const AT_HEAD: Statement = {
  name: 'at-head',
  text: `select max(number)::float8 as top,
                (select '0x' || encode(hash, 'hex') from chain.block where number = $1) as hash,
                (select '0x' || encode(hash, 'hex') from chain.block where number = $1 - 1) as parent
         from chain.block`,
};

const TORN: Statement = {
  name: 'torn-blocks',
  text: `select b.number::float8 as number from chain.block b join chain.block p on p.number = b.number - 1
         where b.number between $1 and $2 and b.parent_hash <> p.hash`,
};

const COUNTS: Statement = {
  name: 'counts',
  text: `select (select count(*) from chain.block where number <= $1)::float8 as blocks,
                (select count(*) from chain.transaction where block_number <= $1)::float8 as transactions,
                (select count(*) from chain.receipt where block_number <= $1)::float8 as receipts,
                (select count(*) from chain.log where block_number <= $1)::float8 as logs,
                (select count(*) from chain.awaiting_receipts where block_number <= $1)::float8 as awaiting,
                (select max(number) from chain.block)::float8 as top`,
};

/** Numbers from `from` to `to` that are not stored, the newest first. */
export async function missingBlocks(db: Queryable, from: number, to: number, limit: number): Promise<number[]> {
  return (await rows<{ numbers: number[] | null }>(db, MISSING, [from, to, limit]))[0]!.numbers ?? [];
}

/** The highest block that is stored, and the hashes of the blocks `number` and below it; null where there is none. */
export async function storedAtHead(
  db: Queryable,
  number: number,
): Promise<{ top: number | null; hash: string | null; parent: string | null }> {
  return (await rows<{ top: number | null; hash: string | null; parent: string | null }>(db, AT_HEAD, [number]))[0]!;
}

/** Blocks from `from` to `to` that do not follow from the one below them. */
export async function tornBlocks(db: Queryable, from: number, to: number): Promise<number[]> {
  return (await rows<{ number: number }>(db, TORN, [from, to])).map(({ number }) => number);
}

export interface Counts {
  blocks: number;
  transactions: number;
  receipts: number;
  logs: number;
  /** Blocks whose receipts are still to come. */
  awaiting: number;
  /** The highest block that is stored, of all; null: none. */
  top: number | null;
}

/** Counts the rows of the blocks up to `to`. */
export async function counts(db: Queryable, to = Number.MAX_SAFE_INTEGER): Promise<Counts> {
  return (await rows<Counts & Record<string, unknown>>(db, COUNTS, [to]))[0]!;
}
