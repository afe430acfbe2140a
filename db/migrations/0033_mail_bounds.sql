-- Up Migration

-- What a message is dead with: whom its reply goes to as well, so that one which is brought back says the same.
alter table longwatch.member_dead add column reply_tracker text, add column reply_id text;
alter type longwatch.turn_dead add attribute reply_tracker text, add attribute reply_id text;

-- Pools whose mail is at its bound, as whoever has counted it says: senders wait, and where `for_handlers` is set, what handlers send there is
-- refused as well. Empty as a rule: a sender looks into it with each batch.
create table longwatch.mail_full (
  tracker text not null references longwatch.tracker (name) on delete cascade,
  pool integer not null,
  entries bigint not null,
  bytes bigint not null,
  for_handlers boolean not null,
  counted_at timestamptz not null default clock_timestamp(),
  primary key (tracker, pool)
);

-- Lives that nothing was ever written of: whoever is not a member is forgotten a day from now.
insert into longwatch.life_ended (tracker, id, slot) select tracker, id, slot from longwatch.life where version = 0 on conflict do nothing;

drop function longwatch.commit_turns(json, json, integer);
-- Carries out a commit of turns: each pool that is still its holder's, and each member of it that is as the node thought. Locks the fences that
-- are free, the members' rows and their mail; waits for nobody but for another commit of the same members (one that its node has given up).
-- `most`, `most_bytes`: so much mail a member may have with what a handler sends to it.
create function longwatch.commit_turns(given_fences json, given_parts json, most integer, most_bytes bigint default 41943040)
returns table (fence_place integer, part_place integer, verdict text) language plpgsql set plan_cache_mode = 'force_generic_plan' as $$
declare
  fences longwatch.turn_fence[];
  parts longwatch.turn_part[];
  spawning integer[];
  held integer[];
  done integer[];
  stale integer[];
  nowhere integer[];
  crowded integer[];
  reasons text[];
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
  -- Each of them has a row by now, unless somebody has forgotten it a moment ago.
  where l.version is distinct from p.expected
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
  -- A turn that sends to a member, or into a pool, which has no room fails, and is tried again: a handler cannot wait. Each turn by itself: what
  -- others of this commit send counts when it is there.
  select coalesce(array_agg(c.place), '{}'), coalesce(array_agg(c.why), '{}') into crowded, reasons from (
    select n.place, format('the mailbox of %s of %s is full: %s messages (%s bytes) wait, and %s (%s bytes) would come', n.id, n.tracker,
                           t.waiting, t.waiting_bytes, n.more, n.more_bytes) as why
    from (
      select p.place, s.tracker, s.slot, s.id, count(*) as more, sum(s.bytes::bigint) as more_bytes
      from unnest(parts) p cross join unnest(p.sent) s where p.place <> all (stale || nowhere) group by p.place, s.tracker, s.slot, s.id
    ) n cross join lateral (
      select count(*) as waiting, coalesce(sum(w.bytes), 0) as waiting_bytes from (
        select m.bytes from longwatch.mail m where m.tracker = n.tracker and m.slot = n.slot and m.member = n.id limit most
      ) w
    ) t
    where t.waiting > 0 and (t.waiting + n.more > most or t.waiting_bytes + n.more_bytes > most_bytes)
  ) c;
  if exists (select 1 from longwatch.mail_full where for_handlers) then
    select crowded || coalesce(array_agg(c.place), '{}'), reasons || coalesce(array_agg(c.why), '{}') into crowded, reasons from (
      select distinct on (p.place) p.place, format('pool %s of %s is full: %s messages (%s bytes) wait', f.pool, f.tracker, f.entries, f.bytes) as why
      from unnest(parts) p cross join unnest(p.sent) s join longwatch.tracker t on t.name = s.tracker
      join longwatch.mail_full f
        on f.for_handlers and f.tracker = s.tracker and f.pool = longwatch.pool_of(longwatch.slot_of(s.slot), t.pools)
      where p.place <> all (stale || nowhere || crowded)
      order by p.place, f.pool
    ) c;
  end if;
  return query
    select p.fence, p.place, 'full: ' || min(c.why) from unnest(parts) p join unnest(crowded, reasons) as c (place, why) on c.place = p.place
    group by p.fence, p.place;
  -- A place that was made for a lock, or holds the numbers of senders alone: who is not a member by then is forgotten as the removed are.
  insert into longwatch.life_ended (tracker, id, slot)
    select p.tracker, p.id, p.slot from unnest(parts) p
    where p.expected = 0 and (p.spawn is null or p.place = any (stale || nowhere || crowded)) and not exists (
      select 1 from longwatch.member m where m.tracker = p.tracker and m.id = p.id and m.removed_at is null
    ) on conflict do nothing;
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
  insert into longwatch.member_dead (tracker, member, sender, json, attempts, error, trace, reply_tracker, reply_id)
    select p.tracker, p.id, d.sender, d.json, d.attempts, d.error, d.trace, d.reply_tracker, d.reply_id
    from unnest(parts) p cross join unnest(p.dead) d;
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
drop function longwatch.commit_turns(json, json, integer, bigint);
drop table longwatch.mail_full;
alter type longwatch.turn_dead drop attribute reply_tracker, drop attribute reply_id;
alter table longwatch.member_dead drop column reply_tracker, drop column reply_id;
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
alter function longwatch.commit_turns(json, json, integer) set plan_cache_mode = 'force_generic_plan';
