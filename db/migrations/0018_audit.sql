-- Up Migration

-- What operators did: one row a command. Data (ids, entries, pushes of programs) is counted elsewhere, not listed.
create table if not exists longwatch.audit (
  number bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  -- cli, client, http.
  via text not null,
  -- The command, and what it was done to: `node drain`, `node/worker-1`.
  what text not null,
  subject text not null,
  -- What it was and what it is, where the command changes something that is written down.
  before jsonb,
  after jsonb,
  why text,
  -- done; unchanged: it was so already; refused; unknown: no answer came. Null: who sent it has not noted its answer,
  -- because it goes on, or because its process has ended in between.
  outcome text check (outcome in ('done', 'unchanged', 'refused', 'unknown')),
  error text
);
create index if not exists audit_subject on longwatch.audit (subject, number desc);

-- Down Migration
drop table if exists longwatch.audit;
