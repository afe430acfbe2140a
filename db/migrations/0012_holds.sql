-- Up Migration

-- Upstreams that asked to be left alone, for every node and after every restart; one row an operation, '' for the whole tracker.
create table if not exists longwatch.hold (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  operation text not null default '',
  held_until timestamptz not null,
  -- When the upstream said so, and to which node.
  told_at timestamptz not null,
  node text not null,
  reason text not null,
  -- By hand (`hold open`): what was told before does not hold any more, also what a member's own row says.
  lifted_at timestamptz,
  primary key (tracker, operation)
) with (fillfactor = 50);

-- Whose ETags and expiries do not count any more, so that they are asked anew (`refetch`, a new version of an operation): those of a
-- value fetched before. '' stands for all operations, and for all ids.
create table if not exists longwatch.refetch (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  operation text not null default '',
  id text not null default '',
  asked_at timestamptz not null,
  primary key (tracker, operation, id)
);
create index if not exists refetch_asked on longwatch.refetch (asked_at);

-- Until when nobody asks the gate: the upstream said so, or somebody is about to. Until a while after it the last answer counts.
alter table longwatch.tracker add column if not exists gate_next_at timestamptz;

-- Down Migration
alter table longwatch.tracker drop column if exists gate_next_at;
drop table if exists longwatch.refetch;
drop table if exists longwatch.hold;
