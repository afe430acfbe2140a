-- Up Migration

create schema chain;

-- Numbers fetches in the order in which they began: of two that bring different blocks of one number, the later one holds.
create sequence chain.fetch_number;

create table chain.block (
  number bigint primary key,
  hash bytea not null check (length(hash) = 32),
  parent_hash bytea not null check (length(parent_hash) = 32),
  mined_at timestamptz not null,
  miner bytea not null check (length(miner) = 20),
  state_root bytea not null,
  gas_limit bigint not null,
  gas_used bigint not null,
  -- Wei; null before EIP-1559.
  base_fee numeric(78),
  size bigint not null,
  extra_data bytea not null,
  transactions integer not null,
  -- The fetch that brought it.
  fetch_number bigint not null
);
create index block_hash on chain.block (hash);

-- Blocks whose receipts are still to come: written with the block, gone with the receipts' own write.
create table chain.awaiting_receipts (
  block_number bigint primary key
);

create table chain.transaction (
  block_number bigint not null,
  index integer not null,
  hash bytea not null check (length(hash) = 32),
  type smallint not null,
  sender bytea not null check (length(sender) = 20),
  -- Null: it creates a contract.
  recipient bytea,
  nonce bigint not null,
  -- Wei, as all fees and prices.
  value numeric(78) not null,
  gas_limit bigint not null,
  gas_price numeric(78),
  max_fee numeric(78),
  max_priority_fee numeric(78),
  input bytea not null,
  primary key (block_number, index)
);
-- Not unique: during a reorganisation a transaction may be in an old block and in a new one.
create index transaction_hash on chain.transaction (hash);

create table chain.receipt (
  block_number bigint not null,
  transaction_index integer not null,
  -- Null before Byzantium.
  succeeded boolean,
  gas_used bigint not null,
  gas_price numeric(78),
  -- The contract that it made.
  contract bytea,
  primary key (block_number, transaction_index)
);

create table chain.log (
  block_number bigint not null,
  index integer not null,
  transaction_index integer not null,
  address bytea not null check (length(address) = 20),
  topic0 bytea,
  topic1 bytea,
  topic2 bytea,
  topic3 bytea,
  data bytea not null,
  primary key (block_number, index)
);
create index log_address on chain.log (address, block_number);

-- Down Migration

drop schema chain cascade;
