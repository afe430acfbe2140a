-- Up Migration

-- Compensations that could not be carried out, in the order of their tasks: by their time one that is tried again while
-- its list is read would come on a later page once more.
drop index if exists longwatch.task_broken;
create index task_broken on longwatch.task (task)
  where kind = 'compensation' and (state = 'failed' or (state in ('waiting', 'leased') and note is not null));

-- Down Migration
drop index if exists longwatch.task_broken;
create index task_broken on longwatch.task (changed_at, task)
  where kind = 'compensation' and (state = 'failed' or (state in ('waiting', 'leased') and note is not null));
