/**
 * Who works and what it has done: a row a node, and counters a node and operation. Written by the node's flush; `status`
 * adds them up.
 */
import { run, type Queryable, type Statement } from './database';

export interface NodeRow {
  name: string;
  host: string;
  pid: number;
  metricsUrl: string | null;
}

export interface StatsRow {
  tracker: string;
  operation: string;
  fetched: number;
  failed: number;
  skipped: number;
  rounds: number;
  lastRoundMs: number | null;
  lateBuckets: number[];
  holdMs: number;
  heldUntil: number | null;
}

const SEEN: Statement = {
  name: 'node-seen',
  text: `insert into longwatch.node (name, host, pid, metrics_url) values ($1, $2, $3, $4)
         on conflict (name) do update
         set host = excluded.host, pid = excluded.pid, seen_at = now(), metrics_url = excluded.metrics_url, ended_at = null`,
};
const ENDED: Statement = {
  name: 'node-ended',
  text: `update longwatch.node set ended_at = now() where name = $1`,
};
const WRITE_STATS: Statement = {
  name: 'node-stats-write',
  text: `insert into longwatch.node_stats as s
           (node, tracker, operation, fetched, failed, skipped, rounds, last_round_ms, late_buckets, hold_ms, held_until)
         select $1, r.tracker, r.operation, r.fetched, r.failed, r.skipped, r.rounds, r.last_round_ms,
                r.late_buckets::bigint[], r.hold_ms, to_timestamp(r.held_until / 1000)
         from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::float8[],
                     $9::text[], $10::float8[], $11::float8[])
           as r (tracker, operation, fetched, failed, skipped, rounds, last_round_ms, late_buckets, hold_ms, held_until)
         join longwatch.tracker t on t.name = r.tracker
         on conflict (node, tracker, operation) do update
         set fetched = excluded.fetched, failed = excluded.failed, skipped = excluded.skipped, rounds = excluded.rounds,
             last_round_ms = excluded.last_round_ms, late_buckets = excluded.late_buckets,
             hold_ms = excluded.hold_ms, held_until = excluded.held_until, seen_at = now()`,
};

export async function noteNode(db: Queryable, node: NodeRow): Promise<void> {
  await run(db, SEEN, [node.name, node.host, node.pid, node.metricsUrl]);
}

export async function endNode(db: Queryable, name: string): Promise<void> {
  await run(db, ENDED, [name]);
}

/** Replaces this node's counters, which only grow while it lives. */
export async function writeStats(db: Queryable, node: string, rows: StatsRow[]): Promise<void> {
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
    rows.map((r) => r.heldUntil),
  ]);
}
