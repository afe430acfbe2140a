-- Up Migration
-- A job: a regen, decay or sweep over a whole table. Written by the job's workflow through its activities.
create table longwatch.job (
  name text primary key,
  kind text not null check (kind in ('regen', 'decay', 'sweep')),
  state text not null default 'running' check (state in ('running', 'paused', 'stopped')),
  -- The definition's compiled options, and what was set by hand over them (path to value).
  options jsonb not null,
  changes jsonb not null default '{}',
  -- Raised by every change of state or options.
  version bigint not null default 1,
  -- The fence: only the holder of the current token advances rows. Its copies are in tick_range.
  token bigint not null default 0,
  run_id text,
  pass integer,
  attempt integer,
  node text,
  taken_at timestamptz,
  -- The newest tick that has ended: an older one is never begun again.
  ended_due timestamptz,
  -- The size of a chunk that was found last (chunk: auto).
  chunk_rows integer,
  created_at timestamptz not null default now()
) with (fillfactor = 50);

-- One row a tick: what it stands for while it runs, what came of it afterwards.
create table longwatch.tick (
  job text not null references longwatch.job (name) on delete cascade,
  due timestamptz not null,
  -- Asked for by hand (`regen run`), or null.
  request text,
  -- Intervals it stands for, and those that were skipped before it.
  elapsed integer not null,
  skipped integer not null default 0,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  rows bigint not null default 0,
  chunks bigint not null default 0,
  -- Rows that the statement, or the handler, failed on.
  failed bigint not null default 0,
  -- Of work, over all attempts; waits for a worker are in started_at and ended_at.
  ms double precision not null default 0,
  longest_ms double precision,
  round_trip_p50_ms double precision,
  round_trip_p99_ms double precision,
  band text,
  error text,
  primary key (job, due)
) with (fillfactor = 50);
-- At most one tick of a job at a time.
create unique index tick_open on longwatch.tick (job) where ended_at is null;
create unique index tick_request on longwatch.tick (job, request) where request is not null;

-- Progress of the open tick, one row a part of the key space: rows with after < key <= upto are still to be done.
-- Committed together with the rows it speaks of.
create table longwatch.tick_range (
  job text not null references longwatch.job (name) on delete cascade,
  part integer not null,
  -- Key columns as text. Null: from the first key on (after), without an end (upto).
  after text[],
  upto text[],
  token bigint not null,
  done boolean not null default false,
  rows bigint not null default 0,
  chunks bigint not null default 0,
  failed bigint not null default 0,
  primary key (job, part)
) with (fillfactor = 50);

-- A page of due rows that is being handled, or waits for its next attempt. Nobody else claims its rows.
create table longwatch.claim (
  page bigint generated always as identity primary key,
  job text not null references longwatch.job (name) on delete cascade,
  -- A list of keys, each a list of its columns as text.
  keys jsonb not null,
  owner text not null,
  attempt integer not null,
  -- In force until then; afterwards the page is to be handled again.
  until timestamptz not null,
  error text
) with (fillfactor = 50);
create index claim_by_job on longwatch.claim (job, until);

-- Rows that failed: in a regen's or decay's latest tick, or as dead letters of a sweep.
create table longwatch.failed_row (
  job text not null references longwatch.job (name) on delete cascade,
  key text[] not null,
  due timestamptz not null,
  error text not null,
  code text,
  attempts integer not null default 1,
  failed_at timestamptz not null default now(),
  primary key (job, key)
);

-- Down Migration
drop table longwatch.failed_row, longwatch.claim, longwatch.tick_range, longwatch.tick, longwatch.job;
