/**
 * How old values are, by pool and operation, and which members are the oldest: from what the pools' keepers tell every
 * ten seconds or so, so that no value is read for it but those that are shown. Called by `reads.ts`; for the page's
 * heat map and `longwatch members --oldest`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { poolOf } from '../../workflows/tracker/plan';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { pageSize } from '../page';

/** How old the values of one operation of a pool are. */
export interface FreshnessCell {
  pool: number;
  /** The node that keeps the pool, or kept it last. */
  node: string | null;
  operation: string;
  members: number;
  /** Members without a success yet; they count as as old as they are members. */
  never: number;
  /** Ages, within a fifth; null: the pool has no member. */
  p50Ms: number | null;
  p95Ms: number | null;
  /** The age of the oldest one. */
  maxMs: number | null;
  /**
   * The age of the most overdue value, in lifetimes of its own: its interval, or the time for which its answer is good
   * (`expiresAt`), or a hold, whichever is longest. 1 is due, 3 is stale. Null: no member, or a keeper of an older
   * release.
   */
  lifetimes: number | null;
  /** When its keeper told it; more than a minute ago: nobody keeps the pool. */
  toldAt: string;
  toldMs: number;
}

export interface OperationInterval {
  name: string;
  everyMs: number;
  enabled: boolean;
}

export interface Freshness {
  /** The most frequent first. */
  operations: OperationInterval[];
  pools: number;
  /** By pool and operation; a pool that no node has told of yet has none. */
  cells: FreshnessCell[];
}

/** A member whose last success is long past. */
export interface OldestMember {
  id: string;
  pool: number;
  node: string | null;
  operation: string;
  /** The last success; null: there was none. */
  fetchedAt: string | null;
  /** Since then, or since it was added. */
  ageMs: number;
  /** In a row, and the last error. */
  failures: number;
  error: string | null;
  /** Left alone until then. */
  heldUntil: string | null;
}

const CELLS: Statement = {
  name: 'client-freshness',
  text: `select a.pool, p.node, a.operation, a.members, a.never, a.p50_ms, a.p95_ms, a.max_ms, a.lifetimes,
                ${ms('a.told_at')} as told_at, ${ms('now() - a.told_at')} as told_ms
         from longwatch.pool_age a
         join longwatch.tracker t on t.name = a.tracker and a.pool < t.pools
         left join longwatch.pool p on p.tracker = a.tracker and p.pool = a.pool
         where a.tracker = $1 and a.operation = any($2::text[])
         order by a.pool, a.operation`,
};

/**
 * The candidates of all pools, and what is stored of them now: some were fetched since they were told. Members and
 * values are each looked for in their index. A member that has changed its pool may be told of by both.
 */
const OLDEST: Statement = {
  name: 'client-oldest',
  text: `select m.id, m.hash::float8 as hash, p.node, c.operation, ${ms('v.fetched_at')} as fetched_at,
                ${ms('now() - coalesce(v.fetched_at, m.added_at)')} as age_ms, coalesce(v.failures, 0) as failures, v.error,
                ${ms('v.held_until')} as held_until
         from (
           select a.operation, (o ->> 0)::bigint as key from longwatch.pool_age a
           cross join lateral jsonb_array_elements(a.oldest) o
           where a.tracker = $1 and a.operation = any($2::text[])
           group by 1, 2 order by min((o ->> 1)::float8) limit $3
         ) c
         cross join lateral (
           select id, hash, added_at from longwatch.member
           where key = c.key and tracker = $1 and removed_at is null offset 0
         ) m
         left join lateral (
           select fetched_at, failures, error, held_until from longwatch.value
           where member = c.key and operation = c.operation offset 0
         ) v on true
         left join longwatch.pool p on p.tracker = $1 and p.pool = longwatch.pool_of(m.hash, $4)
         order by age_ms desc`,
};

/** So many more candidates are looked at than are asked for: some may have been fetched meanwhile. */
const SPARE = 2;

interface CellRow {
  [column: string]: unknown;
  pool: number;
  node: string | null;
  operation: string;
  members: number;
  never: number;
  p50_ms: number | null;
  p95_ms: number | null;
  max_ms: number | null;
  lifetimes: number | null;
  told_at: number;
  told_ms: number;
}

interface OldestRow {
  [column: string]: unknown;
  id: string;
  hash: number;
  node: string | null;
  operation: string;
  fetched_at: number | null;
  age_ms: number;
  failures: number;
  error: string | null;
  held_until: number | null;
}

export async function readFreshness(
  connections: Connections,
  { name, pools }: { name: string; pools: number },
  operations: readonly OperationInterval[],
): Promise<Freshness> {
  const names = operations.map((operation) => operation.name);
  const rows = await connections.read<CellRow>(CELLS, [name, names]);
  return {
    operations: [...operations].sort((a, b) => a.everyMs - b.everyMs),
    pools,
    cells: rows.map((row) => ({
      pool: row.pool,
      node: row.node,
      operation: row.operation,
      members: row.members,
      never: row.never,
      p50Ms: row.p50_ms,
      p95Ms: row.p95_ms,
      maxMs: row.max_ms,
      lifetimes: row.lifetimes,
      toldAt: iso(row.told_at),
      toldMs: Math.max(0, row.told_ms),
    })),
  };
}

/** The oldest first. */
export async function readOldest(
  connections: Connections,
  { name, pools }: { name: string; pools: number },
  operations: readonly string[],
  limit: number | undefined,
): Promise<OldestMember[]> {
  const size = pageSize(limit);
  const rows = await connections.read<OldestRow>(OLDEST, [name, operations, SPARE * size, pools]);
  return rows.slice(0, size).map((row) => ({
    id: row.id,
    pool: poolOf(row.hash, pools),
    node: row.node,
    operation: row.operation,
    fetchedAt: iso(row.fetched_at),
    ageMs: Math.max(0, row.age_ms),
    failures: row.failures,
    error: row.error,
    heldUntil: iso(row.held_until),
  }));
}
