/**
 * The members: who is tracked. Written by `roster/apply.ts` under the pools' locks (`pools.ts`); read by shifts, whole
 * when they take a pool and by what changed afterwards. The pool of a member follows from its slot and the number
 * of pools (`workflows/tracker/slots.ts`).
 */
import type { Slots } from '../../../workflows/tracker/slots';
import { run, type Database, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';

export interface MemberRow {
  key: number;
  id: string;
  removed: boolean;
  /** Database time, epoch milliseconds. */
  addedAt: number;
  /** Its slot, by which it belongs to a pool (`workflows/tracker/slots.ts`). */
  place: number;
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
  /**
   * Only the wait that the upstream asked for (a HoldError), not the longer interval of one that fails again and again.
   */
  byHold?: boolean;
}

/** The place of an id that is, or was, a member. */
export interface StoredPlace {
  hash: number;
  removed: boolean;
}

/** One change that is to be applied, its pool computed from the layout as it is now. */
export interface MemberChange {
  id: string;
  hash: number;
  pool: number;
  stamp: number;
  removed: boolean;
}

/** A patrol forgets at most so many removals of a tracker: some thousands a second, were they always due. */
const PURGE_PAGE = 1_000;
const PURGE_PAGES = 50;

/**
 * The last stamp wins; the same stamp again changes nothing. `before`: whether it was a member; nobody else writes
 * while its pool is locked. A member stays where it is; only one that comes back may have another place.
 */
const UPSERT: Statement = {
  name: 'member-upsert',
  text: `with before as (
           select id from longwatch.member where tracker = $1 and id = any($2::text[]) and removed_at is null
         ), written as (
           insert into longwatch.member as m (tracker, id, hash, stamp, roster_version, removed_at)
           select $1, c.id, c.hash, c.stamp, p.roster_version, case when c.removed then now() end
           from unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::boolean[]) as c (id, hash, pool, stamp, removed)
           join longwatch.pool p on p.tracker = $1 and p.pool = c.pool
           order by c.id
           on conflict (tracker, id) do update
           set stamp = excluded.stamp,
               hash = case when m.removed_at is not null then excluded.hash else m.hash end,
               roster_version = excluded.roster_version,
               removed_at = excluded.removed_at,
               added_at = case when m.removed_at is not null then now() else m.added_at end
           where m.stamp < excluded.stamp
           returning m.key, m.id, m.hash, m.removed_at is not null as removed
         )
         select w.key::float8 as key, w.id, w.hash::float8 as hash, w.removed, b.id is not null as before
         from written w left join before b on b.id = w.id`,
};
const PLACES: Statement = {
  name: 'member-places',
  text: `select id, hash::float8 as hash, removed_at is not null as removed
         from longwatch.member where tracker = $1 and id = any($2::text[])`,
};
const DELETE_VALUES: Statement = {
  name: 'value-delete',
  text: `delete from longwatch.value where member = any($1::bigint[])`,
};
const SELECT_POOL: Statement = {
  name: 'member-select-pool',
  text: `select key::float8 as key, id, false as removed, ${ms('added_at')} as added_at, slot::float8 as place
         from longwatch.member where tracker = $1 and slot between $2 and $3 and removed_at is null`,
};
const SELECT_CHANGED: Statement = {
  name: 'member-select-changed',
  text: `select key::float8 as key, id, removed_at is not null as removed, ${ms('added_at')} as added_at, slot::float8 as place
         from longwatch.member where tracker = $1 and slot between $2 and $3 and roster_version > $4`,
};
const SELECT_IDS: Statement = {
  name: 'member-select-ids',
  text: `select key::float8 as key, id, removed_at is not null as removed, ${ms('added_at')} as added_at
         from longwatch.member where tracker = $1 and id = any($2::text[])`,
};
const SELECT_FRESHNESS: Statement = {
  name: 'value-select-freshness',
  text: `select member::float8 as member, operation, etag, failures, coalesce(error like 'HoldError:%', false) as by_hold,
                ${ms('fetched_at')} as fetched_at, ${ms('expires_at')} as expires_at,
                ${ms('held_until')} as held_until, ${ms('failed_at')} as failed_at
         from longwatch.value where member = any($1::bigint[])`,
};
const SELECT_FRESHNESS_OF: Statement = {
  name: 'value-select-freshness-of',
  text: `${SELECT_FRESHNESS.text} and operation = any($2::text[])`,
};
const NEXT_STAMPS: Statement = {
  name: 'stamps-next',
  text: `select nextval('longwatch.stamp')::float8 as stamp from generate_series(1, $1::int)`,
};
const WITH_TOMBSTONES: Statement = {
  name: 'tracker-with-tombstones',
  text: `select name, coalesce(changes ->> 'tombstonesMs', options ->> 'tombstonesMs')::float8 as keep_ms
         from longwatch.tracker order by name`,
};
/**
 * Locked before it is deleted, so that the condition holds of what is there and not of what was: a row that an add has
 * just brought back, or is about to, is left alone.
 */
const PURGE: Statement = {
  name: 'member-purge',
  text: `with old as (
           select key from longwatch.member
           where tracker = $1 and removed_at < now() - make_interval(secs => $2::float8 / 1000)
           order by removed_at limit $3 for update skip locked
         )
         delete from longwatch.member m using old
         where m.key = old.key and m.removed_at < now() - make_interval(secs => $2::float8 / 1000)
         returning 1`,
};

/** The result of changes of members: who joined and who left, and how each pool's count changed. */
export interface Written {
  added: number;
  removed: number;
  counts: Map<number, number>;
  /** All that were removed, members before or not. */
  gone: MemberChange[];
}

/**
 * Writes changes of distinct ids, and deletes the values of those removed. Call `raiseVersions` for their pools first,
 * and `addToCounts` with what comes of it, in the same transaction.
 */
export async function writeMembers(db: Queryable, tracker: string, changes: MemberChange[]): Promise<Written> {
  const rows = await run<{ key: number; id: string; hash: number; removed: boolean; before: boolean }>(db, UPSERT, [
    tracker,
    changes.map((c) => c.id),
    changes.map((c) => c.hash),
    changes.map((c) => c.pool),
    changes.map((c) => c.stamp),
    changes.map((c) => c.removed),
  ]);
  const removed = rows.filter((row) => row.removed).map((row) => row.key);
  if (removed.length > 0) await run(db, DELETE_VALUES, [removed]);

  const changeOf = new Map(changes.map((change) => [change.id, change]));
  // A route that says something else each time: the pool that was locked is not the one that it is in.
  if (rows.some((row) => row.hash !== changeOf.get(row.id)!.hash))
    throw new Error('a member was given another place meanwhile; looking again');
  const gone = rows.flatMap((row) => (row.removed ? [changeOf.get(row.id)!] : []));
  const written: Written = { added: 0, removed: 0, counts: new Map(), gone };
  for (const row of rows) {
    if (row.removed !== row.before) continue;
    const { pool } = changeOf.get(row.id)!;
    if (row.removed) written.removed++;
    else written.added++;
    written.counts.set(pool, (written.counts.get(pool) ?? 0) + (row.removed ? -1 : 1));
  }
  return written;
}

/** The places of those of these ids that the store knows, members or not any more. */
export async function placesOf(db: Queryable, tracker: string, ids: string[]): Promise<Map<string, StoredPlace>> {
  const rows = await run<StoredPlace & { id: string }>(db, PLACES, [tracker, ids]);
  return new Map(rows.map(({ id, hash, removed }) => [id, { hash, removed }]));
}

export async function membersOf(db: Queryable, tracker: string, { first, last }: Slots): Promise<MemberRow[]> {
  return (await run<RawMember>(db, SELECT_POOL, [tracker, first, last])).map(toMember);
}

export async function changedMembers(
  db: Queryable,
  tracker: string,
  { first, last }: Slots,
  since: number,
): Promise<MemberRow[]> {
  return (await run<RawMember>(db, SELECT_CHANGED, [tracker, first, last, since])).map(toMember);
}

export async function membersByIds(db: Queryable, tracker: string, ids: readonly string[]): Promise<MemberRow[]> {
  return (await run<RawMember>(db, SELECT_IDS, [tracker, ids])).map(toMember);
}

/** @param operations @default all */
export async function freshnessOf(
  db: Queryable,
  keys: number[],
  operations?: readonly string[],
): Promise<FreshnessRow[]> {
  if (keys.length === 0 || operations?.length === 0) return [];
  const rows = await (operations === undefined
    ? run<RawFreshness>(db, SELECT_FRESHNESS, [keys])
    : run<RawFreshness>(db, SELECT_FRESHNESS_OF, [keys, operations]));
  return rows.map((row) => ({
    member: row.member,
    operation: row.operation,
    etag: row.etag,
    failures: row.failures,
    byHold: row.by_hold,
    fetchedAt: row.fetched_at,
    expiresAt: row.expires_at,
    heldUntil: row.held_until,
    failedAt: row.failed_at,
  }));
}

/** So many stamps, the earliest first. */
export async function nextStamps(db: Queryable, count: number): Promise<number[]> {
  if (count === 0) return [];
  const rows = await run<{ stamp: number }>(db, NEXT_STAMPS, [count]);
  return rows.map(({ stamp }) => stamp).sort((a, b) => a - b);
}

/**
 * Forgets removals that are older than their tracker's `tombstones`, page by page, each in a transaction of its own,
 * and at most `pages` of each tracker: the next call goes on.
 */
export async function purgeTombstones(database: Database, pages = PURGE_PAGES): Promise<void> {
  for (const { name, keep_ms: keepMs } of await database.rows<{ name: string; keep_ms: number }>(WITH_TOMBSTONES)) {
    for (let page = 0; page < pages; page++) {
      if ((await database.rows(PURGE, [name, keepMs, PURGE_PAGE])).length < PURGE_PAGE) break;
    }
  }
}

interface RawMember {
  [column: string]: unknown;
  key: number;
  id: string;
  removed: boolean;
  added_at: number;
  place: number;
}
const toMember = (row: RawMember): MemberRow => ({
  key: row.key,
  id: row.id,
  removed: row.removed,
  addedAt: row.added_at,
  place: row.place,
});

interface RawFreshness {
  [column: string]: unknown;
  member: number;
  operation: string;
  etag: string | null;
  failures: number;
  by_hold: boolean;
  fetched_at: number | null;
  expires_at: number | null;
  held_until: number | null;
  failed_at: number | null;
}
