-- Up Migration

-- What Ethereum's blocks have and other chains' do not.
alter table chain.block
  alter column miner drop not null,
  alter column state_root drop not null,
  alter column gas_limit drop not null,
  alter column gas_used drop not null,
  alter column size drop not null,
  alter column extra_data drop not null,
  -- System transactions carry 2^64 - 1, which a bigint does not hold; private chains more.
  alter column gas_limit type numeric(78),
  alter column gas_used type numeric(78);

alter table chain.transaction
  -- Chains have types of their own.
  alter column type type bigint,
  alter column nonce drop not null,
  alter column value drop not null,
  alter column gas_limit drop not null,
  alter column input drop not null,
  alter column nonce type numeric(78),
  alter column gas_limit type numeric(78);

alter table chain.receipt
  alter column gas_used drop not null,
  alter column gas_used type numeric(78);

-- Some chains, and some clients, number the logs of each transaction from zero.
alter table chain.log
  drop constraint log_pkey,
  add primary key (block_number, transaction_index, index);

-- Down Migration

alter table chain.log
  drop constraint log_pkey,
  add primary key (block_number, index);
alter table chain.receipt alter column gas_used type bigint, alter column gas_used set not null;
alter table chain.transaction
  alter column type type smallint,
  alter column nonce type bigint,
  alter column gas_limit type bigint,
  alter column nonce set not null,
  alter column value set not null,
  alter column gas_limit set not null,
  alter column input set not null;
alter table chain.block
  alter column gas_limit type bigint,
  alter column gas_used type bigint,
  alter column miner set not null,
  alter column state_root set not null,
  alter column gas_limit set not null,
  alter column gas_used set not null,
  alter column size set not null,
  alter column extra_data set not null;
