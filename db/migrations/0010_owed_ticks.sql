-- Up Migration
-- What a job owes of the schedules that it had before: [{"schedule": …, "until": epoch milliseconds}], in order.
alter table longwatch.job add column if not exists earlier_schedules jsonb not null default '[]';
-- A sweep whose handler was told to leave the upstream alone: nothing is claimed before.
alter table longwatch.job add column if not exists held_until timestamptz;
alter table longwatch.job add column if not exists held_why text;

-- One row of the table that was put off, for somebody held it locked: a part of its own, whose key is `upto`.
alter table longwatch.tick_range add column if not exists alone boolean not null default false;
-- The columns that its parts are cut along: of a table whose key has become another one meanwhile they say nothing.
alter table longwatch.tick add column if not exists key text[];

-- Rows that the open tick of a sweep has claimed, or that were claimed when it began: each is handed out once a tick. By hashes of the key
-- (of two seeds), for a key that its own index has room for may be too large for another one. Without a reference to the job: looking at
-- it for each row would cost more than all else that a claim does.
create table if not exists longwatch.swept (
  job text not null,
  h0 bigint not null,
  h1 bigint not null,
  primary key (job, h0, h1)
);

-- The same of rows that failed.
alter table longwatch.failed_row drop constraint if exists failed_row_pkey;
create unique index if not exists failed_row_key
  on longwatch.failed_row (job, hash_array_extended(key, 0), hash_array_extended(key, 1));

-- Down Migration
drop table longwatch.swept;
drop index longwatch.failed_row_key;
alter table longwatch.failed_row add primary key (job, key);
alter table longwatch.tick_range drop column alone;
alter table longwatch.tick drop column key;
alter table longwatch.job drop column earlier_schedules, drop column held_until, drop column held_why;
