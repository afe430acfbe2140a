/** The promises about every roster in the database, for tests that have changed one. */
import type { Stack } from './stack';

export interface WrongCount {
  [column: string]: unknown;
  tracker: string;
  pool: number | null;
  kept: number;
  counted: number;
}

/**
 * Pools whose kept count is not that of their members, and trackers where the sum is not; a pool that waits for its
 * recount may be off.
 */
export function wrongCounts(stack: Stack): Promise<WrongCount[]> {
  return stack.sql<WrongCount>(
    `with counted as (
       select t.name as tracker, longwatch.pool_of(m.hash, t.pools) as pool, count(*)::int as members
       from longwatch.member m join longwatch.tracker t on t.name = m.tracker
       where m.removed_at is null group by 1, 2
     ), pools as (
       select tracker, pool, coalesce(p.members, 0) as kept, coalesce(c.members, 0) as counted, coalesce(p.recount, false) as recount
       from longwatch.pool p full join counted c using (tracker, pool)
     )
     select tracker, pool, kept, counted from pools where kept <> counted and not recount
     union all
     select tracker, null, sum(kept)::int, sum(counted)::int from pools group by tracker having sum(kept) <> sum(counted)`,
  );
}
