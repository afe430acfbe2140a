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

-- ── The history ──

-- Two lists of counts, place by place; the shorter one has zeros behind it.
create or replace function longwatch.add_counts(a bigint[], b bigint[]) returns bigint[]
language sql immutable parallel safe as $$
  select coalesce(array_agg(coalesce(x, 0) + coalesce(y, 0) order by i), '{}') from unnest(a, b) with ordinality as u (x, y, i)
$$;
create or replace aggregate longwatch.sum_counts(bigint[]) (sfunc = longwatch.add_counts, stype = bigint[], initcond = '{}');

-- Runs by their lateness since the node's start (`late_buckets` has those of the last minute or two).
alter table longwatch.node_stats add column if not exists late_total bigint[] not null default '{}';

-- All ticks that have ended: a tick's own row is pruned.
alter table longwatch.job
  add column if not exists ticks_total bigint not null default 0,
  add column if not exists rows_total bigint not null default 0,
  add column if not exists failed_total bigint not null default 0,
  add column if not exists ms_total double precision not null default 0;

-- Until when the history is written.
create table if not exists longwatch.series_clock (
  only_one boolean primary key default true check (only_one),
  at timestamptz not null
);

-- What had been counted of each thing by then.
create table if not exists longwatch.series_total (
  kind text not null,
  name text not null,
  totals double precision[] not null,
  late double precision[] not null,
  seen_at timestamptz not null default now(),
  primary key (kind, name)
) with (fillfactor = 50);

-- The figures of each thing, a row a minute (kept for a day) and a row an hour (kept for a month). activities/series/kinds.ts
-- says which figures a kind has, in the order of the arrays.
create table if not exists longwatch.series (
  step text not null check (step in ('minute', 'hour')),
  kind text not null,
  name text not null,
  at timestamptz not null,
  -- The time of it that was counted.
  seconds double precision not null,
  counts double precision[] not null,
  -- Figures that are looked at: the sum of the looks, their number, the most.
  look_sums double precision[] not null,
  look_numbers integer[] not null,
  mosts double precision[] not null,
  -- Runs by lateness (activities/tracker/shift/lateness.ts has the bounds).
  late double precision[] not null,
  primary key (step, kind, name, at)
) with (fillfactor = 80);
create index if not exists series_age on longwatch.series (step, at);

-- Each start of a node's process, as a mark in charts.
create table if not exists longwatch.node_start (
  node text not null,
  incarnation bigint not null,
  at timestamptz not null default now(),
  host text not null,
  version text,
  -- The process before it had not said that it ends.
  after_crash boolean not null,
  primary key (node, incarnation)
);
create index if not exists node_start_at on longwatch.node_start (at);

-- Down Migration
drop table if exists longwatch.node_start;
drop table if exists longwatch.series;
drop table if exists longwatch.series_total;
drop table if exists longwatch.series_clock;
alter table longwatch.job drop column if exists ticks_total, drop column if exists rows_total,
  drop column if exists failed_total, drop column if exists ms_total;
alter table longwatch.node_stats drop column if exists late_total;
drop aggregate if exists longwatch.sum_counts(bigint[]);
drop function if exists longwatch.add_counts(bigint[], bigint[]);
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
