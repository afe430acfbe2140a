/**
 * The dead letters of buffers: buried by `dead.ts`, and taken out again by `shard-rows.ts`, a page at a time, each page
 * once however often it is asked for.
 */
import type { EntryError } from '../../../workflows/buffer/state';
import { run, type Queryable, type Statement } from '../../lib/database';
import { storable } from '../../../workflows/lib/text';
import type { Json } from '../../../workflows/lib/json';

export interface DeadLetter {
  entry: number;
  value: Json;
  key: string | null;
  errors: EntryError[];
  attempts: number;
}

const BURY: Statement = {
  name: 'dead-bury',
  text: `insert into longwatch.buffer_dead (buffer, shard, entry, value, key, error, errors, attempts)
         select $1, $2, d.entry, d.value, d.key, d.error, d.errors, d.attempts
         from unnest($3::bigint[], $4::json[], $5::text[], $6::text[], $7::json[], $8::int[])
           as d (entry, value, key, error, errors, attempts)
         on conflict (buffer, shard, entry) do nothing`,
};
const TAKEN: Statement = {
  name: 'dead-taken',
  text: `select value, key, entry::float8 as entry from longwatch.buffer_dead
         where buffer = $1 and shard = $2 and op = $3 and page = $4 order by entry`,
};
const COUNT_TAKEN: Statement = {
  name: 'dead-count-taken',
  text: `select count(*)::int as count from longwatch.buffer_dead where buffer = $1 and shard = $2 and op = $3 and page = $4`,
};
/** Letters that are dropped are counted, and not read. */
const DROP: Statement = {
  name: 'dead-drop',
  // By their places: nobody else changes letters of an order, and no plan can compare each with each.
  text: `update longwatch.buffer_dead set page = $4, changed_at = now(), state = 'dropped'
         where ctid = any(array(
           select ctid from longwatch.buffer_dead
           where buffer = $1 and shard = $2 and op = $3 and page is null and state = 'dropping' order by entry limit $5))`,
};
/** As many as fit into a page, and one at least. */
const TAKE: Statement = {
  name: 'dead-take',
  text: `update longwatch.buffer_dead d
         set page = $4, changed_at = now(), state = case d.state when 'retrying' then 'retried' else 'dropped' end
         from (
           select entry, row_number() over (order by entry) as n, sum(length(value::text)) over (order by entry) as total
           from longwatch.buffer_dead
           where buffer = $1 and shard = $2 and op = $3 and page is null and state in ('retrying', 'dropping')
         ) as next
         where d.buffer = $1 and d.shard = $2 and d.entry = next.entry and (next.n = 1 or (next.n <= $5 and next.total <= $6))`,
};

export async function bury(db: Queryable, buffer: string, shard: number, letters: DeadLetter[]): Promise<void> {
  await run(db, BURY, [
    buffer,
    shard,
    letters.map((letter) => letter.entry),
    letters.map((letter) => JSON.stringify(letter.value)),
    letters.map((letter) => letter.key),
    letters.map((letter) => storable(letter.errors.at(-1)?.error ?? '')),
    letters.map((letter) => JSON.stringify(letter.errors)),
    letters.map((letter) => letter.attempts),
  ]);
}

interface TakenLetter {
  [column: string]: unknown;
  value: Json;
  key: string | null;
  /** The number that it had. */
  entry: number;
}

/** The entries of one page of an order; the same page again gives the same ones. */
export async function takePage(
  db: Queryable,
  order: { buffer: string; shard: number; op: string; page: number; limit: number; bytes: number },
): Promise<TakenLetter[]> {
  const { buffer, shard, op, page, limit, bytes } = order;
  const taken = await run<TakenLetter>(db, TAKEN, [buffer, shard, op, page]);
  if (taken.length > 0) return taken;
  await run(db, TAKE, [buffer, shard, op, page, limit, bytes]);
  return run<TakenLetter>(db, TAKEN, [buffer, shard, op, page]);
}

/** How many one page of an order drops; the same page again drops the same ones. */
export async function dropPage(
  db: Queryable,
  order: { buffer: string; shard: number; op: string; page: number; limit: number },
): Promise<number> {
  const { buffer, shard, op, page, limit } = order;
  const count = async (): Promise<number> =>
    (await run<{ count: number }>(db, COUNT_TAKEN, [buffer, shard, op, page]))[0]!.count;
  const taken = await count();
  if (taken > 0) return taken;
  await run(db, DROP, [buffer, shard, op, page, limit]);
  return count();
}
