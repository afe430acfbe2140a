/**
 * The work that nodes have done: counters by node and operation. Written by the node's attendance
 * (`shift/attendance.ts`), apart from its row (`nodes.ts`); `status` adds them up.
 */
import { run, type Queryable, type Statement } from '../../lib/database';

export interface StatsRow {
  tracker: string;
  operation: string;
  fetched: number;
  failed: number;
  skipped: number;
  rounds: number;
  lastRoundMs: number | null;
  lateBuckets: number[];
  /** The same since the node started, for the history. */
  lateTotal: readonly number[];
  holdMs: number;
  heldUntil: number | null;
}

const WRITE_STATS: Statement = {
  name: 'node-stats-write',
  text: `insert into longwatch.node_stats as s
           (node, tracker, operation, fetched, failed, skipped, rounds, last_round_ms, late_buckets, hold_ms, held_until,
            late_total)
         select $1, r.tracker, r.operation, r.fetched, r.failed, r.skipped, r.rounds, r.last_round_ms,
                r.late_buckets::bigint[], r.hold_ms, to_timestamp(r.held_until / 1000), r.late_total::bigint[]
         from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::float8[],
                     $9::text[], $10::float8[], $11::float8[], $12::text[])
           as r (tracker, operation, fetched, failed, skipped, rounds, last_round_ms, late_buckets, hold_ms, held_until,
                 late_total)
         join longwatch.tracker t on t.name = r.tracker
         on conflict (node, tracker, operation) do update
         set fetched = excluded.fetched, failed = excluded.failed, skipped = excluded.skipped, rounds = excluded.rounds,
             last_round_ms = excluded.last_round_ms, late_buckets = excluded.late_buckets,
             hold_ms = excluded.hold_ms, held_until = excluded.held_until, late_total = excluded.late_total,
             seen_at = now()`,
};

/** A row that nobody counts any more (`old`) is added to one row of nobody, so that sums stay what they were. */
const KEEP = `
           insert into longwatch.node_stats as k (node, tracker, operation, fetched, failed, skipped, rounds, seen_at,
             late_total)
           select '', tracker, operation, sum(fetched), sum(failed), sum(skipped), sum(rounds), max(seen_at),
                  longwatch.sum_counts(late_total)
           from old group by tracker, operation
           on conflict (node, tracker, operation) do update
           set fetched = k.fetched + excluded.fetched, failed = k.failed + excluded.failed,
               skipped = k.skipped + excluded.skipped, rounds = k.rounds + excluded.rounds,
               late_total = longwatch.add_counts(k.late_total, excluded.late_total)`;
const COLUMNS = 's.tracker, s.operation, s.fetched, s.failed, s.skipped, s.rounds, s.seen_at, s.late_total';
/** Rows that another node forgets just now are left to it. */
const PURGE: Statement = {
  name: 'node-purge',
  text: `with gone as (
           select name from longwatch.node
           where coalesce(ended_at, seen_at) < now() - interval '1 day' for update skip locked
         ), old as (
           delete from longwatch.node_stats s
           where s.node <> '' and s.seen_at < now() - interval '1 day'
             and (s.node in (select name from gone) or not exists (select from longwatch.node n where n.name = s.node))
           returning ${COLUMNS}
         ), kept as (${KEEP})
         delete from longwatch.node where name in (select name from gone)`,
};
const BEGIN_ANEW: Statement = {
  name: 'node-begin-anew',
  text: `with old as (delete from longwatch.node_stats s where s.node = $1 returning ${COLUMNS}) ${KEEP}`,
};

/** A node that was here before under this name counts from nothing again; what it had counted stays in the sums. */
export async function beginNode(db: Queryable, name: string): Promise<void> {
  await run(db, BEGIN_ANEW, [name]);
}

/** Forgets nodes that ended, or were not heard of any more, more than a day ago. */
export async function purgeNodes(db: Queryable): Promise<void> {
  await run(db, PURGE);
}

/** Replaces this node's counters, which only grow while it lives. */
export async function writeStats(
  db: Queryable,
  node: string,
  rows: StatsRow[],
  toStore: (ms: number) => number = (ms) => ms,
): Promise<void> {
  if (rows.length === 0) return;
  await run(db, WRITE_STATS, [
    node,
    rows.map((r) => r.tracker),
    rows.map((r) => r.operation),
    rows.map((r) => r.fetched),
    rows.map((r) => r.failed),
    rows.map((r) => r.skipped),
    rows.map((r) => r.rounds),
    rows.map((r) => r.lastRoundMs),
    rows.map((r) => `{${r.lateBuckets.join(',')}}`),
    rows.map((r) => r.holdMs),
    rows.map((r) => (r.heldUntil === null ? null : toStore(r.heldUntil))),
    rows.map((r) => `{${r.lateTotal.join(',')}}`),
  ]);
}
