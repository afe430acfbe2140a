-- Up Migration

-- When its block was written: until a while later, who wrote it is about to push it.
alter table chain.awaiting_receipts add column since timestamptz not null default now();

-- Down Migration

alter table chain.awaiting_receipts drop column since;
