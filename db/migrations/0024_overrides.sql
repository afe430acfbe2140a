-- Up Migration

-- Whether its ids are, or ever were, placed by a route of its definition: then what is stored says where an id is, and not its name alone.
alter table longwatch.tracker add column routed boolean not null default false;

-- Down Migration
alter table longwatch.tracker drop column routed;
