-- Up Migration

-- Requests that came with an idempotency key, each with the answer that it got: sent again, it gets the same answer, and
-- nothing is done twice. Kept for a day.
create table if not exists longwatch.request (
  -- A key is one of its caller's.
  actor text not null,
  -- Hashes: a key may be long, a body has data in it.
  key_hash bytea not null,
  request_hash bytea not null,
  begun_at timestamptz not null default clock_timestamp(),
  -- Null: it goes on, or the process that had it has ended before its answer.
  status smallint,
  answer text,
  primary key (actor, key_hash)
);
create index if not exists request_begun on longwatch.request (begun_at);

-- Down Migration
drop table if exists longwatch.request;
