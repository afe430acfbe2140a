-- Up Migration

-- How the sender had it: before the others, or not before a time. Null: as it comes.
alter table longwatch.buffer_outbox add column front boolean, add column at float8;

-- Down Migration
alter table longwatch.buffer_outbox drop column front, drop column at;
