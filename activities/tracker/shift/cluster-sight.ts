/** Questions about a node's picture of the cluster, besides where pools go: pure. Asked by `placing.ts`. */
import { opensSharedQueues } from '../placement/cold-start';
import { isFull, mayBeGiven, newestRead } from '../placement/nodes';
import type { PlacementRow } from '../placement/row';
import { fairShares } from '../placement/shares';
import { trackerOf, type Cluster, type NodeLoad, type PlacedPool } from '../placement/types';
import { wantedNodes } from '../placement/wanted-nodes';
import type { Peer } from '../store/nodes';

/**
 * Whether the node has room, or nobody else has: then what comes above the limits is taken by all. Nor has anybody else
 * for a kind of pool that this node alone may keep, by its label or its config, or for states that it alone can read:
 * such a pool would wait for as long as this node is behind, or at its target.
 */
export function hasRoom([self, ...others]: Cluster): boolean {
  if (!self.up || isRoomy(self)) return self.up;
  const roomy = others.filter(isRoomy);
  return roomy.length === 0 || [...self.keeps].some((kind) => !roomy.some((other) => mayInstead(other, self, kind)));
}

function mayInstead(other: NodeLoad, { reads }: NodeLoad, kind: string): boolean {
  const tracker = trackerOf(kind);
  return other.keeps.has(kind) && (newestRead(other.reads, tracker) ?? 0) >= (newestRead(reads, tracker) ?? 0);
}

export const canOthersTake = ([, ...others]: Cluster): boolean => others.some(isRoomy);

/** It lives, is up and not behind, and has a place. */
function isRoomy(node: NodeLoad): boolean {
  return node.up && !node.stale && !node.hot && !isFull(node, 0);
}

/**
 * At a cold start the first node leaves to the others what they had.
 * @param before the row of the process before this one, under its name
 */
export function mayBegin(
  [{ name, weight, load }]: Cluster,
  peers: readonly Peer[],
  before: PlacementRow | undefined,
  upMs: number,
  nowMs: number,
): boolean {
  const rows = peers.map(({ row }) => row);
  return opensSharedQueues({ name, weight, load }, before ? [...rows, before] : rows, upMs, nowMs);
}

/** The load that a node keeps, and its share of all. */
export function loadAndShare(cluster: Cluster): { load: number; share: number | undefined } {
  const [share] = fairShares(cluster);
  return { load: cluster[0].load, share: share !== undefined && Number.isFinite(share) ? share : undefined };
}

/** The pools of this node that must leave it, and that no other node may keep, or can. */
export function stuckPools([{ up, keeps }, ...others]: Cluster, pools: Iterable<PlacedPool>): string[] {
  const stuck: string[] = [];
  for (const pool of pools) {
    const leaves = !up || !keeps.has(pool.kind);
    if (leaves && !others.some((node) => mayBeGiven(node, pool))) stuck.push(pool.id);
  }
  return stuck;
}

/** How many nodes the cluster should have. */
export function wantedNodesOf(cluster: Cluster, peers: readonly Peer[], ownEventLoop: number): number {
  const uses = cluster.map(({ name, up, shifts, places, load, loadLimit }, at) => {
    const eventLoop = at === 0 ? ownEventLoop : (peers.find(({ row }) => row.name === name)?.eventLoop ?? 0);
    return { eventLoop, places: shifts / places, load: load / loadLimit, up };
  });
  return wantedNodes(uses);
}
