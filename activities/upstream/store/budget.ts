/**
 * The statements of the ledger: the rows of some buckets, read `for update` in key order, and written. Called by a
 * node's renewal and closings (`budget/node/`), inside a transaction of their own, and by `budget close` and `open`.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import type { LimitWord } from '../budget/ledger/closing';
import type { BucketName, BucketRow } from './bucket-row';

/** The channel on which nodes hear that a bucket was closed or opened. */
export const BUDGET_CHANNEL = 'longwatch_budget';

/** A row, and what time it was once it was locked. */
export interface LockedRow extends BucketRow {
  now: number;
  timeline: string;
  /** The last word of a person on all keys of its limit; null: there was none. */
  limitClosing: LimitWord | null;
}

const COLUMNS = `upstream, limit_name as "limit", key, shape, tokens, window_seconds as "window", at, spent,
  slot_width as width, own_first::float8 as "ownFirst", own, others_first::float8 as "othersFirst", others, parts, state,
  extract(epoch from closed_until)::float8 as "closedUntil", closed_generation::float8 as generation,
  closed_reason as "closedReason", extract(epoch from keep_until)::float8 as "keepUntil"`;

const LIMIT_CLOSING = `(select json_build_object('serial', c.serial, 'reason', c.reason, 'closedFor',
           greatest(0, extract(epoch from c.closed_until - clock_timestamp())))
         from longwatch.budget_closing c where c.upstream = b.upstream and c.limit_name = b.limit_name) as "limitClosing"`;

/**
 * Each row's time is read when it comes out of the part below, so after its lock was taken. Keys are compared byte for
 * byte, so that all nodes lock in one order.
 */
const lockText = (how: string): string => `
  with locked as materialized (
    select b.* from longwatch.budget b
    join unnest($1::text[], $2::text[], $3::text[]) as asked (upstream, limit_name, key)
      on b.upstream = asked.upstream and b.limit_name = asked.limit_name and b.key = asked.key
    order by b.upstream collate "C", b.limit_name collate "C", b.key collate "C"
    for update of b ${how})
  select ${COLUMNS}, extract(epoch from clock_timestamp())::float8 as now,
         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline, ${LIMIT_CLOSING}
  from locked b`;

const LOCK: Statement = { name: 'budget-lock', text: lockText('') };
/** Rows that somebody has locked wait for the next time; the others do not wait for them. */
const LOCK_FREE: Statement = { name: 'budget-lock-free', text: lockText('skip locked') };

const TIME: Statement = {
  name: 'budget-time',
  text: `select extract(epoch from clock_timestamp())::float8 as now,
                substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline`,
};

const VALUES = `unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::float8[], $8::float8[],
                       $9::float8[], $10::float8[], $11::text[], $12::float8[], $13::text[], $14::jsonb[], $15::jsonb[],
                       $16::float8[], $17::float8[], $18::text[], $19::float8[])
  as r (upstream, limit_name, key, shape, tokens, window_seconds, at, spent, slot_width, own_first, own, others_first, others,
        parts, state, closed_until, closed_generation, closed_reason, keep_until)`;

/** In a transaction of its own: a row that is being made keeps nobody from those that are there. */
const MAKE: Statement = {
  name: 'budget-make',
  text: `insert into longwatch.budget (upstream, limit_name, key, shape, tokens, window_seconds, at, spent, slot_width,
           own_first, own, others_first, others, parts, state, closed_until, closed_generation, closed_reason, keep_until)
         select upstream, limit_name, key, shape, tokens, window_seconds, at, spent, slot_width, own_first, own::float8[],
                others_first, others::float8[], parts, state, to_timestamp(closed_until), closed_generation, closed_reason,
                to_timestamp(keep_until)
         from ${VALUES}
         order by upstream collate "C", limit_name collate "C", key collate "C"
         on conflict (upstream, limit_name, key) do nothing`,
};

const WRITE: Statement = {
  name: 'budget-write',
  text: `update longwatch.budget b
         set shape = r.shape, tokens = r.tokens, window_seconds = r.window_seconds, at = r.at, spent = r.spent,
             slot_width = r.slot_width, own_first = r.own_first, own = r.own::float8[], others_first = r.others_first,
             others = r.others::float8[], parts = r.parts, state = r.state, closed_until = to_timestamp(r.closed_until),
             closed_generation = r.closed_generation, closed_reason = r.closed_reason,
             keep_until = greatest(b.keep_until, to_timestamp(r.keep_until))
         from ${VALUES}
         where b.upstream = r.upstream and b.limit_name = r.limit_name and b.key = r.key`,
};

const NOTIFY: Statement = {
  name: 'budget-notify',
  text: `select pg_notify('${BUDGET_CHANNEL}', payload) from unnest($1::text[]) as payload`,
};

/**
 * Bounded: what is left waits for the next time. The history counts a limit by the sum of its buckets, so what they
 * have spent leaves its count of before as well: no less was spent for it. A node that writes the history reads
 * both, so nothing is forgotten meanwhile.
 */
const PURGE: Statement = {
  name: 'budget-purge',
  text: `with alone as materialized (
           select pg_try_advisory_xact_lock(hashtext('longwatch series')) as taken
         ), old as materialized (
           select b.upstream, b.limit_name, b.key from longwatch.budget b cross join alone
           where alone.taken and b.keep_until < now() order by b.keep_until limit $1 for update of b skip locked
         ), gone as (
           delete from longwatch.budget b using old
           where b.upstream = old.upstream and b.limit_name = old.limit_name and b.key = old.key
           returning b.upstream || '/' || b.limit_name as whole, b.key, b.spent
         ), less as (
           update longwatch.series_total t set totals[1] = t.totals[1] - g.spent
           from (select whole, sum(spent) as spent from gone group by whole) g
           where t.kind = 'bucket' and t.name = g.whole
         ), forgotten as (
           delete from longwatch.series_total t using gone where t.kind = 'bucket' and t.name = gone.whole || ':' || gone.key
         )
         select 1 from gone`,
};

/** For people: in the order of names, those after `after`. Texts that are left out match all. */
const LIST: Statement = {
  name: 'budget-list',
  text: `select ${COLUMNS}, extract(epoch from clock_timestamp())::float8 as now,
                '' as timeline, null as "limitClosing"
         from longwatch.budget
         where ($1::text is null or upstream = $1) and ($2::text is null or limit_name = $2)
           and ($3::text is null or key = $3)
           and (upstream, limit_name, key) > ($4::text, $5::text, $6::text)
         order by upstream, limit_name, key
         limit $7`,
};

const COUNT: Statement = {
  name: 'budget-count',
  text: `select count(*)::int as buckets, (count(*) filter (where closed_until > clock_timestamp()))::int as closed
         from longwatch.budget where upstream = $1 and limit_name = $2`,
};

/** How many keys of a limit have a row, and how many of them are closed. */
export async function countBuckets(
  db: Queryable,
  { upstream, limit }: Omit<BucketName, 'key'>,
): Promise<{ buckets: number; closed: number }> {
  return (await run<{ buckets: number; closed: number }>(db, COUNT, [upstream, limit]))[0]!;
}

/** One page for people, without a lock. */
export function listBuckets(
  db: Queryable,
  which: Partial<BucketName>,
  { after, most = 100 }: { after?: BucketName; most?: number } = {},
): Promise<LockedRow[]> {
  const { upstream = null, limit = null, key = null } = which;
  const from = [after?.upstream ?? '', after?.limit ?? '', after?.key ?? ''];
  return run<LockedRow & Record<string, unknown>>(db, LIST, [upstream, limit, key, ...from, most]);
}

/** The rows that there are, locked. @param waits false: without those that somebody else has locked */
export function lockBuckets(db: Queryable, names: readonly BucketName[], waits = true): Promise<LockedRow[]> {
  const statement = waits ? LOCK : LOCK_FREE;
  return run<LockedRow & Record<string, unknown>>(db, statement, columnsOf(names));
}

export async function readTime(db: Queryable): Promise<{ now: number; timeline: string }> {
  return (await run<{ now: number; timeline: string }>(db, TIME))[0]!;
}

/** Rows that are there already stay as they are. */
export async function makeBuckets(db: Queryable, rows: readonly BucketRow[]): Promise<void> {
  await run(db, MAKE, valuesOf(rows));
}

export async function writeBuckets(db: Queryable, rows: readonly BucketRow[]): Promise<void> {
  if (rows.length > 0) await run(db, WRITE, valuesOf(rows));
}

/** Told to all nodes with the commit. */
export async function notifyClosings(db: Queryable, payloads: readonly string[]): Promise<void> {
  if (payloads.length > 0) await run(db, NOTIFY, [payloads]);
}

/** @returns how many were forgotten. */
export async function purgeBuckets(db: Queryable, most: number): Promise<number> {
  return (await run(db, PURGE, [most])).length;
}

function columnsOf(names: readonly BucketName[]): unknown[] {
  return [names.map(({ upstream }) => upstream), names.map(({ limit }) => limit), names.map(({ key }) => key)];
}

function valuesOf(rows: readonly BucketRow[]): unknown[] {
  const column = <K extends keyof BucketRow>(name: K): BucketRow[K][] => rows.map((row) => row[name]);
  const array = (numbers: number[]): string => `{${numbers.join(',')}}`;
  const json = (value: unknown): string => JSON.stringify(value);
  return [
    ...columnsOf(rows),
    column('shape'),
    column('tokens'),
    column('window'),
    column('at'),
    column('spent'),
    column('width'),
    column('ownFirst'),
    column('own').map(array),
    column('othersFirst'),
    column('others').map(array),
    column('parts').map(json),
    column('state').map(json),
    column('closedUntil'),
    column('generation'),
    column('closedReason'),
    column('keepUntil'),
  ];
}
