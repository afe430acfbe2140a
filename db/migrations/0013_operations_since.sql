-- Up Migration

-- Since when each operation has been declared or enabled, where that was after the tracker's start: operation to epoch milliseconds. First runs
-- count from then, also in shifts that begin later. Of what is there already nothing is known, and it counts from when its members were added.
alter table longwatch.tracker add column if not exists since jsonb not null default '{}';

-- Down Migration
alter table longwatch.tracker drop column if exists since;
