/**
 * The answer of `status`: trackers with their operations, jobs, and nodes, all computed by PostgreSQL, so it works
 * while Temporal is away. Called by `Longwatch.status`; shown by `cli/verbs/status.ts`.
 */
import { percentile } from '../activities/tracker/shift/lateness';
import { gateTermMs, withChanges, type TrackerOptions } from '../workflows/tracker/options';
import { readBuffers, type BufferSummary } from './buffer/status';
import type { Connections } from './connections';
import { iso } from './iso';
import { readJobs, type JobSummary } from './job/status';
import { STATUS_NODES, STATUS_REPLICA, STATUS_STATS, STATUS_TRACKERS } from './tracker/queries';
import { countStale } from './tracker/stale';
import { readHolds, type HoldSummary } from './tracker/told';
import { readHeldBack, type HeldBackSummary } from './tracker/waits';
import type { OptionChanges } from '../workflows/lib/options';
import type { RunState } from '../workflows/lib/contract';

export interface Status {
  trackers: TrackerSummary[];
  jobs: JobSummary[];
  /** As their shards last reported. */
  buffers: BufferSummary[];
  nodes: NodeSummary[];
  replica?: ReplicaSummary;
}

export interface TrackerSummary {
  name: string;
  state: RunState;
  members: number;
  pools: number;
  /** Pools that a live node keeps right now. */
  poolsOnShift: number;
  quarantined: number;
  /** Pools whose shift no node began for a minute: `pools` says on which task queue it waits. */
  unbegun: number;
  paused: boolean;
  /** Null: it has none. `unknown` (not asked yet) counts as closed. */
  gate: 'open' | 'closed' | 'unknown' | null;
  operations: OperationSummary[];
  /** Holds that upstreams have asked for, the longest first. */
  holds: HoldSummary[];
  /** Members that wait for a limit of their upstream which has nothing left, by operation and limit. */
  heldBack: HeldBackSummary[];
}

/** Counts are of all nodes since each started; lateness is that of the last minute or two. */
export interface OperationSummary {
  name: string;
  everyMs: number;
  enabled: boolean;
  fetched: number;
  failed: number;
  /** Rounds or runs left out: backpressure, gate, overrun. */
  skipped: number;
  /** Members whose value is older than 3 × max(interval, Expires, hold). */
  stale: number;
  /**
   * False: `stale` is an estimate from 10,000 of the members that may be so by what their pools' keepers told some
   * seconds ago; up to that many members it is exact.
   */
  staleExact: boolean;
  /** Null before the first. */
  lastRoundMs: number | null;
  /** How long after they were due runs began; null when none did lately. */
  lateP50Ms: number | null;
  lateP99Ms: number | null;
}

/** The replica that the figures come from. */
export interface ReplicaSummary {
  /** How far what is shown lies behind; null when the replica has not followed anything yet. */
  behindMs: number | null;
}

export interface NodeSummary {
  name: string;
  host: string;
  pid: number;
  /** Heard of in the last five seconds. */
  live: boolean;
  pools: number;
  metricsUrl: string | null;
  startedAt: string;
  seenAt: string;
}

interface TrackerRow {
  [column: string]: unknown;
  name: string;
  state: RunState;
  pools: number;
  options: TrackerOptions;
  changes: OptionChanges;
  gate_open: boolean | null;
  gate_age_ms: number | null;
  members: number;
  on_shift: number;
  quarantined: number;
  unbegun: number;
}

interface StatsRow {
  [column: string]: unknown;
  tracker: string;
  operation: string;
  fetched: number;
  failed: number;
  skipped: number;
  last_round_ms: number | null;
  late_buckets: number[][];
}

interface NodeRow {
  [column: string]: unknown;
  name: string;
  host: string;
  pid: number;
  live: boolean;
  pools: number;
  metrics_url: string | null;
  started_at: number;
  seen_at: number;
}

/** How far what is shown lies behind; undefined: it is read where it is written. */
export async function readReplica(connections: Connections): Promise<ReplicaSummary | undefined> {
  if (!connections.readsReplica) return undefined;
  const [row] = await connections.read<{ behind_ms: number | null }>(STATUS_REPLICA);
  return { behindMs: row?.behind_ms ?? null };
}

/** @param tracker only this one; without it, all. */
export async function readStatus(connections: Connections, tracker?: string): Promise<Status> {
  const [trackers, stats, nodes, jobs, buffers, holds, heldBack, replica] = await Promise.all([
    connections.read<TrackerRow>(STATUS_TRACKERS, [tracker ?? null]),
    connections.read<StatsRow>(STATUS_STATS, [tracker ?? null]),
    connections.read<NodeRow>(STATUS_NODES),
    readJobs(connections),
    tracker === undefined ? readBuffers(connections) : [],
    readHolds(connections, tracker),
    readHeldBack(connections, tracker),
    readReplica(connections),
  ]);
  return {
    ...(replica && { replica }),
    trackers: await Promise.all(
      trackers.map((row) =>
        summarize(
          connections,
          row,
          stats,
          holds.filter((hold) => hold.tracker === row.name),
          heldBack.get(row.name) ?? [],
        ),
      ),
    ),
    jobs,
    buffers,
    nodes: nodes.map((node) => ({
      name: node.name,
      host: node.host,
      pid: node.pid,
      live: node.live,
      pools: node.pools,
      metricsUrl: node.metrics_url,
      startedAt: iso(node.started_at),
      seenAt: iso(node.seen_at),
    })),
  };
}

async function summarize(
  connections: Connections,
  row: TrackerRow,
  stats: StatsRow[],
  holds: HoldSummary[],
  heldBack: HeldBackSummary[],
): Promise<TrackerSummary> {
  const options = withChanges(row.options, row.changes);
  // The most frequent first: the database does not keep the definition's order.
  const operations = Object.entries(options.operations).sort(([, a], [, b]) => a.everyMs - b.everyMs);
  const enabled = operations.filter(([, operation]) => operation.enabled);
  const asked = enabled.map(([name, { everyMs }]) => ({ name, everyMs }));
  const { stale, exact } = await countStale(connections, row, asked);
  return {
    name: row.name,
    state: row.state,
    members: row.members,
    pools: row.pools,
    poolsOnShift: row.on_shift,
    quarantined: row.quarantined,
    unbegun: row.unbegun,
    paused: row.state === 'paused',
    holds,
    heldBack,
    gate: gateOf(options, row),
    operations: operations.map(([name, operation]) => {
      const counted = stats.find((found) => found.tracker === row.name && found.operation === name);
      const late = mergeBuckets(counted?.late_buckets ?? []);
      const any = late.some((count) => count > 0);
      return {
        name,
        everyMs: operation.everyMs,
        enabled: operation.enabled,
        fetched: counted?.fetched ?? 0,
        failed: counted?.failed ?? 0,
        skipped: counted?.skipped ?? 0,
        stale: stale.get(name) ?? 0,
        staleExact: exact,
        lastRoundMs: counted?.last_round_ms ?? null,
        lateP50Ms: any ? percentile(late, 0.5) : null,
        lateP99Ms: any ? percentile(late, 0.99) : null,
      };
    }),
  };
}

/** An answer that is older than three times what it should be says nothing any more; the shifts see it so too. */
export function gateOf(
  { gate }: TrackerOptions,
  { gate_open: open, gate_age_ms: ageMs }: Pick<TrackerRow, 'gate_open' | 'gate_age_ms'>,
): TrackerSummary['gate'] {
  if (gate === null) return null;
  if (open === null || ageMs === null || ageMs > 3 * gateTermMs(gate)) return 'unknown';
  return open ? 'open' : 'closed';
}

/** Bucket by bucket sums over nodes. */
export function mergeBuckets(nodes: readonly (readonly number[])[]): number[] {
  const length = nodes.reduce((most, buckets) => Math.max(most, buckets.length), 0);
  return Array.from({ length }, (_, index) => nodes.reduce((sum, buckets) => sum + (buckets[index] ?? 0), 0));
}
