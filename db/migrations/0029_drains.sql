-- Up Migration

-- Until when a node keeps nothing of each tracker in `drained_for`, in the same order (null: until it is resumed). Its
-- drain as a whole has an end of its own: `drained_until`.
alter table longwatch.node add column if not exists drained_for_until timestamptz[] not null default '{}';
update longwatch.node set drained_for_until = array_fill(drained_until, array[cardinality(drained_for)])
where drained_until is not null and cardinality(drained_for) > 0;
update longwatch.node set drained_until = null where drained_at is null and drained_until is not null;

create or replace trigger node_wishes
  after update of drained_at, drained_until, drained_for, drained_for_until, target, weight
  on longwatch.node for each statement execute function longwatch.announce_wishes();

-- Down Migration
-- A release that knows one end for all takes the last one; without any, all go on until they are resumed.
update longwatch.node set drained_until = case
  when (drained_at is null or drained_until is not null) and array_position(drained_for_until, null) is null
    then greatest(drained_until, (select max(until) from unnest(drained_for_until) until)) end
where cardinality(drained_for) > 0;
create or replace trigger node_wishes after update of drained_at, drained_until, drained_for, target, weight
  on longwatch.node for each statement execute function longwatch.announce_wishes();
alter table longwatch.node drop column if exists drained_for_until;
