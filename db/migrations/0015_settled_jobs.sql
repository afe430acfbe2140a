-- Up Migration
-- Up to here nothing is owed, beside what has ended: the job was started, or resumed, then. While it was paused or stopped nothing fell due.
alter table longwatch.job add column if not exists settled_until timestamptz;

-- Down Migration
alter table longwatch.job drop column if exists settled_until;
