-- Up Migration

-- Messages, timers and values of members whose handler was at work when its process ended, or may have been. A row is written before such a
-- handler begins again, and deleted when it has come back (activities/tracker/turns/strikes.ts); so in quiet times there is none.
create table if not exists longwatch.strike (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  -- Of its member: a pool reads those of its slots.
  slot bigint not null,
  -- What `ctx.key` says: the same for each attempt, and for nothing else.
  key text not null,
  count integer not null,
  -- The pool and its token, of the keeper that counted last: each counts once, however often it asks.
  keeper text not null,
  struck_at timestamptz not null default clock_timestamp(),
  primary key (tracker, slot, key)
);

-- When the pool was last taken from a keeper that had not ended cleanly: what is older may have been under way there.
alter table longwatch.pool add column if not exists struck_before timestamptz;

-- Down Migration
alter table longwatch.pool drop column if exists struck_before;
drop table if exists longwatch.strike;
