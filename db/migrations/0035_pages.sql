-- Up Migration

-- Lists in pages: each page goes on in an index where the one before it ended.
drop index if exists longwatch.task_open;
create index task_open on longwatch.task (state, task) where state in ('leased', 'waiting');
drop index if exists longwatch.task_broken;
create index task_broken on longwatch.task (changed_at, task)
  where kind = 'compensation' and (state = 'failed' or (state in ('waiting', 'leased') and note is not null));
create index if not exists failed_row_newest
  on longwatch.failed_row (job, failed_at, hash_array_extended(key, 0), hash_array_extended(key, 1));
create index if not exists member_dead_oldest on longwatch.member_dead (tracker, died_at, id);

-- Down Migration
drop index if exists longwatch.member_dead_oldest;
drop index if exists longwatch.failed_row_newest;
drop index if exists longwatch.task_broken;
create index task_broken on longwatch.task (changed_at) where kind = 'compensation' and state = 'failed';
drop index if exists longwatch.task_open;
create index task_open on longwatch.task (state) where state in ('leased', 'waiting');
