/**
 * Says what balancing would do, before it does it: `rebalance --dry-run` and `node drain --dry-run` print it. All nodes
 * ask and give in turn, each with a view that is right, until nobody does; the real ones come to the same within a pool
 * or two, since their views are a second old.
 */
import { askFor } from './asks';
import { isLeaving } from './nodes';
import { fairShares } from './shares';
import { surplus, type Budget, type Request } from './surplus';
import type { Cluster, NodeLoad, PlacedPool } from './types';

/** A node and what it keeps. The sums in it are made anew from the pools. */
export interface NodeWithPools {
  readonly node: NodeLoad;
  readonly pools: readonly PlacedPool[];
}

export interface PreviewedMove {
  readonly pool: PlacedPool;
  readonly from: string;
  readonly to: string;
}

export interface PreviewedNode {
  readonly name: string;
  readonly before: { readonly load: number; readonly pools: number };
  readonly after: { readonly load: number; readonly pools: number };
  /** Load units; what it would have if pools could be divided. */
  readonly share: number;
  readonly gives: number;
  readonly gets: number;
}

export interface Preview {
  /** The beginning and the end of each pool that moves, however often it moved in between. */
  readonly moves: readonly PreviewedMove[];
  readonly nodes: readonly PreviewedNode[];
  /** Pools that must leave their node, and that no other node may keep. */
  readonly stuck: readonly PlacedPool[];
}

const ALL: Budget = { pools: Infinity, members: Infinity };
/** Three are enough in nearly all clusters; a bound for the others. */
const ROUNDS = 100;

export function previewBalance(nodes: readonly NodeWithPools[]): Preview {
  const state = new Map(nodes.map(({ node, pools }) => [node.name, summed(node, pools)]));
  for (let round = 0, moved = true; moved && round < ROUNDS; round++) {
    moved = false;
    for (const name of state.keys()) {
      if (move(state, name, [])) moved = true;
      const ask = askFor(seenBy(state, name));
      for (const [giver, left] of ask?.from ?? []) {
        if (move(state, giver, [{ asker: name, left, deep: ask!.deep }])) moved = true;
      }
    }
  }
  return report(nodes, state);
}

/** One giver gives what it must and what it is asked for. @returns whether it gave anything */
function move(state: Map<string, NodeWithPools>, giver: string, requests: readonly Request[]): boolean {
  const { pools } = state.get(giver)!;
  const { moves } = surplus(seenBy(state, giver), pools, requests, ALL);
  if (moves.length === 0) return false;
  const gone = new Set(moves.map(({ pool }) => pool.id));
  const replace = (name: string, after: readonly PlacedPool[]): void =>
    void state.set(name, summed(state.get(name)!.node, after));
  replace(
    giver,
    pools.filter(({ id }) => !gone.has(id)),
  );
  for (const to of new Set(moves.map((one) => one.to))) {
    const come = moves.filter((one) => one.to === to).map(({ pool }) => pool);
    replace(to, [...state.get(to)!.pools, ...come]);
  }
  return true;
}

function summed(node: NodeLoad, pools: readonly PlacedPool[]): NodeWithPools {
  const loads = new Map<string, number>();
  let load = 0;
  let largest: PlacedPool | undefined;
  for (const pool of pools) {
    load += pool.size;
    loads.set(pool.kind, (loads.get(pool.kind) ?? 0) + pool.size);
    if (!largest || pool.size > largest.size) largest = pool;
  }
  return { node: { ...node, load, loads, largest, shifts: pools.length }, pools };
}

function seenBy(state: ReadonlyMap<string, NodeWithPools>, name: string): Cluster {
  const peers = [...state.values()].filter(({ node }) => node.name !== name);
  return [state.get(name)!.node, ...peers.map(({ node }) => node)];
}

function report(nodes: readonly NodeWithPools[], state: ReadonlyMap<string, NodeWithPools>): Preview {
  const endsOn = new Map<string, string>();
  for (const [name, { pools }] of state) for (const { id } of pools) endsOn.set(id, name);
  const moves = nodes.flatMap(({ node, pools }) =>
    pools
      .filter(({ id }) => endsOn.get(id) !== node.name)
      .map((pool) => ({ pool, from: node.name, to: endsOn.get(pool.id)! })),
  );
  const after = [...state.values()];
  const shares = after.length > 0 ? fairShares(after.map(({ node }) => node) as unknown as Cluster) : [];
  return {
    moves,
    nodes: nodes.map(({ node: { name }, pools }, at) => ({
      name,
      before: { load: summed(nodes[at]!.node, pools).node.load, pools: pools.length },
      after: { load: after[at]!.node.load, pools: after[at]!.pools.length },
      share: shares[at]!,
      gives: moves.filter(({ from }) => from === name).length,
      gets: moves.filter(({ to }) => to === name).length,
    })),
    stuck: after.flatMap(({ node, pools }) => pools.filter(({ kind }) => isLeaving(node, kind))),
  };
}
