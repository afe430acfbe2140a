/**
 * Balancing by hand: what it would move is reckoned by placement's own functions and told before it is done. Nodes
 * balance themselves, so at rest there is nothing left to move. Called by `Longwatch.rebalance`.
 */
import { previewBalance, type Preview, type PreviewedNode } from '../../activities/tracker/placement/preview';
import { newestRead } from '../../activities/tracker/placement/nodes';
import { readRow } from '../../activities/tracker/placement/row';
import { idOf, kindOf, loadOf, poolOf, type PlacedPool } from '../../activities/tracker/placement/types';
import { withChanges } from '../../workflows/tracker/options';
import { announced, type CommandOptions } from '../audit';
import type { Connections } from '../connections';
import { carryOut, type Moved, type MovesOptions, type PoolMove } from './moves';
import { loadsOf, type NodeRow, type NodeTrackerRow } from './nodes';
import { KEPT_POOLS, NODE_TRACKERS, NODES } from './queries';

export interface RebalancePreview {
  moves: PoolMove[];
  /** Members that are without a node for about a tenth of a second. */
  members: number;
  nodes: PreviewedNode[];
  /** Pools that must leave their node, and that no other node may keep: `characters/3`. */
  stuck: string[];
}

export interface RebalanceOptions extends CommandOptions, MovesOptions {
  /** Told before anything is moved. */
  onPreview?: (preview: RebalancePreview) => void;
}

export interface RebalanceResult extends RebalancePreview, Moved {}

interface KeptRow {
  [column: string]: unknown;
  tracker: string;
  pool: number;
  members: number;
  node: string;
}

export async function previewRebalance(connections: Connections): Promise<RebalancePreview> {
  const [nodes, trackers, kept] = await Promise.all([
    connections.rows<NodeRow>(NODES, [null]),
    connections.rows<NodeTrackerRow>(NODE_TRACKERS),
    connections.rows<KeptRow>(KEPT_POOLS),
  ]);
  return previewOf(nodes, trackers, kept);
}

/** Pure. */
function previewOf(
  nodes: readonly NodeRow[],
  trackers: readonly NodeTrackerRow[],
  kept: readonly KeptRow[],
): RebalancePreview {
  const placed = placedPools(trackers);
  const writes = new Map(nodes.map((node) => [node.name, readRow(node.placement, node.seen_at)?.writes]));
  const pools = new Map<string, PlacedPool[]>();
  for (const row of kept) {
    const pool = placed(row);
    // As its node reckons with them: no node is given states that it cannot read.
    const states = newestRead(writes.get(row.node), row.tracker);
    if (pool) pools.set(row.node, [...(pools.get(row.node) ?? []), { ...pool, states }]);
  }
  const preview = previewBalance(loadsOf(nodes).map((node) => ({ node, pools: pools.get(node.name) ?? [] })));
  return {
    moves: preview.moves.map(moveOf),
    members: preview.moves.reduce((sum, { pool }) => sum + pool.members, 0),
    nodes: [...preview.nodes],
    stuck: preview.stuck.map(({ id }) => id),
  };
}

/** Tells what it will do, and does it. */
export async function rebalance(
  connections: Connections,
  { why, onPreview, ...options }: RebalanceOptions = {},
): Promise<RebalanceResult> {
  const preview = await previewRebalance(connections);
  onPreview?.(preview);
  if (preview.moves.length === 0) return { ...preview, moved: 0, failed: [] };
  const pools = (of: 'before' | 'after') =>
    Object.fromEntries(preview.nodes.map((node) => [node.name, node[of].pools]));
  const command = { what: 'rebalance', subject: 'cluster', before: pools('before'), after: pools('after'), why };
  return announced(connections, command, async () => {
    const carried = await carryOut(connections, preview.moves, options);
    const after = { ...pools('after'), moved: carried.moved, failed: carried.failed.length };
    return { result: { ...preview, ...carried }, after, changed: carried.moved > 0 };
  });
}

/** A pool as placement knows it: its load by the configuration. */
function placedPools(trackers: readonly NodeTrackerRow[]): (row: KeptRow) => PlacedPool | undefined {
  const known = new Map(
    trackers.map(({ name, options, changes }) => {
      const { operations, placement } = withChanges(options, changes) as PlacedOptions;
      const intervals = Object.values(operations ?? {}).flatMap(({ enabled, everyMs }) => (enabled ? [everyMs] : []));
      return [name, { intervals, kind: kindOf(name, placement?.on ?? undefined) }];
    }),
  );
  return ({ tracker, pool, members }) => {
    const of = known.get(tracker);
    return of && { id: idOf({ tracker, pool }), kind: of.kind, size: loadOf(members, of.intervals), members };
  };
}

type PlacedOptions = ReturnType<typeof withChanges> & { placement?: { on?: string | null } };

const moveOf = ({ pool: { id }, from, to }: Preview['moves'][number]): PoolMove => ({ ...poolOf(id), from, to });
