-- Up Migration

-- Of which block: who fetches the receipts, and who writes them, need not look at the block itself.
alter table chain.awaiting_receipts
  add column hash bytea,
  add column transactions integer;
update chain.awaiting_receipts a
set hash = b.hash, transactions = b.transactions
from chain.block b
where b.number = a.block_number;
alter table chain.awaiting_receipts
  alter column hash set not null,
  alter column transactions set not null;

-- Down Migration

alter table chain.awaiting_receipts
  drop column hash,
  drop column transactions;
