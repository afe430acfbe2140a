/**
 * Random clusters for the properties of placement: nodes with pools of several kinds, labels, limits, weights; some
 * drained, some not heard of. Also what is needed to compare them: whose view is whose, and how uneven a cluster is.
 */
import fc, { type Arbitrary } from 'fast-check';
import type { Cluster, NodeLoad, PlacedPool } from '../../../activities/tracker/placement/types';
import type { Budget } from '../../../activities/tracker/placement/surplus';

export interface DrawnNode extends NodeLoad {
  readonly pools: readonly PlacedPool[];
}
export type DrawnCluster = readonly [DrawnNode, ...DrawnNode[]];

const KINDS = ['eve', 'game', 'eve@gpu'];

/** Small and large ones alike: 10 to 3,000 load units. */
export const poolSize = fc.integer({ min: 0, max: 80 }).map((power) => Math.round(10 * 1.074 ** power));

export interface Shape {
  /** All pools have this size. */
  size?: number;
  kinds?: number;
  /** Nodes may have limits, be drained, old, or hot. */
  plain?: boolean;
  nodes?: [number, number];
  pools?: number;
}

interface Drawn {
  pools: { size: number; kind: number }[];
  weight: number;
  places: number | undefined;
  loadLimit: number | undefined;
  up: boolean;
  stale: boolean;
  lacks: number[];
  coming: number;
}

export function cluster({
  size,
  kinds = 3,
  plain = false,
  nodes = [1, 7],
  pools = 12,
}: Shape = {}): Arbitrary<DrawnCluster> {
  const pool = fc.record({
    size: size === undefined ? poolSize : fc.constant(size),
    kind: fc.nat({ max: kinds - 1 }),
  });
  const rarely = (arbitrary: Arbitrary<number>): Arbitrary<number | undefined> =>
    plain ? fc.constant(undefined) : fc.option(arbitrary, { nil: undefined, freq: 2 });
  const seldom = plain ? fc.constant(false) : fc.nat({ max: 5 }).map((n) => n === 0);
  const drawn: Arbitrary<Drawn> = fc.record({
    pools: fc.array(pool, { maxLength: pools, size: 'max' }),
    weight: fc.constantFrom(1, 1, 1, 1, 2, 0.5, 0.1),
    places: rarely(fc.nat({ max: 15 })),
    loadLimit: rarely(fc.integer({ min: 0, max: 8_000 })),
    up: seldom.map((no) => !no),
    stale: seldom,
    lacks: plain ? fc.constant([]) : fc.array(fc.nat({ max: kinds - 1 }), { maxLength: 1 }),
    coming: plain ? fc.constant(0) : fc.constantFrom(0, 0, 0, 100, 1_000),
  });
  return fc
    .array(drawn, { minLength: nodes[0], maxLength: nodes[1], size: 'max' })
    .map((all) => all.map((node, at) => nodeOf(node, `n${at}`, at === 0, kinds)) as unknown as DrawnCluster);
}

function nodeOf(drawn: Drawn, name: string, isSelf: boolean, kinds: number): DrawnNode {
  const { weight, up, coming, lacks } = drawn;
  const pools = drawn.pools.map(({ size, kind }, at) => ({
    id: `${name}/${at}`,
    kind: KINDS[kind]!,
    size,
    members: size,
  }));
  const node = {
    name,
    weight,
    places: drawn.places ?? Infinity,
    loadLimit: drawn.loadLimit ?? Infinity,
    keeps: new Set(KINDS.filter((_, at) => at < kinds && !lacks.includes(at))),
    up,
    stale: drawn.stale && !isSelf,
    hot: false,
    coming: isSelf ? 0 : coming,
    wants: new Map<string, number>(),
  };
  return withPools(node, pools);
}

type Loads = 'load' | 'shifts' | 'loads' | 'largest' | 'pools';

/** The same node with these pools, and the sums of them. */
export function withPools(node: Omit<DrawnNode, Loads>, pools: readonly PlacedPool[]): DrawnNode {
  const loads = new Map<string, number>();
  let load = 0;
  let largest: PlacedPool | undefined;
  for (const pool of pools) {
    load += pool.size;
    loads.set(pool.kind, (loads.get(pool.kind) ?? 0) + pool.size);
    if (!largest || pool.size > largest.size) largest = pool;
  }
  return { ...node, pools, load, loads, largest, shifts: pools.length };
}

/** A node without limits, with a pool of each of these sizes. */
export function nodeWith(
  name: string,
  sizes: readonly number[],
  more: Partial<Omit<DrawnNode, Loads>> = {},
  kind = 'eve',
): DrawnNode {
  const node = { name, weight: 1, places: Infinity, loadLimit: Infinity, keeps: new Set(['eve', 'game']), up: true };
  const quiet = { stale: false, hot: false, coming: 0, wants: new Map<string, number>() };
  const pools = sizes.map((size, at) => ({ id: `${name}/${kind}/${at}`, kind, size, members: 1 }));
  return withPools({ ...node, ...quiet, ...more }, pools);
}

/** As many of the same size. */
export const times = (count: number, size: number): number[] => new Array<number>(count).fill(size);

/** The same cluster as another one of its nodes sees it. */
export function seenBy<N extends NodeLoad>(nodes: readonly N[], name: string): [N, ...N[]] {
  const self = nodes.find((node) => node.name === name)!;
  return [self, ...nodes.filter((node) => node !== self)];
}

/** After a pool has gone from one node to another. */
export function moved(nodes: DrawnCluster, id: string, to: string): DrawnCluster {
  const pool = nodes.flatMap(({ pools }) => pools).find((one) => one.id === id)!;
  return nodes.map((node) => {
    const rest = node.pools.filter((one) => one.id !== id);
    return withPools(node, node.name === to ? [...rest, pool] : rest);
  }) as unknown as DrawnCluster;
}

/** Every move that was asked for must lower it. */
export function unevenness(nodes: Cluster): number {
  return nodes.reduce((sum, { load, weight }) => sum + load ** 2 / weight, 0);
}

/** A budget that bounds nothing. */
export const PLENTY: Budget = { pools: 1_000, members: 1_000_000_000 };

/** Does a pool have to leave it? */
export const mustGive = (node: DrawnCluster[0]): boolean =>
  node.pools.some(({ kind }) => !node.up || !node.keeps.has(kind));
