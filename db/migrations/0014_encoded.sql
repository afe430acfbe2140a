-- Up Migration

-- Whether the workers of this database encode what Temporal keeps; null: no worker has said it yet. Who would write in clear beside them,
-- or encoded where nobody can read it, is refused (docs/security.md).
alter table longwatch.deployment add column if not exists encoded boolean;

-- Down Migration
alter table longwatch.deployment drop column if exists encoded;
