/**
 * The statements of a tracker's handle and of `status`, by name. Read only, but for the stamp that orders changes and
 * the practice crash. Run by the files of this room, by `longwatch.ts` and `status.ts`. Numbers leave the database as
 * float8, for pg gives bigint as text; times as epoch milliseconds of the database's clock.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { NODE_GONE } from '../../activities/tracker/store/node-lives';

/**
 * A replica that has replayed all that it received is not behind, however long ago the last transaction was; one that
 * receives nothing any more cannot know.
 */
const HAS_ALL = `pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver)`;
/**
 * The time of the rows that are read: on a replica that is behind, nodes live that lived then, and values are as old
 * as they were then.
 */
const AS_OF = `(select case when pg_is_in_recovery() and (${HAS_ALL}) is not true
                            then coalesce(pg_last_xact_replay_timestamp(), now()) else now() end)`;
/** The node of a row, by the name of its table there, lives. */
export const lives = (node: string): string => `${node}.ended_at is null and ${node}.seen_at > ${AS_OF} - ${NODE_GONE}`;

export const TRACKER_NAMES: Statement = {
  name: 'client-tracker-names',
  text: 'select name from longwatch.tracker order by name',
};

export const TRACKER: Statement = {
  name: 'client-tracker',
  text: `select name, state, pools, options, changes, version::float8 as version from longwatch.tracker where name = $1`,
};

/** State, layout and size, and a stamp for the change that is about to be sent, in one round trip. */
export const OPEN_CHANGE: Statement = {
  name: 'client-open-change',
  text: `select t.state, t.pools, t.options, t.changes, nextval('longwatch.stamp')::float8 as stamp
         from longwatch.tracker t where t.name = $1`,
};

export const COUNT_MEMBERS: Statement = {
  name: 'client-count-members',
  text: `select coalesce(sum(members), 0)::int as members from longwatch.pool where tracker = $1`,
};

/** True also when they were all removed, as long as their tombstones are kept. */
export const EVER_HAD_MEMBERS: Statement = {
  name: 'client-ever-had-members',
  text: `select exists (select from longwatch.member where tracker = $1) as had`,
};

/**
 * How many of these ids have been given this change, or a later one. A subquery for each id, since right after a bulk
 * the planner's statistics know nothing of it: from any join it chose to read all members for each look.
 */
export const COUNT_APPLIED: Statement = {
  name: 'client-count-applied',
  text: `select count(*) filter (
           where (select m.stamp from longwatch.member m where m.tracker = $1 and m.id = w.id) >= $3)::int as applied
         from unnest($2::text[]) as w (id)`,
};

export const LIST: Statement = {
  name: 'client-list',
  text: `select id, hash::float8 as hash, ${ms('added_at')} as added_at from longwatch.member
         where tracker = $1 and removed_at is null and id > $2
         order by id limit $3`,
};

export const LIST_POOL: Statement = {
  name: 'client-list-pool',
  text: `select id, hash::float8 as hash, ${ms('added_at')} as added_at from longwatch.member
         where tracker = $1 and slot between $4 and $5 and removed_at is null and id > $2
         order by id limit $3`,
};

const POOL_COLUMNS = `n.pool, coalesce(p.members, 0) as members, p.node, p.shift, p.attempt,
                p.node is not null and p.released_at is null and p.quarantined_at is null
                  and coalesce(${lives('node')}, false) as on_shift,
                ${ms('p.taken_at')} as taken_at, coalesce(p.crashes, 0) as crashes, p.last_error,
                ${ms('p.quarantined_at')} as quarantined_at,
                ${ms(`case when t.state <> 'stopped' then p.unbegun_since end`)} as unbegun_since, p.unbegun_on`;

export const POOLS: Statement = {
  name: 'client-pools',
  text: `select ${POOL_COLUMNS}
         from longwatch.tracker t
         cross join lateral generate_series(0, t.pools - 1) as n(pool)
         left join longwatch.pool p on p.tracker = t.name and p.pool = n.pool
         left join longwatch.node on node.name = p.node
         where t.name = $1
         order by n.pool`,
};

/** A page of the same, from pool $2 on, $3 of them: each is looked for by its number, however many there are. */
export const POOLS_PAGE: Statement = {
  name: 'client-pools-page',
  text: `select ${POOL_COLUMNS}
         from longwatch.tracker t
         cross join lateral generate_series($2::int, least(t.pools - 1, $2::int + $3::int - 1)) as n(pool)
         left join lateral (
           select * from longwatch.pool where tracker = t.name and pool = n.pool offset 0
         ) p on true
         left join longwatch.node on node.name = p.node
         where t.name = $1
         order by n.pool`,
};

/** One member with all of its values; a row an operation, or one with nulls where none has a value. */
export const SHOW: Statement = {
  name: 'client-show',
  text: `select m.id, l.pool, p.node, ${ms('m.added_at')} as added_at, ${ms('m.removed_at')} as removed_at,
                ${ms('now()')} as now, t.state, t.options, t.changes, v.operation, v.value, v.codec, v.etag, v.failures, v.error,
                ${ms('v.fetched_at')} as fetched_at, ${ms('v.expires_at')} as expires_at,
                ${ms('v.changed_at')} as changed_at, ${ms('v.failed_at')} as failed_at,
                ${ms(`case when v.failed_at <= (
                    select max(h.lifted_at) from longwatch.hold h
                    where h.tracker = m.tracker and h.operation in ('', v.operation)) then null else v.held_until end`)} as held_until
         from longwatch.member m
         join longwatch.tracker t on t.name = m.tracker
         cross join lateral (select longwatch.pool_of(m.hash, t.pools) as pool) l
         left join longwatch.pool p on p.tracker = m.tracker and p.pool = l.pool
         left join longwatch.value v on v.member = m.key
         where m.tracker = $1 and m.id = $2
         order by v.operation`,
};

export const STATUS_TRACKERS: Statement = {
  name: 'client-status-trackers',
  text: `select t.name, t.state, t.pools, t.options, t.changes, t.gate_open,
                ${ms(`${AS_OF} - greatest(t.gate_checked_at, t.gate_next_at)`)} as gate_age_ms,
                coalesce(p.members, 0)::int as members,
                coalesce(p.on_shift, 0)::int as on_shift, coalesce(p.quarantined, 0)::int as quarantined,
                (case when t.state = 'stopped' then 0 else coalesce(p.unbegun, 0) end)::int as unbegun
         from longwatch.tracker t
         left join (
           select pool.tracker, sum(pool.members) as members, count(*) filter (where pool.quarantined_at is not null) as quarantined,
                  count(*) filter (where pool.unbegun_since is not null) as unbegun,
                  count(*) filter (
                    where pool.released_at is null and pool.quarantined_at is null and ${lives('node')}
                  ) as on_shift
           from longwatch.pool left join longwatch.node on node.name = pool.node
           group by pool.tracker
         ) p on p.tracker = t.name
         where $1::text is null or t.name = $1
         order by t.name`,
};

/**
 * The pools that may have an old value of one of these operations, as far as their keepers tell ($2 and $3). The others
 * have none: all that their keeper told was young enough to be so still, or it is told by who keeps the pool now, some
 * seconds ago. A keeper that has told of fewer members than there are (two pools are one since) has not
 * told of all.
 */
export const STATUS_MAY_BE_STALE: Statement = {
  name: 'client-status-may-be-stale',
  text: `select p.pool, p.members from longwatch.pool p left join longwatch.node n on n.name = p.node
         where p.tracker = $1 and p.members > 0 and exists (
           select from unnest($2::text[], $3::float8[]) as o (operation, every_ms)
           left join longwatch.pool_age a on a.tracker = p.tracker and a.pool = p.pool and a.operation = o.operation
           cross join lateral (select greatest(0, extract(epoch from ${AS_OF} - a.told_at) * 1000) as told_ms) t
           where (a.members >= p.members and (
             a.max_ms + t.told_ms <= 3 * o.every_ms
             or a.max_ms <= 3 * o.every_ms and t.told_ms < 15000 and a.told_at >= p.taken_at and p.released_at is null
                and p.quarantined_at is null and ${lives('n')}
           )) is not true)`,
};

/**
 * How many of the members in these slots of the pools ($4 to $6) have a value that is older than three times what it
 * may be: the interval, the upstream's Expires or a hold (of the member, or of the operation on the node that keeps
 * it). A value that was never fetched is as old as its member. Each range and each value is looked for in its index,
 * whatever the planner believes of their number (`offset 0`).
 */
export const STATUS_STALE: Statement = {
  name: 'client-status-stale',
  text: `with looked as materialized (
           select m.key, m.added_at, r.pool
           from unnest($4::int[], $5::bigint[], $6::bigint[]) as r (pool, first, last)
           cross join lateral (
             select key, added_at from longwatch.member
             where tracker = $1 and slot between r.first and r.last and removed_at is null offset 0
           ) m
         )
         select o.operation, count(*)::int as stale, (select count(*)::int from looked) as looked
         from looked m
         cross join unnest($2::text[], $3::float8[]) as o (operation, every_ms)
         left join lateral (
           select fetched_at, expires_at, held_until from longwatch.value
           where member = m.key and operation = o.operation offset 0
         ) v on true
         left join longwatch.pool p on p.tracker = $1 and p.pool = m.pool
         left join longwatch.node_stats s
           on s.node = p.node and s.tracker = $1 and s.operation = o.operation and s.held_until > ${AS_OF}
         where extract(epoch from ${AS_OF} - coalesce(v.fetched_at, m.added_at)) * 1000 > 3 * greatest(
             o.every_ms,
             extract(epoch from v.expires_at - v.fetched_at) * 1000,
             extract(epoch from greatest(v.held_until, s.held_until) - coalesce(v.fetched_at, m.added_at)) * 1000)
         group by o.operation`,
};

/** Counts of all nodes, added up; lateness only of nodes that were heard of in the last minute. */
export const STATUS_STATS: Statement = {
  name: 'client-status-stats',
  text: `select s.tracker, s.operation, sum(s.fetched)::float8 as fetched,
                sum(s.failed)::float8 as failed, sum(s.skipped)::float8 as skipped,
                max(s.last_round_ms) filter (
                  where ${lives('node')}
                ) as last_round_ms,
                coalesce(
                  json_agg(s.late_buckets) filter (where s.seen_at > ${AS_OF} - interval '1 minute'), '[]'
                ) as late_buckets
         from longwatch.node_stats s left join longwatch.node on node.name = s.node
         where $1::text is null or s.tracker = $1
         group by s.tracker, s.operation`,
};

export const STATUS_NODES: Statement = {
  name: 'client-status-nodes',
  text: `select n.name, n.host, n.pid, n.metrics_url, ${ms('n.started_at')} as started_at, ${ms('n.seen_at')} as seen_at,
                ${lives('n')} as live,
                (select count(*)::int from longwatch.pool p where p.node = n.name and p.released_at is null) as pools
         from longwatch.node n
         where n.ended_at is null and n.seen_at > ${AS_OF} - interval '10 minutes'
         order by n.name`,
};

export const STATUS_REPLICA: Statement = {
  name: 'client-status-replica',
  text: `select case when ${HAS_ALL} then 0
                     else (extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::float8
                end as behind_ms`,
};

export const NOTIFY: Statement = { name: 'client-notify', text: 'select pg_notify($1, $2)' };
