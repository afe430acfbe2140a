-- Up Migration

-- Ids in the order of their bytes: only so are those with the same beginning one range of the index, whatever the
-- database's own order of text is. The view is made anew, since it reads the column.
drop view longwatch.member_place;
alter table longwatch.member alter column id type text collate "C";
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

-- Members that fail, by operation. A success after a success leaves `failures` as it was, so it stays HOT; a failure does not.
create index if not exists value_failing on longwatch.value (operation, member) where failures > 0;

-- How old the values of a pool and operation are, as the pool's keeper tells it every ten seconds or so.
create table if not exists longwatch.pool_age (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  pool integer not null,
  operation text not null,
  members integer not null,
  -- Without a success yet: they are as old as they are members.
  never integer not null,
  p50_ms double precision,
  p95_ms double precision,
  max_ms double precision,
  -- Members by age (activities/tracker/shift/lateness.ts has the bounds).
  buckets integer[] not null,
  -- The oldest members: [key of the member, since when in epoch milliseconds, whether it never had a success].
  oldest jsonb not null,
  told_at timestamptz not null default now(),
  primary key (tracker, pool, operation)
) with (fillfactor = 40);

-- Down Migration
drop table if exists longwatch.pool_age;
drop index if exists longwatch.value_failing;
drop view longwatch.member_place;
alter table longwatch.member alter column id type text;
create view longwatch.member_place as
select m.tracker, m.id, l.pool, p.node, p.shift, p.taken_at, m.added_at,
       case
         when t.state = 'stopped' then 'stopped'
         when p.quarantined_at is not null then 'quarantined'
         when p.node is null then 'never kept'
         when p.released_at is not null then 'between shifts'
         when n.name is null or n.ended_at is not null or n.seen_at < clock_timestamp() - interval '5 seconds' then 'node gone'
         else 'kept'
       end as state,
       clock_timestamp() - case when p.released_at is not null then p.released_at else coalesce(n.ended_at, n.seen_at) end as silent
from longwatch.member m
join longwatch.tracker t on t.name = m.tracker
cross join lateral (select longwatch.pool_of(m.hash, t.pools) as pool) l
left join lateral (
  select node, shift, taken_at, released_at, quarantined_at from longwatch.pool where tracker = m.tracker and pool = l.pool offset 0
) p on true
left join lateral (select name, seen_at, ended_at from longwatch.node where name = p.node offset 0) n on true
where m.removed_at is null;
