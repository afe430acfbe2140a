-- Up Migration

-- Which database this is, for the namespace to remember: two databases in one namespace would take each other's shifts.
alter table longwatch.deployment add column if not exists id uuid not null default gen_random_uuid();

-- Down Migration
alter table longwatch.deployment drop column if exists id;
