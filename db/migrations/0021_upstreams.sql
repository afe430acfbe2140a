-- Up Migration

-- The upstreams that have limits: their options as the config of the worker that started last has them, and what was set by
-- hand while it ran. Every node reads the changes each second and lays them over the options of its own config.
create table if not exists longwatch.upstream (
  name text primary key,
  options jsonb not null,
  -- Who gave each option, by its path; one that is not listed is built in.
  sources jsonb not null default '{}',
  -- By compiled path: `limits.errors.tokens`.
  changes jsonb not null default '{}',
  declared_at timestamptz not null default now(),
  changed_at timestamptz
);

-- Members that wait for a bucket that has nothing: told by the node that keeps them, where it takes longer than some
-- seconds. For `status` and `show`; a row that was not told again is old.
create table if not exists longwatch.budget_wait (
  member bigint not null references longwatch.member (key) on delete cascade,
  operation text not null,
  tracker text not null,
  node text not null,
  upstream text not null,
  limit_name text not null,
  -- As the ledger has it: a hash where it is a secret.
  key text not null,
  since timestamptz not null,
  -- When it is worth asking again; null: when the bucket has something, which nobody knows.
  until timestamptz,
  closed boolean not null default false,
  seen_at timestamptz not null default now(),
  primary key (member, operation)
);
create index if not exists budget_wait_tracker on longwatch.budget_wait (tracker, operation);
create index if not exists budget_wait_node on longwatch.budget_wait (node);

-- Down Migration
drop table if exists longwatch.budget_wait;
drop table if exists longwatch.upstream;
