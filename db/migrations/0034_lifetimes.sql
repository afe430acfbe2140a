-- Up Migration

-- How far the most overdue value of a pool and operation is: its age against its lifetime (the interval, or the answer's
-- own expiry, or a hold, whichever is longest). 1: it is due. Null: its keeper is of an older release.
alter table longwatch.pool_age add column if not exists lifetimes double precision;

-- Down Migration
alter table longwatch.pool_age drop column if exists lifetimes;
