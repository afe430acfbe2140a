/**
 * Who is tracked where. Written by `roster/apply.ts` and `roster/split.ts` under the pools' locks; read by shifts, whole
 * when they take a pool and by what changed afterwards.
 */
import { run, type Queryable, type Statement } from './database';

export interface MemberRow {
  key: number;
  id: string;
  removed: boolean;
  /** Database time, epoch milliseconds. */
  addedAt: number;
}

/** A stored value's times, epoch milliseconds by the database's clock; null where there is none. */
export interface FreshnessRow {
  member: number;
  operation: string;
  fetchedAt: number | null;
  expiresAt: number | null;
  heldUntil: number | null;
  failedAt: number | null;
  etag: string | null;
  /** Failures in a row. */
  failures: number;
}

/** One change that is to be applied, its pool computed from the layout as it is now. */
export interface MemberChange {
  id: string;
  hash: number;
  pool: number;
  stamp: number;
  removed: boolean;
}

const MILLISECONDS = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;

/** Version first, so that a shift that looks before the change commits looks again after it. */
const RAISE_VERSIONS: Statement = {
  name: 'pool-raise-versions',
  text: `insert into longwatch.pool (tracker, pool, roster_version)
         select $1, p, 1 from unnest($2::int[]) as p order by p
         on conflict (tracker, pool) do update set roster_version = pool.roster_version + 1
         returning pool, roster_version::float8 as version`,
};
const RAISE_RELOADS: Statement = {
  name: 'pool-raise-reloads',
  text: `update longwatch.pool set reload_version = roster_version where tracker = $1 and pool = any($2)`,
};
/** The last stamp wins; the same stamp again changes nothing. */
const UPSERT: Statement = {
  name: 'member-upsert',
  text: `insert into longwatch.member as m (tracker, id, hash, pool, stamp, roster_version, removed_at)
         select $1, c.id, c.hash, c.pool, c.stamp, p.roster_version, case when c.removed then now() end
         from unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::boolean[]) as c (id, hash, pool, stamp, removed)
         join longwatch.pool p on p.tracker = $1 and p.pool = c.pool
         order by c.id
         on conflict (tracker, id) do update
         set stamp = excluded.stamp,
             pool = excluded.pool,
             roster_version = excluded.roster_version,
             removed_at = excluded.removed_at,
             added_at = case when m.removed_at is not null then now() else m.added_at end
         where m.stamp < excluded.stamp
         returning key::float8 as key, (removed_at is not null) as removed`,
};
const DELETE_VALUES: Statement = {
  name: 'value-delete',
  text: `delete from longwatch.value where member = any($1::bigint[])`,
};
/** Members whose pool is another one in a layout of $2 pools; only these rows are touched. */
const MOVED_POOLS: Statement = {
  name: 'member-moved-pools',
  text: `select distinct pool as source, longwatch.pool_of(hash, $2) as target
         from longwatch.member where tracker = $1 and longwatch.pool_of(hash, $2) <> pool`,
};
const MOVE: Statement = {
  name: 'member-move',
  text: `update longwatch.member m
         set pool = p.pool, roster_version = p.roster_version
         from longwatch.pool p
         where m.tracker = $1 and p.tracker = $1
           and longwatch.pool_of(m.hash, $2) <> m.pool and p.pool = longwatch.pool_of(m.hash, $2)`,
};
const SELECT_POOL: Statement = {
  name: 'member-select-pool',
  text: `select key::float8 as key, id, false as removed, ${MILLISECONDS('added_at')} as added_at
         from longwatch.member where tracker = $1 and pool = $2 and removed_at is null`,
};
const SELECT_CHANGED: Statement = {
  name: 'member-select-changed',
  text: `select key::float8 as key, id, removed_at is not null as removed, ${MILLISECONDS('added_at')} as added_at
         from longwatch.member where tracker = $1 and pool = $2 and roster_version > $3`,
};
const SELECT_FRESHNESS: Statement = {
  name: 'value-select-freshness',
  text: `select member::float8 as member, operation, etag, failures,
                ${MILLISECONDS('fetched_at')} as fetched_at, ${MILLISECONDS('expires_at')} as expires_at,
                ${MILLISECONDS('held_until')} as held_until, ${MILLISECONDS('failed_at')} as failed_at
         from longwatch.value where member = any($1::bigint[])`,
};
const COUNT: Statement = {
  name: 'member-count',
  text: `select count(*)::int as members
         from longwatch.member where tracker = $1 and ($2::int is null or pool = $2) and removed_at is null`,
};
const NEXT_STAMPS: Statement = { name: 'stamp-next', text: `select nextval('longwatch.stamp')::float8 as stamp` };
const PURGE: Statement = {
  name: 'member-purge',
  text: `delete from longwatch.member where key in (
           select m.key from longwatch.member m join longwatch.tracker t on t.name = m.tracker
           where m.removed_at < now() - make_interval(
             secs => coalesce(t.changes ->> 'tombstonesMs', t.options ->> 'tombstonesMs')::float8 / 1000) limit 1000)`,
};

/** Locks and raises the pools' roster versions, in the order of their numbers so that no two writers wait for each other. */
export async function raiseVersions(db: Queryable, tracker: string, pools: number[]): Promise<void> {
  await run(db, RAISE_VERSIONS, [tracker, [...new Set(pools)].sort((a, b) => a - b)]);
}

/** Tells the shifts of these pools that members left: what changed does not show them, so they load all. */
export async function raiseReloads(db: Queryable, tracker: string, pools: number[]): Promise<void> {
  await run(db, RAISE_RELOADS, [tracker, pools]);
}

/** Writes changes of distinct ids, and deletes the values of those removed. Call `raiseVersions` for their pools first. */
export async function writeMembers(
  db: Queryable,
  tracker: string,
  changes: MemberChange[],
): Promise<{ added: number; removed: number }> {
  const rows = await run<{ key: number; removed: boolean }>(db, UPSERT, [
    tracker,
    changes.map((c) => c.id),
    changes.map((c) => c.hash),
    changes.map((c) => c.pool),
    changes.map((c) => c.stamp),
    changes.map((c) => c.removed),
  ]);
  const removed = rows.filter((row) => row.removed).map((row) => row.key);
  if (removed.length > 0) await run(db, DELETE_VALUES, [removed]);
  return { added: rows.length - removed.length, removed: removed.length };
}

export async function movedPools(
  db: Queryable,
  tracker: string,
  pools: number,
): Promise<{ source: number; target: number }[]> {
  return run(db, MOVED_POOLS, [tracker, pools]);
}

export async function moveMembers(db: Queryable, tracker: string, pools: number): Promise<void> {
  await run(db, MOVE, [tracker, pools]);
}

export async function membersOf(db: Queryable, tracker: string, pool: number): Promise<MemberRow[]> {
  return (await run<RawMember>(db, SELECT_POOL, [tracker, pool])).map(toMember);
}

export async function changedMembers(
  db: Queryable,
  tracker: string,
  pool: number,
  since: number,
): Promise<MemberRow[]> {
  return (await run<RawMember>(db, SELECT_CHANGED, [tracker, pool, since])).map(toMember);
}

export async function freshnessOf(db: Queryable, keys: number[]): Promise<FreshnessRow[]> {
  if (keys.length === 0) return [];
  const rows = await run<RawFreshness>(db, SELECT_FRESHNESS, [keys]);
  return rows.map((row) => ({
    member: row.member,
    operation: row.operation,
    etag: row.etag,
    failures: row.failures,
    fetchedAt: row.fetched_at,
    expiresAt: row.expires_at,
    heldUntil: row.held_until,
    failedAt: row.failed_at,
  }));
}

/** Members of one pool, or of the whole tracker. */
export async function countMembers(db: Queryable, tracker: string, pool: number | null): Promise<number> {
  return (await run<{ members: number }>(db, COUNT, [tracker, pool]))[0]!.members;
}

export async function nextStamp(db: Queryable): Promise<number> {
  return (await run<{ stamp: number }>(db, NEXT_STAMPS))[0]!.stamp;
}

/** Forgets removals that are older than their tracker's `tombstones`, a thousand at a time. */
export async function purgeTombstones(db: Queryable): Promise<void> {
  await run(db, PURGE);
}

interface RawMember {
  [column: string]: unknown;
  key: number;
  id: string;
  removed: boolean;
  added_at: number;
}
const toMember = (row: RawMember): MemberRow => ({
  key: row.key,
  id: row.id,
  removed: row.removed,
  addedAt: row.added_at,
});

interface RawFreshness {
  [column: string]: unknown;
  member: number;
  operation: string;
  etag: string | null;
  failures: number;
  fetched_at: number | null;
  expires_at: number | null;
  held_until: number | null;
  failed_at: number | null;
}
