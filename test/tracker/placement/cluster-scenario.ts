/** Shared by the simulated cluster's tests: pools of equal and uneven sizes, and whether a cluster is at rest. */
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import { fairShares } from '../../../activities/tracker/placement/shares';
import type { Draws } from '../../support/draws';
import type { SimulatedCluster } from './simulated-cluster';
import type { SimulatedNode } from './simulated-server';

export type SimulatedPoolDefinition = PlacedPool & { label?: string };

/** 1,000 members each, fetched every ten seconds: 110 load units. */
export function equalPools(count: number): SimulatedPoolDefinition[] {
  return Array.from({ length: count }, (_, at) => ({ id: `eve/${at}`, kind: 'eve', size: 110, members: 1_000 }));
}

/** 1 to 5,000 members, every 1, 10 or 600 seconds: a few pools carry most of the load. */
export function unevenPools(count: number, draw: Draws, labelled = 0): SimulatedPoolDefinition[] {
  return Array.from({ length: count }, (_, at) => {
    const members = draw.size(1, 5_000);
    const pool = { id: `eve/${at}`, kind: 'eve', size: 10 + members / draw.one([1, 10, 600]), members };
    return draw.chance(labelled) ? { ...pool, kind: 'eve@gpu', label: 'gpu' } : pool;
  });
}

/** A node that is refused by some asks others next, so this is twice an ask and its refusal (13 s). */
const QUIET_MS = 28_000;

/** Lets the cluster come to rest: nothing moves and nothing is redirected for a while. */
export function rest(cluster: SimulatedCluster, mostMs = 180_000): void {
  const from = cluster.now;
  const took = cluster.runUntil(() => cluster.now - Math.max(from, cluster.movedAt) > QUIET_MS, mostMs, 500);
  if (took === undefined) throw new Error(`not at rest after ${mostMs} ms: ${show(cluster)}`);
}

/** Runs on, and says what moved. */
export function movesWithin(cluster: SimulatedCluster, ms: number): number {
  const { moves, redirects } = cluster.counts;
  cluster.run(ms);
  return cluster.counts.moves + cluster.counts.redirects - moves - redirects;
}

/** The fair share of each living node, by name, as its own view shows it. */
export function shareOf(cluster: SimulatedCluster, node: SimulatedNode): number {
  return fairShares(node.placer.view(cluster.now))[0]!;
}

export function show(cluster: SimulatedCluster): string {
  const nodes = cluster.living.map(({ name, placer, drained }) => {
    return `${name}${drained ? ' (drained)' : ''}: ${placer.pools.size} pools, ${Math.round(cluster.loadOf(name))}`;
  });
  return `${nodes.join('; ')}; ${JSON.stringify(cluster.counts)}`;
}
