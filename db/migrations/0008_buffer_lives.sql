-- Up Migration

-- The newest store of each shard: one that comes late, of a run that was ended, writes nothing.
create table longwatch.buffer_fence (
  buffer text not null,
  shard integer not null,
  moment float8 not null,
  primary key (buffer, shard)
) with (fillfactor = 50);

-- Keys of more than 200 bytes are known by their hash (workflows/buffer/keys.ts); those of before become so too.
update longwatch.buffer_chunk c
set keys = (
  select array_agg(case when octet_length(k) > 200 then 'sha256:' || encode(sha256(convert_to(k, 'UTF8')), 'hex') else k end order by i)
  from unnest(c.keys) with ordinality as u (k, i))
where exists (select from unnest(c.keys) as k where octet_length(k) > 200);

insert into longwatch.buffer_key as b (buffer, shard, key, entry)
select buffer, shard, 'sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex'), max(entry)
from longwatch.buffer_key where octet_length(key) > 200
group by 1, 2, 3
on conflict (buffer, shard, key) do update set entry = greatest(b.entry, excluded.entry);
delete from longwatch.buffer_key where octet_length(key) > 200;

update longwatch.buffer_dead
set key = 'sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex')
where octet_length(key) > 200;

-- A sender's number, whoever counts it.
alter table longwatch.buffer_outbox alter column seq type bigint;

-- Down Migration
alter table longwatch.buffer_outbox alter column seq type integer;
drop table longwatch.buffer_fence;
