/**
 * How old the values of each pool and operation are, as the pool's keeper tells it (`shift/age-teller.ts`): for the
 * client's heat map and list of the oldest members (`client/tracker/freshness.ts`), and for the history
 * (`activities/series/read.ts`). Nothing is decided by it.
 */
import { run, type Queryable, type Statement } from '../../lib/database';

export interface AgeRow {
  tracker: string;
  pool: number;
  /** The fence of who tells it. */
  token: number;
  operation: string;
  members: number;
  never: number;
  p50Ms: number | null;
  p95Ms: number | null;
  maxMs: number | null;
  /** The age of the most overdue value, in lifetimes of its own. */
  lifetimes: number | null;
  buckets: readonly number[];
  /** Keys of members' rows, and since when they are so old: epoch milliseconds of the database. */
  oldest: readonly { key: number; since: number; never: boolean }[];
}

/** A pool that has another keeper by now is that one's to tell of. */
const WRITE: Statement = {
  name: 'age-write',
  text: `insert into longwatch.pool_age as a
           (tracker, pool, operation, members, never, p50_ms, p95_ms, max_ms, lifetimes, buckets, oldest)
         select r.tracker, r.pool, r.operation, r.members, r.never, r.p50, r.p95, r.max, r.lifetimes, r.buckets::int[],
                r.oldest
         from unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::int[], $6::int[], $7::float8[], $8::float8[],
                     $9::float8[], $10::float8[], $11::text[], $12::jsonb[])
           as r (tracker, pool, token, operation, members, never, p50, p95, max, lifetimes, buckets, oldest)
         join longwatch.pool p on p.tracker = r.tracker and p.pool = r.pool and p.token = r.token
         order by r.tracker, r.pool, r.operation
         on conflict (tracker, pool, operation) do update
         set members = excluded.members, never = excluded.never, p50_ms = excluded.p50_ms, p95_ms = excluded.p95_ms,
             max_ms = excluded.max_ms, lifetimes = excluded.lifetimes, buckets = excluded.buckets,
             oldest = excluded.oldest, told_at = now()`,
};

/** Operations that were taken out of the definition, and pools of trackers that have stopped. */
const FORGET: Statement = {
  name: 'age-forget',
  text: `delete from longwatch.pool_age where told_at < now() - interval '1 day'`,
};

export async function writeAges(db: Queryable, rows: readonly AgeRow[]): Promise<void> {
  if (rows.length === 0) return;
  const column = <K extends keyof AgeRow>(name: K): AgeRow[K][] => rows.map((row) => row[name]);
  await run(db, WRITE, [
    column('tracker'),
    column('pool'),
    column('token'),
    column('operation'),
    column('members'),
    column('never'),
    column('p50Ms'),
    column('p95Ms'),
    column('maxMs'),
    column('lifetimes'),
    rows.map(({ buckets }) => `{${buckets.join(',')}}`),
    rows.map(({ oldest }) => JSON.stringify(oldest.map(({ key, since, never }) => [key, Math.round(since), never]))),
  ]);
}

export async function forgetAges(db: Queryable): Promise<void> {
  await run(db, FORGET);
}
