-- Up Migration

-- A member's place on one line of 2^32 slots: its hash, read from the last bit to the first. Linear hashing tells pools apart by the last
-- bits of the hash; read this way they come first, so that each pool is one range of slots, and a pool that is split gives away the upper half
-- of its range: no member's row changes. The twin of slotOf in workflows/tracker/slots.ts; a test holds them together.
create function longwatch.slot_of(hash bigint) returns bigint
language sql immutable strict parallel safe as $$
  select reverse(hash::bit(32)::text)::bit(32)::bigint
$$;

-- How many members the pool has, kept by every change of them in its own transaction. `recount`: a split has halved the number, and nobody has
-- counted since. `counted_at`: when somebody last did.
alter table longwatch.pool
  add column members integer not null default 0,
  add column recount boolean not null default false,
  add column counted_at timestamptz;
insert into longwatch.pool (tracker, pool, members)
  select tracker, pool, count(*) from longwatch.member where removed_at is null group by tracker, pool
  on conflict (tracker, pool) do update set members = excluded.members;

-- Both in one rewrite of the table.
drop index longwatch.member_by_pool;
alter table longwatch.member
  drop column pool,
  add column slot bigint not null generated always as (longwatch.slot_of(hash)) stored;
-- Serves a pool whole, and what has changed in it since a version: that is looked for in the index alone, over the pool's range.
create index member_by_slot on longwatch.member (tracker, slot, roster_version);

-- By tracker, since each has its own time to keep them.
drop index longwatch.member_tombstones;
create index member_tombstones on longwatch.member (tracker, removed_at) where removed_at is not null;

-- The last command that has changed the tracker's state or options. The root names the one that it knows with each new command, so that an
-- attempt that was held up, and goes on after a later command, changes nothing.
alter table longwatch.tracker add column command text;

-- Which node patrols, and from when another one may: a row and no lock, so that no transaction is open during a round.
create table longwatch.patrol (
  only_one boolean primary key default true check (only_one),
  holder text,
  free_at timestamptz not null
);

-- Down Migration
drop table longwatch.patrol;
alter table longwatch.tracker drop column command;
drop index longwatch.member_by_slot;
drop index longwatch.member_tombstones;
create index member_tombstones on longwatch.member (removed_at) where removed_at is not null;
alter table longwatch.member add column pool integer;
update longwatch.member m set pool = longwatch.pool_of(m.hash, t.pools) from longwatch.tracker t where t.name = m.tracker;
alter table longwatch.member alter column pool set not null, drop column slot;
create index member_by_pool on longwatch.member (tracker, pool, roster_version);
alter table longwatch.pool drop column members, drop column recount, drop column counted_at;
drop function longwatch.slot_of(bigint);
