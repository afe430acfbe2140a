-- Up Migration
-- Players, the fights they are in, what lies on the ground, and the books of what was done to them.
create schema game;

-- Half of each page is left free, and no index has a column that changes: so an update finds room for the row's new version on
-- its own page and touches no index (a HOT update).
create table game.player (
  id bigint primary key,
  name text not null,
  endurance integer not null check (endurance >= 0),
  stamina integer not null check (stamina >= 0),
  max_stamina integer not null,
  is_dead boolean not null default false,
  x integer not null default 0,
  y integer not null default 0,
  check (stamina <= max_stamina)
) with (fillfactor = 50);

-- A fight that goes on. It ends by being moved to combat_result.
create table game.combat (
  id bigint generated always as identity primary key,
  player bigint not null references game.player (id) on delete cascade,
  enemy text not null,
  rounds integer not null default 1,
  turn_started_at timestamptz not null default now()
) with (fillfactor = 70);

-- No unique combat: a fight that ended twice shall be seen.
create table game.combat_result (
  combat bigint not null,
  player bigint not null,
  outcome text not null,
  rounds integer not null,
  idle interval not null,
  ended_at timestamptz not null default now()
);

create table game.item (
  id bigint generated always as identity primary key,
  kind text not null,
  x integer not null,
  y integer not null,
  dropped_at timestamptz not null default now()
);

-- What the load did to a player's stamina or life, written with it. `at` is read under the row's lock, so those of one player
-- are in order.
create table game.event (
  id bigint generated always as identity primary key,
  player bigint not null,
  kind text not null check (kind in ('fight', 'death', 'revival')),
  stamina_before integer not null,
  stamina_after integer not null,
  at timestamptz not null
);

-- Down Migration
drop schema game cascade;
