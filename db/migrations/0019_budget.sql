-- Up Migration

-- The ledger of the upstreams' budgets: a bucket (one limit for one key) a row. Nodes renew their parts of it about once a
-- second: one statement reads the rows of all keys that a node spends from, locked in key order, the node computes
-- (`activities/upstream/budget/ledger`), one statement writes. Times without a type are epoch seconds of the bucket's own
-- time, which is the database's until a fail-over brings another clock.
create table if not exists longwatch.budget (
  upstream text not null,
  limit_name text not null,
  -- A hash where the key is a secret, or cannot be kept as it is.
  key text not null,
  -- The rule as the node that wrote last knew it; null: not known yet. For people.
  shape text not null,
  tokens double precision,
  window_seconds double precision,
  at double precision not null,
  -- All that was ever spent; never lowered while the row lives.
  spent double precision not null,
  -- Tokens that we, and others, spent, by slots that are so many seconds long; `…_first` is the number of the first.
  slot_width double precision not null,
  own_first bigint not null,
  own double precision[] not null,
  others_first bigint not null,
  others double precision[] not null,
  -- What nodes may spend, have spent and want.
  parts jsonb not null,
  -- All else, read by nothing but the ledger.
  state jsonb not null,
  -- Nobody sends for it before this time of the database. Answers to requests of before an opening by hand, which raises
  -- the generation, close it no more.
  closed_until timestamptz,
  closed_generation bigint not null default 0,
  closed_reason text,
  -- Nothing in it is of use to anybody after this time; by hours, so that the index has little to do.
  keep_until timestamptz not null,
  primary key (upstream, limit_name, key)
);
-- Written each second by every node that spends from it: there is room for it beside the row, and nothing of it lies apart.
alter table longwatch.budget set (fillfactor = 40, toast_tuple_target = 8160);
create index if not exists budget_forgettable on longwatch.budget (keep_until);

-- Buckets of single members, which only the shift that keeps the member spends from: stored with its values, under the
-- same fence.
create table if not exists longwatch.budget_member (
  member bigint not null references longwatch.member (key) on delete cascade,
  upstream text not null,
  limit_name text not null,
  -- The key without the member: a group that the upstream told; a hash where it is a secret.
  key_group text not null,
  -- Seconds of the window that the slots are thirtieths of.
  window_seconds double precision not null,
  -- The newest slot, and the tokens of it and of those before it.
  slot bigint not null,
  tokens int[] not null,
  -- Tokens that may still be spent, until the end of that slot.
  late_slot bigint,
  late_tokens int,
  -- The upstream refused: nobody asks before this epoch second.
  closed_until double precision,
  primary key (member, upstream, limit_name, key_group)
);
alter table longwatch.budget_member set (fillfactor = 70);

-- Headers of answers that keys are made of (a group that the upstream names), as the last answer to that code and kind of
-- request had them: a node that starts knows which buckets it spends from before it has asked.
create table if not exists longwatch.budget_header (
  upstream text not null,
  kind text not null,
  header text not null,
  -- Null: answers have none.
  value text,
  told_at timestamptz not null default now(),
  primary key (upstream, kind, header)
);

-- The token of the holder that ended last with everything written and nothing under way: whoever takes the pool next need
-- not count what its members' buckets may have spent since.
alter table longwatch.pool add column if not exists released_token bigint;

-- Down Migration
alter table longwatch.pool drop column if exists released_token;
drop table if exists longwatch.budget_header;
drop table if exists longwatch.budget_member;
drop table if exists longwatch.budget;
