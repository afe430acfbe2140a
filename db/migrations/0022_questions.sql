-- Up Migration

-- The questions that people and programs ask of the cluster, as views: docs/cluster.md has them. Each is one statement, so
-- its answer is of one moment, also while nodes move, pools are split and members come and go.

-- Where a member is kept, and whether it is: a row a member. Looked up by (tracker, id), it reads one row of each table.
create view longwatch.member_place as
select m.tracker, m.id, l.pool, p.node, p.shift, p.taken_at, m.added_at,
       case
         when t.state = 'stopped' then 'stopped'
         when p.quarantined_at is not null then 'quarantined'
         when p.node is null then 'never kept'
         -- Its shift has ended, and the next one has not begun: some hundredths of a second where a node gives it away.
         when p.released_at is not null then 'between shifts'
         when n.name is null or n.ended_at is not null or n.seen_at < clock_timestamp() - interval '5 seconds' then 'node gone'
         else 'kept'
       end as state,
       -- Since it is nobody's, or since when its node is silent.
       clock_timestamp() - case when p.released_at is not null then p.released_at else coalesce(n.ended_at, n.seen_at) end as silent
from longwatch.member m
join longwatch.tracker t on t.name = m.tracker
cross join lateral (select longwatch.pool_of(m.hash, t.pools) as pool) l
-- Each is looked for in its index, whatever the planner believes of their number (`offset 0`).
left join lateral (
  select node, shift, taken_at, released_at, quarantined_at from longwatch.pool where tracker = m.tracker and pool = l.pool offset 0
) p on true
left join lateral (select name, seen_at, ended_at from longwatch.node where name = p.node offset 0) n on true
where m.removed_at is null;

-- How many members and pools a tracker has, and how many of them live nodes keep right now. From the pools' counts, which every
-- change of members keeps in its own transaction: as many rows as there are pools, whatever the number of members.
create view longwatch.tracker_count as
select t.name as tracker, t.state, t.pools,
       coalesce(sum(p.members), 0)::bigint as members,
       count(*) filter (where k.kept)::integer as pools_kept,
       coalesce(sum(p.members) filter (where k.kept), 0)::bigint as members_kept
from longwatch.tracker t
left join longwatch.pool p on p.tracker = t.name and p.pool < t.pools
left join longwatch.node n on n.name = p.node
cross join lateral (
  select t.state <> 'stopped' and p.released_at is null and p.quarantined_at is null and n.ended_at is null
         and n.seen_at >= clock_timestamp() - interval '5 seconds' as kept
) k
group by t.name;

-- Down Migration
drop view longwatch.tracker_count, longwatch.member_place;
