-- Up Migration

-- What `init` finds again may be put off: its row is found by the number of the key's newest entry.
create index if not exists buffer_chunk_put_off on longwatch.buffer_chunk (buffer, shard, first) where lane = 'later';

-- Down Migration
drop index if exists longwatch.buffer_chunk_put_off;
