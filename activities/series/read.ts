/**
 * Everything that has a history, as the database knows it now: counts of operations as the nodes note them each second,
 * buffers as their shards report, jobs as their ticks end, buckets as the ledger has them, nodes as they say. All of it
 * is there anyway, whoever keeps it, so nothing is asked of anybody. Called by `write.ts`.
 */
import { utf8Bytes } from '../../workflows/lib/size';
import { run, type Queryable, type Statement } from '../lib/database';
import { NODE_LIVES } from '../tracker/store/node-lives';
import { remainingOf } from '../upstream/budget/remaining';
import { listBuckets } from '../upstream/store/budget';
import type { Reading } from './fold';
import type { SeriesKind } from './kinds';

/** Things of one kind that have a history; more of one kind are not looked at. */
const MOST_THINGS = 1_000;
/** Single buckets of a limit have a history of their own where it has so many at most. */
const MOST_KEYS = 20;
const MOST_KEY_BYTES = 1_000;

/** In the order of `kinds.ts`; ages of the last minute, as the pools' keepers tell them. */
const OPERATIONS: Statement = {
  name: 'series-operations',
  text: `with counted as (
           select s.tracker, s.operation, array[sum(s.fetched), sum(s.failed), sum(s.skipped)]::float8[] as totals,
                  longwatch.sum_counts(s.late_total)::float8[] as late
           from longwatch.node_stats s group by s.tracker, s.operation
         ), aged as (
           select a.tracker, a.operation, max(a.max_ms) as most, sum(a.members)::float8 as members,
                  sum(a.never)::float8 as never, longwatch.sum_counts(a.buckets::bigint[])::float8[] as ages
           from longwatch.pool_age a join longwatch.tracker t on t.name = a.tracker and a.pool < t.pools
           where a.told_at > now() - interval '1 minute' group by a.tracker, a.operation
         )
         select c.tracker || '/' || c.operation as name, c.totals, c.late, a.ages, a.most, a.members, a.never
         from counted c left join aged a using (tracker, operation)
         order by 1 limit $1`,
};

const status = (...names: string[]): string =>
  names.map((name) => `coalesce(sum((s.status ->> '${name}')::float8), 0)`).join(', ');
const BUFFERS: Statement = {
  name: 'series-buffers',
  text: `select b.name, array[${status('accepted', 'done', 'merged', 'dropped')}] as totals,
                array[${status('pending', 'running', 'dead', 'stored')}] as looks
         from longwatch.buffer b left join longwatch.buffer_shard s on s.buffer = b.name
         group by b.name order by b.name limit $1`,
};

const JOBS: Statement = {
  name: 'series-jobs',
  text: `select j.name, array[j.ticks_total, j.rows_total, j.failed_total, j.ms_total]::float8[] as totals,
                array[(select count(*) from longwatch.failed_row f where f.job = j.name)]::float8[] as looks
         from longwatch.job j order by j.name limit $1`,
};

const NODES: Statement = {
  name: 'series-nodes',
  text: `select n.name, array[
                  (select count(*) from longwatch.pool p where p.node = n.name and p.released_at is null)::float8,
                  (n.use ->> 'members')::float8, (n.placement ->> 'load')::float8, (n.use ->> 'eventLoop')::float8,
                  (n.use ->> 'cpu')::float8, (n.use ->> 'rssBytes')::float8, (n.use #>> '{minute,lateMs}')::float8,
                  (n.use #>> '{minute,fetched}')::float8, (n.use #>> '{minute,failed}')::float8] as looks
         from longwatch.node n
         where ${NODE_LIVES}
         order by n.name limit $1`,
};

const LIMITS: Statement = {
  name: 'series-limits',
  text: `select upstream, limit_name as limit, count(*)::float8 as buckets, sum(spent)::float8 as spent,
                count(*) filter (where closed_until > now())::float8 as closed
         from longwatch.budget group by upstream, limit_name order by upstream, limit_name limit $1`,
};

interface Row {
  [column: string]: unknown;
  name: string;
  totals: number[];
  looks: (number | null)[];
}

interface OperationRow {
  [column: string]: unknown;
  name: string;
  totals: number[];
  late: number[] | null;
  ages: number[] | null;
  most: number | null;
  members: number | null;
  never: number | null;
}

interface LimitRow {
  [column: string]: unknown;
  upstream: string;
  limit: string;
  buckets: number;
  spent: number;
  closed: number;
}

/** @param percentile of counts by the bounds of lateness; null: nothing is counted */
export async function readThings(
  db: Queryable,
  kind: SeriesKind,
  percentile: (counts: readonly number[], share: number) => number | null,
): Promise<Reading[]> {
  switch (kind) {
    case 'operation':
      return (await run<OperationRow>(db, OPERATIONS, [MOST_THINGS])).map((row) => operationOf(row, percentile));
    case 'buffer':
      return (await run<Row>(db, BUFFERS, [MOST_THINGS])).map(readingOf);
    case 'job':
      return (await run<Row>(db, JOBS, [MOST_THINGS])).map(readingOf);
    case 'node':
      return (await run<Omit<Row, 'totals'>>(db, NODES, [MOST_THINGS])).map((row) =>
        readingOf({ ...row, totals: [] } as unknown as Row),
      );
    case 'bucket':
      return readBuckets(db);
  }
}

const readingOf = ({ name, totals, looks }: Row): Reading => ({ name, totals, looks, late: [] });

function operationOf(row: OperationRow, percentile: Parameters<typeof readThings>[2]): Reading {
  const { name, totals, late, ages, most, members, never } = row;
  const age = (share: number): number | null => {
    const bound = ages === null ? null : percentile(ages, share);
    return bound === null || most === null ? null : Math.min(bound, most);
  };
  return { name, totals, late: late ?? [], looks: [age(0.5), age(0.95), most, members, never] };
}

/** Each limit as a whole; and its buckets by themselves, where they are few. */
async function readBuckets(db: Queryable): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const { upstream, limit, buckets, spent, closed } of await run<LimitRow>(db, LIMITS, [MOST_THINGS])) {
    if (readings.length >= MOST_THINGS) break;
    const rows = buckets <= MOST_KEYS ? await listBuckets(db, { upstream, limit }, { most: MOST_KEYS }) : [];
    const each = rows.map((row) => ({ row, ...remainingOf(row) }));
    for (const { row, tokens, remaining } of each) {
      // An index has no room for it; the limit as a whole has its figures.
      if (utf8Bytes(row.key) > MOST_KEY_BYTES) continue;
      const isClosed = (row.closedUntil ?? 0) > row.now;
      const looks = [remaining, tokens, isClosed ? 1 : 0, 1];
      const whole = `${upstream}/${limit}`;
      readings.push({ name: `${whole}:${row.key}`, totals: [row.spent], looks, late: [], whole });
    }
    const total = (of: (number | null)[]): number | null =>
      of.length === 0 || of.includes(null) ? null : (of as number[]).reduce((sum, one) => sum + one, 0);
    const looks = [total(each.map((one) => one.remaining)), total(each.map((one) => one.tokens)), closed, buckets];
    readings.push({ name: `${upstream}/${limit}`, totals: [spent], looks, late: [] });
  }
  return readings;
}
