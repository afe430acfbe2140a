-- Up Migration

-- Members with a life: their states, timers and mail, and the function that commits turns (activities/tracker/member/).

-- What is kept of a member: its state, and the last number of each sender (`marks`), which stays when it is removed, so that what was handled
-- before is not handled again. All of it as the JSON text that the node wrote, which keeps every character that jsonb refuses. Version 0: a
-- place that was made for a lock, and nothing else.
create table longwatch.life (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  id text not null,
  slot bigint not null,
  version bigint not null default 0,
  -- Of the definition that wrote the state.
  schema integer not null default 1,
  state text,
  marks text not null default '[]',
  applied text not null default '[]',
  sets bigint not null default 0,
  written_at timestamptz not null default clock_timestamp(),
  primary key (tracker, id)
) with (fillfactor = 70);
create index life_by_slot on longwatch.life (tracker, slot);
-- No index has a column that a turn changes: so a turn's new version of a row stays on its page, and no index grows by it.

-- Members that were removed: what is kept of them is forgotten a day later.
create table longwatch.life_ended (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  id text not null,
  slot bigint not null,
  ended_at timestamptz not null default clock_timestamp(),
  primary key (tracker, id)
);
create index life_ended_old on longwatch.life_ended (ended_at);

create table longwatch.timer (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  id text not null,
  name text not null,
  slot bigint not null,
  -- The number of its setting: the one that replaces it has another.
  set bigint not null,
  at timestamptz not null,
  json text not null,
  attempts integer not null default 0,
  trace text,
  primary key (tracker, id, name)
);
create index timer_due on longwatch.timer (tracker, at);

-- The mail: three tables that are filled in turn and truncated (`rotation.ts`). A row's id is its stamp: of the sequence that orders all changes
-- of an id. One index serves all: a reading goes by slots, a commit knows the slot of what it deletes.
create table longwatch.mail (
  place smallint not null,
  id bigint not null,
  tracker text not null,
  member text not null,
  slot bigint not null,
  sender text not null,
  number bigint,
  previous bigint,
  request text,
  deadline timestamptz,
  client text,
  reply_tracker text,
  reply_id text,
  json text not null,
  bytes integer not null,
  told_at timestamptz not null,
  stored_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  not_before timestamptz,
  error text,
  trace text
) partition by list (place);
create table longwatch.mail_0 partition of longwatch.mail for values in (0);
create table longwatch.mail_1 partition of longwatch.mail for values in (1);
create table longwatch.mail_2 partition of longwatch.mail for values in (2);
create index mail_by_slot on longwatch.mail (tracker, slot, id);

-- Which of them takes new mail, since when, and which were truncated since they did.
create table longwatch.mail_turn (
  only_one boolean primary key default true check (only_one),
  current smallint not null default 0,
  since timestamptz not null default now(),
  clean boolean[] not null default '{true,true,true}'
);
insert into longwatch.mail_turn default values;

-- Empties a table of mail, if it has none under an exclusive lock. By the owner's rights: to truncate is a right that a worker's role has not.
create function longwatch.empty_mail(given integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  used boolean;
begin
  execute format('lock table longwatch.%I in access exclusive mode', 'mail_' || given);
  execute format('select exists (select 1 from longwatch.%I)', 'mail_' || given) into used;
  if used then
    return false;
  end if;
  execute format('truncate longwatch.%I', 'mail_' || given);
  update longwatch.mail_turn set clean[given + 1] = true where not clean[given + 1];
  return true;
end $$;

-- The one answer to a request, for as long as it may be asked again.
create table longwatch.reply (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  member text not null,
  slot bigint not null,
  request text not null,
  client text not null,
  json text,
  -- In place of a reply: the name of the error, and its words.
  error text,
  message text,
  answered_at timestamptz not null default clock_timestamp(),
  primary key (tracker, member, request)
);
create index reply_old on longwatch.reply (answered_at);

create table longwatch.member_dead (
  id bigint generated always as identity primary key,
  tracker text not null references longwatch.tracker (name) on delete cascade,
  member text not null,
  sender text not null,
  json text not null,
  attempts integer not null,
  error text not null,
  trace text,
  died_at timestamptz not null default clock_timestamp()
);
create index member_dead_of on longwatch.member_dead (tracker, member);

-- A commit of turns as data, as `commit.ts` says it: the fences of its pools, and a part for each member.
create type longwatch.turn_fence as (
  place integer, tracker text, pool integer, token bigint, run_id text, shift integer, attempt integer, roster_version bigint
);
create type longwatch.turn_timer as (name text, set bigint, at double precision, json text, attempts integer, trace text);
create type longwatch.turn_again as (mail bigint, attempts integer, not_before double precision, error text);
create type longwatch.turn_dead as (sender text, json text, attempts integer, error text, trace text);
create type longwatch.turn_answer as (request text, client text, json text, error text, message text);
create type longwatch.turn_sent as (tracker text, id text, slot bigint, json text, bytes integer, reply_tracker text, reply_id text, trace text);
create type longwatch.turn_part as (
  place integer, fence integer, tracker text, id text, slot bigint, hash bigint, expected bigint,
  written boolean, state text, schema integer, marks text, applied text, sets bigint, spawn bigint,
  gone bigint[], again longwatch.turn_again[], timers_set longwatch.turn_timer[], timers_gone text[],
  answers longwatch.turn_answer[], dead longwatch.turn_dead[], sent longwatch.turn_sent[]
);

-- Carries out a commit of turns: each pool that is still its holder's, and each member of it that is as the node thought. Locks the fences that
-- are free, the members' rows and their mail; waits for nobody but for another commit of the same members (one that its node has given up).
-- `most`: so much mail a member may have for which a handler sends to it.
create function longwatch.commit_turns(given_fences json, given_parts json, most integer)
returns table (fence_place integer, part_place integer, verdict text) language plpgsql as $$
declare
  fences longwatch.turn_fence[];
  parts longwatch.turn_part[];
  spawning integer[];
  held integer[];
  done integer[];
  stale integer[];
  nowhere integer[];
  crowded integer[];
begin
  select coalesce(array_agg(f), '{}') into fences from json_populate_recordset(null::longwatch.turn_fence, given_fences) f;
  select coalesce(array_agg(p), '{}') into parts from json_populate_recordset(null::longwatch.turn_part, given_parts) p;
  select coalesce(array_agg(distinct p.fence), '{}') into spawning from unnest(parts) p where p.spawn is not null;
  -- A new member changes its pool's count. Of two commits that share the lock and want to write, each would wait for the other.
  with shared as (
    select f.place, p.roster_version = f.roster_version as same_roster
    from unnest(fences) f join longwatch.pool p
      on p.tracker = f.tracker and p.pool = f.pool and p.token = f.token and p.run_id = f.run_id and p.shift = f.shift and p.attempt = f.attempt
    where f.place <> all (spawning)
    order by p.tracker, p.pool
    for share of p skip locked
  ), alone as (
    select f.place, p.roster_version = f.roster_version as same_roster
    from unnest(fences) f join longwatch.pool p
      on p.tracker = f.tracker and p.pool = f.pool and p.token = f.token and p.run_id = f.run_id and p.shift = f.shift and p.attempt = f.attempt
    where f.place = any (spawning)
    order by p.tracker, p.pool
    for no key update of p skip locked
  ), locked as (
    select * from shared union all select * from alone
  )
  select coalesce(array_agg(l.place), '{}'), coalesce(array_agg(l.place) filter (where l.same_roster), '{}') into held, done from locked l;
  return query
    select f.place, null::integer,
           case when f.place = any (done) then 'done' when f.place = any (held) then 'roster' when p.pool is not null then 'later' else 'fenced' end
    from unnest(fences) f left join longwatch.pool p
      on p.tracker = f.tracker and p.pool = f.pool and p.token = f.token and p.run_id = f.run_id and p.shift = f.shift and p.attempt = f.attempt;

  select coalesce(array_agg(p order by p.tracker, p.id), '{}') into parts from unnest(parts) p where p.fence = any (done);

  -- A place to lock for who has no row yet; then every row, and all mail.
  insert into longwatch.life (tracker, id, slot)
    select p.tracker, p.id, p.slot from unnest(parts) p where p.expected = 0
    on conflict do nothing;
  perform 1 from longwatch.life l join unnest(parts) p on l.tracker = p.tracker and l.id = p.id
    order by l.tracker, l.id for update of l;
  with wanted as (
    select p.place, p.tracker, p.slot, unnest(p.gone || array(select a.mail from unnest(p.again) a)) as id from unnest(parts) p
  ), there as (
    select w.place from wanted w join longwatch.mail m on m.tracker = w.tracker and m.slot = w.slot and m.id = w.id
    order by m.id for update of m
  ), counted as (
    select there.place, count(*) as count from there group by there.place
  )
  select coalesce(array_agg(p.place), '{}') into stale
  from unnest(parts) p
  left join longwatch.life l on l.tracker = p.tracker and l.id = p.id
  left join counted c on c.place = p.place
  where coalesce(l.version, 0) <> p.expected
     or coalesce(c.count, 0) <> cardinality(p.gone) + cardinality(p.again)
     or exists (
       -- A look into the index for each, however many answers the member has given of late.
       select 1 from unnest(p.answers) a
       where (select true from longwatch.reply r where r.tracker = p.tracker and r.member = p.id and r.request = a.request limit 1)
     )
     or (p.spawn is not null and exists (
       select 1 from longwatch.member t where t.tracker = p.tracker and t.id = p.id and t.removed_at is not null and t.stamp >= p.spawn
     ));
  -- A turn that sends to a tracker that does not exist has failed.
  select coalesce(array_agg(distinct p.place), '{}') into nowhere
  from unnest(parts) p cross join unnest(p.sent) s
  where p.place <> all (stale) and not exists (select 1 from longwatch.tracker t where t.name = s.tracker);
  return query select p.fence, p.place, 'stale' from unnest(parts) p where p.place = any (stale);
  return query
    select p.fence, p.place, 'refused: there is no tracker ' || min(s.tracker) from unnest(parts) p cross join unnest(p.sent) s
    where p.place = any (nowhere) and not exists (select 1 from longwatch.tracker t where t.name = s.tracker)
    group by p.fence, p.place;
  -- A turn that sends to a member which has no room waits, as any sender: it fails, and is tried again.
  select coalesce(array_agg(distinct c.place), '{}') into crowded from (
    select p.place, t.waiting
    from unnest(parts) p cross join unnest(p.sent) s cross join lateral (
      select count(*) as waiting from (
        select 1 from longwatch.mail m where m.tracker = s.tracker and m.slot = s.slot and m.member = s.id limit most
      ) w
    ) t
    where p.place <> all (stale || nowhere)
  ) c where c.waiting >= most;
  return query
    select p.fence, p.place, 'refused: a member that it sends to has ' || most || ' messages that wait' from unnest(parts) p
    where p.place = any (crowded);
  select coalesce(array_agg(p order by p.tracker, p.id), '{}') into parts
  from unnest(parts) p where p.place <> all (stale || nowhere || crowded);

  update longwatch.life l
    set version = l.version + 1, schema = p.schema, state = p.state, marks = p.marks, applied = p.applied, sets = p.sets,
        written_at = clock_timestamp()
    from unnest(parts) p where p.written and l.tracker = p.tracker and l.id = p.id;
  with spawned as (
    insert into longwatch.member as m (tracker, id, hash, stamp, roster_version)
      select p.tracker, p.id, p.hash, p.spawn, f.roster_version from unnest(parts) p join unnest(fences) f on f.place = p.fence
      where p.spawn is not null
      on conflict (tracker, id) do update
        set stamp = excluded.stamp, hash = excluded.hash, roster_version = excluded.roster_version, removed_at = null, added_at = now()
        where m.removed_at is not null and m.stamp < excluded.stamp
      returning m.tracker, m.id
  ), counted as (
    select f.tracker, f.pool, count(*) as more from spawned s join unnest(parts) p on p.tracker = s.tracker and p.id = s.id
    join unnest(fences) f on f.place = p.fence group by f.tracker, f.pool
  )
  update longwatch.pool q set members = q.members + c.more from counted c where q.tracker = c.tracker and q.pool = c.pool;
  delete from longwatch.timer t using unnest(parts) p, unnest(p.timers_gone) g where t.tracker = p.tracker and t.id = p.id and t.name = g;
  insert into longwatch.timer as t (tracker, id, name, slot, set, at, json, attempts, trace)
    select p.tracker, p.id, s.name, p.slot, s.set, to_timestamp(s.at / 1000), s.json, s.attempts, s.trace
    from unnest(parts) p cross join unnest(p.timers_set) s
    on conflict (tracker, id, name) do update
      set set = excluded.set, at = excluded.at, json = excluded.json, attempts = excluded.attempts, trace = excluded.trace;
  delete from longwatch.mail m using unnest(parts) p, unnest(p.gone) g where m.tracker = p.tracker and m.slot = p.slot and m.id = g;
  update longwatch.mail m set attempts = a.attempts, not_before = to_timestamp(a.not_before / 1000), error = a.error
    from unnest(parts) p cross join unnest(p.again) a where m.tracker = p.tracker and m.slot = p.slot and m.id = a.mail;
  insert into longwatch.reply (tracker, member, slot, request, client, json, error, message)
    select p.tracker, p.id, p.slot, a.request, a.client, a.json, a.error, a.message from unnest(parts) p cross join unnest(p.answers) a;
  insert into longwatch.member_dead (tracker, member, sender, json, attempts, error, trace)
    select p.tracker, p.id, d.sender, d.json, d.attempts, d.error, d.trace from unnest(parts) p cross join unnest(p.dead) d;
  -- The ids are drawn in the order in which it was sent.
  insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, reply_tracker, reply_id, trace, told_at)
    select w.current, nextval('longwatch.stamp'), o.tracker, o.id, o.slot, o.sender, o.json, o.bytes, o.reply_tracker, o.reply_id, o.trace,
           clock_timestamp()
    from (
      select s.tracker, s.id, s.slot, p.tracker || '/' || p.id as sender, s.json, s.bytes, s.reply_tracker, s.reply_id, s.trace
      from unnest(parts) p cross join unnest(p.sent) with ordinality as s (tracker, id, slot, json, bytes, reply_tracker, reply_id, trace, nth)
      order by p.place, s.nth
    ) o cross join longwatch.mail_turn w;
  update longwatch.mail_turn w set clean[w.current + 1] = false
    where w.clean[w.current + 1] and exists (select 1 from unnest(parts) p where cardinality(p.sent) > 0);
end $$;

-- Down Migration
drop function longwatch.commit_turns(json, json, integer), longwatch.empty_mail(integer);
drop type longwatch.turn_part, longwatch.turn_sent, longwatch.turn_answer, longwatch.turn_dead, longwatch.turn_again, longwatch.turn_timer, longwatch.turn_fence;
drop table longwatch.member_dead, longwatch.reply, longwatch.mail_turn, longwatch.mail, longwatch.timer, longwatch.life_ended, longwatch.life;
