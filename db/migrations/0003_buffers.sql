-- Up Migration

create table longwatch.buffer (
  name text primary key,
  state text not null default 'running' check (state in ('running', 'paused')),
  -- The definition's compiled options.
  options jsonb not null,
  -- Raised by every change of state or options; a shard ignores orders older than the ones it has.
  version bigint not null default 1,
  created_at timestamptz not null default now()
);

-- What each shard last said of itself, for status, metrics and senders. The counts themselves are the workflow's.
create table longwatch.buffer_shard (
  buffer text not null references longwatch.buffer (name) on delete cascade,
  shard integer not null,
  -- Orders the reports: an older one that comes late changes nothing.
  moment float8 not null,
  status json not null,
  reported_at timestamptz not null default now(),
  primary key (buffer, shard)
) with (fillfactor = 50);

-- Entries that a shard does not keep in memory: a run of them a row, as one JSON text.
create table longwatch.buffer_chunk (
  buffer text not null,
  id text not null,
  -- Null until the shard has heard of it.
  shard integer,
  lane text check (lane in ('front', 'back', 'later')),
  -- Order within the lane; null: the shard has a reference to it.
  place bigint,
  due_at float8,
  -- Put-off rows that were fetched, and by which fetch.
  token text,
  -- The number of its first entry.
  first bigint,
  count integer not null,
  bytes integer not null,
  entries text not null,
  keys text[],
  -- Attempts, limits and errors of the run.
  fate json,
  -- Rows that a sender wrote and no shard has taken over are deleted then.
  expires_at timestamptz,
  primary key (buffer, id)
);
-- A row is read once and deleted: compressing it would cost more than the room it saves.
alter table longwatch.buffer_chunk alter column entries set storage external;
create index buffer_chunk_place on longwatch.buffer_chunk (buffer, shard, lane, place) where place is not null;
create index buffer_chunk_due on longwatch.buffer_chunk (buffer, shard, due_at) where lane = 'later';
create index buffer_chunk_expiry on longwatch.buffer_chunk (expires_at) where expires_at is not null;

-- The newest stored entry of each key: an older one that is met on the way is passed over.
create table longwatch.buffer_key (
  buffer text not null,
  shard integer not null,
  key text not null,
  entry bigint not null,
  primary key (buffer, shard, key)
) with (fillfactor = 80);

-- Pages of `init` that were read: the same page again is this one.
create table longwatch.buffer_page (
  buffer text not null references longwatch.buffer (name) on delete cascade,
  pass integer not null,
  page integer not null,
  result json not null,
  read_at timestamptz not null default now(),
  primary key (buffer, pass, page)
);

-- Entries of trackers' operations whose shard has not been told yet: noted in the transaction that stored them.
create table longwatch.buffer_outbox (
  buffer text not null,
  id text not null,
  shard integer not null,
  sender text not null,
  seq integer not null,
  count integer not null,
  bytes integer not null,
  made_at timestamptz not null default now(),
  primary key (buffer, id)
);

create table longwatch.buffer_dead (
  buffer text not null references longwatch.buffer (name) on delete cascade,
  shard integer not null,
  -- Its number in the shard.
  entry bigint not null,
  -- json, not jsonb: an entry may have what jsonb refuses (\u0000).
  value json,
  key text,
  error text not null,
  errors json not null,
  attempts integer not null,
  died_at timestamptz not null default now(),
  state text not null default 'dead' check (state in ('dead', 'retrying', 'retried', 'dropping', 'dropped')),
  -- The operator's order that chose it, and the page of that order that took it.
  op text,
  page integer,
  note text,
  changed_at timestamptz not null default now(),
  primary key (buffer, shard, entry)
);
create index buffer_dead_open on longwatch.buffer_dead (buffer, died_at) where state = 'dead';
create index buffer_dead_op on longwatch.buffer_dead (buffer, shard, op, page) where op is not null;

-- Down Migration
drop table longwatch.buffer_outbox, longwatch.buffer_dead, longwatch.buffer_page, longwatch.buffer_key, longwatch.buffer_chunk,
  longwatch.buffer_shard, longwatch.buffer;
