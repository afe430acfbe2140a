/**
 * Members by the hundred thousand, put into the store as if they had been added and fetched once: for scenarios that
 * are not about adding. The tracker is stopped; whoever starts it finds them.
 */
import type { Stack } from '../../test/support/stack';
import { hashId } from '../../workflows/lib/hash';
import { slotOf, slotsOf } from '../../workflows/tracker/slots';
import type { TrackerOptions } from '../../workflows/tracker/options';
import { numbered } from './watch';

const BATCH = 50_000;

export interface Stored {
  tracker: string;
  options: TrackerOptions;
  pools: number;
  members: number;
  /** Whether each has a value. @default true */
  fetched?: boolean;
}

/** Ids are `TRACKER-1` to `TRACKER-members`, each with a value of the operation `look` where `fetched` says so. */
export async function storeMembers(
  stack: Stack,
  { tracker, options, pools, members, fetched = true }: Stored,
): Promise<void> {
  await stack.sql(`insert into longwatch.tracker (name, options, pools, state) values ($1, $2, $3, 'stopped')`, [
    tracker,
    JSON.stringify(options),
    pools,
  ]);
  const ranges = Array.from({ length: pools }, (_, pool) => slotsOf(pool, pools));
  const counts = new Array<number>(pools).fill(0);
  const ids = numbered(members, `${tracker}-`);
  for (let from = 0; from < members; from += BATCH) {
    const part = ids.slice(from, from + BATCH);
    for (const id of part) {
      const slot = slotOf(hashId(id));
      counts[ranges.findIndex(({ first, last }) => slot >= first && slot <= last)]!++;
    }
    await stack.sql(
      `with m as (
         insert into longwatch.member (tracker, id, hash, stamp, roster_version)
         select $3, id, hash, 1, 0 from unnest($1::text[], $2::bigint[]) as r (id, hash) returning key
       )
       insert into longwatch.value (member, operation, value, etag, fetched_at, changed_at)
       select key, 'look', '1', 'etag', now(), now() from m where $4`,
      [part, part.map(hashId), tracker, fetched],
    );
  }
  await stack.sql(
    `insert into longwatch.pool (tracker, pool, members)
     select $2, p - 1, c from unnest($1::int[]) with ordinality as r (c, p)`,
    [counts, tracker],
  );
  await stack.sql('analyze');
}
