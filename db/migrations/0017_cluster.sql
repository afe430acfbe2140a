-- Up Migration

-- What is wanted of a node (`longwatch node …`), and what it says of itself each second. It is forgotten a day after its end.
alter table longwatch.node
  -- Each process of this name has a greater one: what an earlier one says is not the node's any more.
  add column if not exists incarnation bigint not null default 0,
  -- Since when it is drained by hand as a whole; trackers of which it keeps nothing, whether or not it is; and until when
  -- both count (null: until it is resumed).
  add column if not exists drained_at timestamptz,
  add column if not exists drained_until timestamptz,
  add column if not exists drained_for text[] not null default '{}',
  -- Pools at most; null: its share.
  add column if not exists target int check (target >= 0),
  -- Its part of the load against its peers'.
  add column if not exists weight double precision not null default 1 check (weight > 0 and weight < 'Infinity'),
  -- Set by the node: its labels, the address that upstreams see, its release.
  add column if not exists labels text[] not null default '{}',
  add column if not exists address text,
  add column if not exists version text,
  -- Crashes of processes of this name that are remembered (`placement/health.ts`).
  add column if not exists crashes int not null default 0,
  -- What placement reads (`placement/row.ts`), and what people read: event loop, processor, memory, figures of the last minute.
  add column if not exists placement jsonb,
  add column if not exists use jsonb,
  add column if not exists poolless_since timestamptz;
-- Written each second by every node: there is room for it beside the row.
alter table longwatch.node set (fillfactor = 50);

-- Whoever changes what is wanted of a node, every node hears of it at once.
create or replace function longwatch.announce_wishes() returns trigger language plpgsql as $$
begin
  perform pg_notify('longwatch', '{"nodes": true}');
  return null;
end $$;
create or replace trigger node_wishes after update of drained_at, drained_until, drained_for, target, weight
  on longwatch.node for each statement execute function longwatch.announce_wishes();

-- A shift that no node has begun: since when it was asked for, and on which task queue. Whoever takes the pool takes it back.
alter table longwatch.pool
  add column if not exists unbegun_since timestamptz,
  add column if not exists unbegun_on text;

-- Down Migration
drop trigger if exists node_wishes on longwatch.node;
drop function if exists longwatch.announce_wishes();
alter table longwatch.pool drop column if exists unbegun_on, drop column if exists unbegun_since;
alter table longwatch.node reset (fillfactor);
alter table longwatch.node
  drop column if exists poolless_since, drop column if exists use, drop column if exists placement,
  drop column if exists crashes, drop column if exists version, drop column if exists address, drop column if exists labels,
  drop column if exists weight, drop column if exists target, drop column if exists drained_for,
  drop column if exists drained_until, drop column if exists drained_at, drop column if exists incarnation;
