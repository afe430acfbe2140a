/**
 * The nodes of the cluster as people see them: what is wanted of each, what it keeps, how it does, and a verdict in
 * words. `Longwatch.nodes` reads it; `cli/verbs/nodes.ts` and the doctor show it. The word of a node is a second
 * old at most; shares come from the same functions as placement's own (`activities/tracker/placement`).
 */
import { PLACEMENT } from '../../activities/tracker/placement/constants';
import { HEALTH } from '../../activities/tracker/placement/health';
import { heartbeatFor } from '../../activities/tracker/placement/heartbeat';
import { readRow, type PlacementRow } from '../../activities/tracker/placement/row';
import { fairShares } from '../../activities/tracker/placement/shares';
import type { NodeLoad } from '../../activities/tracker/placement/types';
import { verdictOf, type Verdict } from '../../activities/tracker/placement/verdict';
import { nodeOf } from '../../activities/tracker/placement/view';
import { wantedNodes } from '../../activities/tracker/placement/wanted-nodes';
import { readFigures, type LastMinute, type NodeFigures } from '../../activities/tracker/store/node-use';
import type { OptionChange } from '../../workflows/lib/options';
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { NODES, NODE_TRACKERS } from './queries';

export interface NodeReport {
  name: string;
  host: string;
  pid: number;
  /** Its release; null: it does not say. */
  version: string | null;
  labels: string[];
  /** The address that upstreams see; null: its host's. */
  address: string | null;
  metricsUrl: string | null;
  startedAt: string;
  seenAt: string;
  /** It has not ended, and was heard of in the last five seconds, by the database's clock. */
  alive: boolean;
  ended: boolean;
  /** Drained as a whole, since when, and until when (null: until it is resumed). */
  drained: boolean;
  drainedAt: string | null;
  drainedUntil: string | null;
  /** Trackers of which it keeps nothing, each with the time at which that ends; null: when it is resumed. */
  drainedFor: { tracker: string; until: string | null }[];
  /** Pools at most; null: its share. */
  target: number | null;
  /** As it was set, against the other nodes. */
  weight: number;
  /** By the fences: the pools that nobody else may write. */
  pools: number;
  members: number;
  /** Load units: fetches a second, and ten a pool. Null: it does not say. */
  load: number | null;
  /** The load that it should have, as placement reckons. Null: not known. */
  share: number | null;
  poollessSince: string | null;
  /** The kinds of pool that it may keep: `characters`, or `characters@gpu` with the label. Null: it does not say. */
  keeps: string[] | null;
  /** As it says of itself; null: it says nothing. */
  use: NodeFigures | null;
  verdict: Verdict;
}

/** The heartbeats of a tracker's shifts, as they result from the size of the cluster. */
export interface HeartbeatReport {
  tracker: string;
  /** The option `heartbeatTimeout`. */
  wantedMs: number;
  /** A dead node's pools of it go to other nodes after so long. */
  timeoutMs: number;
  /** More heartbeats than a Temporal server is to carry: pools should be larger. */
  isOverBudget: boolean;
}

export interface ClusterReport {
  nodes: NodeReport[];
  heartbeats: HeartbeatReport[];
  /** As many nodes as the load needs, for an autoscaler. */
  wantedNodes: number;
}

export interface NodeRow {
  [column: string]: unknown;
  name: string;
  host: string;
  pid: number;
  metrics_url: string | null;
  version: string | null;
  labels: string[];
  address: string | null;
  target: number | null;
  weight: number;
  placement: unknown;
  use: unknown;
  ended: boolean;
  started_at: number;
  seen_at: number;
  now: number;
  poolless_since: number | null;
  drained: boolean;
  drained_for: { tracker: string; until: number | null }[];
  drained_at: number | null;
  drained_until: number | null;
  pools: number;
  members: number;
}

export interface NodeTrackerRow {
  [column: string]: unknown;
  name: string;
  pools: number;
  options: TrackerOptions;
  changes: Record<string, OptionChange['value']>;
}

/** Read where it is written: by a replica that is some seconds behind, every node would look gone. */
export async function readNodes(connections: Connections): Promise<ClusterReport> {
  const [nodes, trackers] = await Promise.all([
    connections.rows<NodeRow>(NODES, [null]),
    connections.rows<NodeTrackerRow>(NODE_TRACKERS),
  ]);
  return reportOf(nodes, trackers);
}

/** A node's row with what was read out of it. */
interface Seen {
  row: NodeRow;
  silentMs: number;
  alive: boolean;
  placement: PlacementRow | undefined;
  /** As placement sees it, with the wish for it where that is newer than its row. */
  load: NodeLoad | undefined;
  use: NodeFigures | undefined;
  share: number | null;
}

/** Pure: rows in, report out. */
function reportOf(rows: readonly NodeRow[], trackers: readonly NodeTrackerRow[]): ClusterReport {
  const seen = rows.map(look);
  const living = seen.filter(({ alive }) => alive);
  const cluster = living.filter(({ load }) => load !== undefined);
  const [first, ...others] = cluster.map(({ load }) => load!);
  if (first) fairShares([first, ...others]).forEach((share, at) => (cluster[at]!.share = share));
  const pools = trackers.reduce((sum, tracker) => sum + tracker.pools, 0);
  return {
    nodes: seen.map((node) => describe(node, living)),
    heartbeats: trackers.map((tracker) => {
      const wantedMs = withChanges(tracker.options, tracker.changes).heartbeatTimeoutMs;
      const { timeoutMs, isOverBudget } = heartbeatFor(wantedMs, pools);
      return { tracker: tracker.name, wantedMs, timeoutMs, isOverBudget };
    }),
    wantedNodes: wantedNodes(
      living.map(({ row, load, use }) => ({
        eventLoop: use?.eventLoop ?? 0,
        places: row.target === null || row.target === 0 ? undefined : row.pools / row.target,
        load: load ? load.load / load.loadLimit : undefined,
        up: !row.drained,
      })),
    ),
  };
}

/** The nodes that live, as placement sees them. */
export function loadsOf(rows: readonly NodeRow[]): NodeLoad[] {
  return rows.map(look).flatMap(({ alive, load }) => (alive && load ? [load] : []));
}

function look(row: NodeRow): Seen {
  const silentMs = Math.max(0, row.now - row.seen_at);
  const alive = !row.ended && silentMs < PLACEMENT.goneMs;
  const placement = readRow(row.placement, row.seen_at);
  const load = placement && { ...nodeOf(placement, row.now), places: row.target ?? Infinity };
  return {
    row,
    silentMs,
    alive,
    placement,
    load: load && { ...load, up: load.up && !row.drained },
    use: readFigures(row.use),
    share: null,
  };
}

/** It keeps nothing of that tracker; `drained` says whether that is so of all. */
export const isDrainedFor = ({ drainedFor }: Pick<NodeReport, 'drainedFor'>, tracker: string): boolean =>
  drainedFor.some((drain) => drain.tracker === tracker);

function describe(seen: Seen, living: readonly Seen[]): NodeReport {
  const { row, alive, load, share, use } = seen;
  return {
    name: row.name,
    host: row.host,
    pid: row.pid,
    version: row.version,
    labels: row.labels,
    address: row.address,
    metricsUrl: row.metrics_url,
    startedAt: iso(row.started_at),
    seenAt: iso(row.seen_at),
    alive,
    ended: row.ended,
    drained: row.drained,
    drainedAt: iso(row.drained_at),
    drainedUntil: iso(row.drained_until),
    drainedFor: row.drained_for.map(({ tracker, until }) => ({ tracker, until: iso(until) })),
    target: row.target,
    weight: row.weight,
    pools: row.pools,
    members: row.members,
    load: load?.load ?? null,
    share,
    poollessSince: iso(row.poolless_since),
    keeps: load ? [...load.keeps] : null,
    use: use ?? null,
    verdict: verdictOf(factsOf(seen, living)),
  };
}

function factsOf({ row, silentMs, load, use, share }: Seen, living: readonly Seen[]) {
  const peers = living.filter((peer) => peer.row.name !== row.name);
  const [version, ...different] = new Set(peers.map((peer) => peer.row.version));
  const leavesByItself = !row.drained && load !== undefined && !load.up;
  return {
    name: row.name,
    silentMs,
    ended: row.ended,
    up: !row.drained && !leavesByItself,
    byItself: leavesByItself,
    drainedFor: row.drained_for.map(({ tracker }) => tracker),
    pools: row.pools,
    load: load?.load ?? 0,
    share: share ?? load?.load ?? 0,
    meanPool: meanPoolOf(living),
    places: row.target ?? Infinity,
    loadLimit: load?.loadLimit ?? Infinity,
    weight: row.weight,
    health: use?.health ?? 1,
    trust: use?.trust ?? 1,
    lagMs: behindMs(use?.lagMs ?? 0, load?.hot ?? false),
    storeRefusedMs: use?.storeRefusedMs ?? undefined,
    temporalRefusedMs: use?.temporalRefusedMs ?? undefined,
    peersUp: peers.filter((peer) => !peer.row.drained && (peer.load?.up ?? true)).length,
    peersVersion: different.length === 0 && version ? version : undefined,
    version: row.version ?? 'an unknown release',
    lacks: use?.lacks ?? [],
    failing: use?.failing,
  };
}

/** The mean size of all pools that nodes say that they keep; 0: there is none. */
function meanPoolOf(living: readonly Seen[]): number {
  const sum = (of: (load: NodeLoad) => number) => living.reduce((total, { load }) => total + (load ? of(load) : 0), 0);
  return (
    sum((load) => load.load) /
    Math.max(
      1,
      sum((load) => load.shifts),
    )
  );
}

/** One late second says nothing: a node is behind when placement says so. */
function behindMs(lagMs: number, hot: boolean): number {
  return hot ? Math.max(lagMs, HEALTH.behindMs + 1) : Math.min(lagMs, HEALTH.behindMs);
}

export type { LastMinute, NodeFigures, Verdict };
