-- Up Migration
-- What a job owes of the schedules that it had before: [{"schedule": …, "until": epoch milliseconds}], in order.
alter table longwatch.job add column if not exists earlier_schedules jsonb not null default '[]';
-- A sweep whose handler was told to leave the upstream alone: nothing is claimed before.
alter table longwatch.job add column if not exists held_until timestamptz;
alter table longwatch.job add column if not exists held_why text;

-- One row of the table that was put off, for somebody held it locked: a part of its own, whose key is `upto`.
alter table longwatch.tick_range add column if not exists alone boolean not null default false;

-- Rows that the open tick of a sweep has claimed, or that were claimed when it began: each is handed out once a tick.
create table if not exists longwatch.swept (
  job text not null references longwatch.job (name) on delete cascade,
  key text[] not null,
  primary key (job, key)
);

-- Down Migration
drop table longwatch.swept;
alter table longwatch.tick_range drop column alone;
alter table longwatch.job drop column earlier_schedules, drop column held_until, drop column held_why;
