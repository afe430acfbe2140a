-- Up Migration

-- Limits that somebody closed by hand, for all of their keys: those that come later too, and the buckets of single members,
-- which have no row in `budget`. Each lock of a row of `budget` reads it, and every node each second.
create table if not exists longwatch.budget_closing (
  upstream text not null,
  limit_name text not null,
  closed_until timestamptz not null,
  reason text,
  -- Counts the closings and openings: a row of `budget` that was opened by itself since is not closed by an older one.
  serial bigint not null default 1,
  primary key (upstream, limit_name)
);

-- Down Migration
drop table if exists longwatch.budget_closing;
