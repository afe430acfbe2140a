-- Up Migration

-- Whether its ids are, or ever were, placed by a route of its definition: then what is stored says where an id is, and not its name alone.
alter table longwatch.tracker add column routed boolean not null default false;

-- The name of the codec of its definition that has encoded the value; null: the value is as it was returned.
alter table longwatch.value add column codec text;

-- Down Migration
alter table longwatch.value drop column codec;
alter table longwatch.tracker drop column routed;
