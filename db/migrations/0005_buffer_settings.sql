-- Up Migration

-- What was set by hand over the definition's options (path to value), as trackers and jobs have it.
alter table longwatch.buffer add column changes jsonb not null default '{}';
alter table longwatch.buffer drop constraint buffer_state_check;
alter table longwatch.buffer add constraint buffer_state_check check (state in ('running', 'paused', 'stopped'));

-- What a shard was when its buffer was stopped; null while its workflow runs.
alter table longwatch.buffer_shard add column saved json;

-- Down Migration
alter table longwatch.buffer_shard drop column saved;
alter table longwatch.buffer drop constraint buffer_state_check;
update longwatch.buffer set state = 'paused' where state = 'stopped';
alter table longwatch.buffer add constraint buffer_state_check check (state in ('running', 'paused'));
alter table longwatch.buffer drop column changes;
