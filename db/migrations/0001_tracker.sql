-- Up Migration
-- Not `if not exists`, which asks for the right to create schemas also where there is one.
do $$ begin
  if to_regnamespace('longwatch') is null then create schema longwatch; end if;
end $$;

-- Which Temporal cluster and namespace this database belongs to. Workers of another one are refused
-- until they are told to adopt it: two clusters with the same pools would each believe to be the only one.
create table longwatch.deployment (
  only_one boolean primary key default true check (only_one),
  cluster_id text not null,
  namespace text not null,
  adopted_at timestamptz not null default now()
);

-- Orders the changes of one id over all senders.
create sequence longwatch.stamp as bigint cache 1;

create table longwatch.tracker (
  name text primary key,
  state text not null default 'running' check (state in ('running', 'paused', 'stopped')),
  -- The layout: the number of pools, which never decreases (linear hashing, see pool_of).
  pools integer not null default 1 check (pools > 0),
  -- The definition's compiled options, and what was set by hand over them (path to value).
  options jsonb not null,
  changes jsonb not null default '{}',
  -- Null until the first answer: closed until known.
  gate_open boolean,
  gate_checked_at timestamptz,
  -- Raised by every change of state, options or gate; a shift reloads when it sees a new one.
  version bigint not null default 1,
  created_at timestamptz not null default now()
);

create table longwatch.pool (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  pool integer not null,
  -- The fence: only the holder of the current token may write.
  token bigint not null default 0,
  run_id text,
  shift integer,
  attempt integer,
  node text,
  taken_at timestamptz,
  released_at timestamptz,
  -- Raised by every change of this pool's members; a shift loads what came after the one it knows.
  roster_version bigint not null default 0,
  -- Members left for another pool at this version: load the whole roster again.
  reload_version bigint not null default 0,
  -- Crashes in a row; three put the pool in quarantine.
  crashes integer not null default 0,
  last_error text,
  quarantined_at timestamptz,
  primary key (tracker, pool)
) with (fillfactor = 50);

create table longwatch.member (
  key bigint generated always as identity primary key,
  tracker text not null references longwatch.tracker (name) on delete cascade,
  id text not null,
  hash bigint not null,
  pool integer not null,
  stamp bigint not null,
  roster_version bigint not null,
  added_at timestamptz not null default now(),
  -- Set: a tombstone, kept for a while so that a late add with an older stamp stays without effect.
  removed_at timestamptz,
  unique (tracker, id)
);
create index member_by_pool on longwatch.member (tracker, pool, roster_version);
create index member_tombstones on longwatch.member (removed_at) where removed_at is not null;

-- The latest value of each member and operation. No index on a column that changes, and room on each
-- page, so that updates stay HOT.
create table longwatch.value (
  member bigint not null references longwatch.member (key) on delete cascade,
  operation text not null,
  value jsonb,
  etag text,
  -- The last success; null before the first one.
  fetched_at timestamptz,
  expires_at timestamptz,
  changed_at timestamptz,
  -- The last failure, cleared by a success.
  failed_at timestamptz,
  failures integer not null default 0,
  error text,
  -- A hold of the upstream (Retry-After) that is in force until then.
  held_until timestamptz,
  primary key (member, operation)
) with (fillfactor = 50);

-- What each node has done since it started; one row a node, tracker and operation. `status` adds them up.
create table longwatch.node_stats (
  node text not null,
  tracker text not null references longwatch.tracker (name) on delete cascade,
  operation text not null,
  fetched bigint not null default 0,
  failed bigint not null default 0,
  skipped bigint not null default 0,
  rounds bigint not null default 0,
  last_round_ms double precision,
  -- Lateness of the last minute or two, counts by bucket (activities/tracker/shift/lateness.ts has the bounds).
  late_buckets bigint[] not null default '{}',
  -- The upstream asked this node to leave the operation alone (Retry-After), for how long and until when.
  hold_ms double precision not null default 0,
  held_until timestamptz,
  seen_at timestamptz not null default now(),
  primary key (node, tracker, operation)
) with (fillfactor = 50);

create table longwatch.node (
  name text primary key,
  host text not null,
  pid integer not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  metrics_url text,
  ended_at timestamptz
) with (fillfactor = 50);

-- Linear hashing: with n pools and 2^l the largest power of two that is not above n.
-- Its twin is poolOf in workflows/tracker/plan.ts; a test holds them together.
create function longwatch.pool_of(hash bigint, pools integer) returns integer
language sql immutable parallel safe as $$
  -- l: the highest bit of pools, by its number of binary digits.
  select case when hash % (2 * l) < pools then hash % (2 * l) else hash % l end::integer
  from (select 1::bigint << (length(ltrim(pools::bit(32)::text, '0')) - 1) as l) as level
$$;

-- Down Migration
drop schema longwatch cascade;
