/**
 * Each node's fair share of the load: the answer that every other decision of placement compares with.
 *
 * Think of water: load is poured over the nodes that may keep it until all stand at the same level, where the level of
 * a node is its load against its weight. A node at its limit takes no more, and the rest rises over the others. If all
 * are at their limits, the rest is levelled in the same way, by what each has above its limit. Pools that only some
 * nodes may keep (a label, a tracker that not all define, states that only newer code reads) are a *group* of their
 * own. The nodes that stand highest with what only they may keep have just that; the other groups are poured over the
 * other nodes, and so on. So nobody's level can be lowered without raising one that is higher. A pool is not divided.
 * So a node with a pool that is larger than its share has that pool as its share, and the rest is levelled over the
 * others.
 */
import { canRead, isLeaving, statesOn } from './nodes';
import type { Cluster, PlacedPool } from './types';

export interface ShareOptions {
  /** A pool that nobody keeps yet, and that counts as well. */
  extra?: Pick<PlacedPool, 'kind' | 'size' | 'states'>;
  /**
   * Leave out what drained nodes will give: what each node has a share of now. By default it counts: what each will
   * have in the end.
   */
  withoutLeaving?: boolean;
}

/**
 * Sets of nodes that are looked at. Groups come from labels, and from trackers that some nodes do not define: five
 * groups that overlap in every way have 31. With more, shares are a little less even.
 */
const MOST_UNIONS = 64;
/** Fixing large pools lowers the others' shares, so that a second and a third pool may become larger than a share. */
const PIN_ROUNDS = 3;
/**
 * Only nodes of at least this part of the greatest weight: a node cut down by its health is to lose its large pool, not
 * to be measured by it.
 */
const PIN_WEIGHT = 0.5;
/** 2^-60 of the highest level is below the precision of a number. */
const BISECTIONS = 60;

/** The load of one kind whose states are of one version. */
interface Part {
  kind: string;
  states: number;
  load: number;
}

/** Pools that the same nodes may keep. */
interface Group {
  /** The keys of its parts (`partOf`). */
  parts: Set<string>;
  /** Indices of these nodes. */
  able: number[];
  load: number;
}

interface Division {
  groups: Group[];
  weights: number[];
  /** Load units at most. */
  limits: number[];
}

/**
 * In the order of the cluster, load units. 0 for who is drained. Their sum is the load of all kinds that some node may
 * keep.
 */
export function fairShares(cluster: Cluster, options: ShareOptions = {}): number[] {
  const division = divide(cluster, options);
  const pinned = new Map<number, Pinned>();
  let shares = level(division, pinned);
  for (let round = 0; round < PIN_ROUNDS; round++) {
    if (!pinLarge(cluster, shares, pinned)) break;
    shares = level(division, pinned);
  }
  return shares;
}

function divide(cluster: Cluster, { extra, withoutLeaving }: ShareOptions): Division {
  const parts = new Map<string, Part>();
  const add = (kind: string, states: number, load: number): void => {
    const part = partOf(kind, states);
    parts.set(part, { kind, states, load: (parts.get(part)?.load ?? 0) + load });
  };
  let shifts = 0;
  for (const node of cluster) {
    shifts += node.shifts;
    for (const [kind, load] of node.loads) {
      if (load > 0 && !(withoutLeaving && isLeaving(node, kind))) add(kind, statesOn(node, kind), load);
    }
  }
  if (extra) {
    add(extra.kind, extra.states ?? 0, extra.size);
    shifts++;
  }
  let load = 0;
  for (const part of parts.values()) load += part.load;
  const poolSize = load / Math.max(1, shifts);
  return {
    groups: groupParts(cluster, parts),
    weights: cluster.map((node) => node.weight),
    limits: cluster.map((node) => limitOf(node.loadLimit, node.places, poolSize)),
  };
}

/** Places are counted in pools, and here as many pools of the mean size. */
function limitOf(loadLimit: number, places: number, poolSize: number): number {
  return places === Infinity ? loadLimit : Math.min(loadLimit, places * poolSize);
}

const partOf = (kind: string, states: number): string => `${kind} ${states}`;

/**
 * Parts that the same nodes may keep are one group. Sorted, so that the order of nodes and kinds in the rows changes
 * nothing.
 */
function groupParts(cluster: Cluster, parts: ReadonlyMap<string, Part>): Group[] {
  const groups = new Map<string, Group>();
  for (const part of [...parts.keys()].sort()) {
    const { kind, states, load } = parts.get(part)!;
    const able: number[] = [];
    cluster.forEach((node, index) => {
      if (node.up && node.keeps.has(kind) && canRead(node, { kind, states }) !== false) able.push(index);
    });
    // Nobody may keep it: it is nobody's share.
    if (able.length === 0) continue;
    const key = able.join();
    const group = groups.get(key) ?? { parts: new Set(), able, load: 0 };
    group.parts.add(part);
    group.load += load;
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** A pool that is larger than the share of its node. */
interface Pinned {
  size: number;
  part: string;
}

/** @returns whether one was found */
function pinLarge(cluster: Cluster, shares: readonly number[], pinned: Map<number, Pinned>): boolean {
  let greatest = 0;
  for (const node of cluster) if (node.up) greatest = Math.max(greatest, node.weight);
  let found = false;
  cluster.forEach((node, index) => {
    const { up, largest, weight, keeps, loads } = node;
    if (!up || !largest || pinned.has(index) || !keeps.has(largest.kind)) return;
    if (largest.size <= shares[index]! * (1 + 1e-9) || weight < greatest * PIN_WEIGHT) return;
    // A row whose parts do not fit each other gives no more than there is.
    const part = partOf(largest.kind, statesOn(node, largest.kind));
    pinned.set(index, { part, size: Math.min(largest.size, loads.get(largest.kind) ?? 0) });
    found = true;
  });
  return found;
}

function level(division: Division, pinned: ReadonlyMap<number, Pinned>): number[] {
  const { weights, limits } = division;
  const shares = new Array<number>(weights.length).fill(0);
  let open = division.groups.map((group) => ({ ...group }));
  for (const [index, pool] of pinned) {
    const group = open.find(({ parts }) => parts.has(pool.part));
    if (!group) continue;
    shares[index] = Math.min(pool.size, group.load);
    group.load -= shares[index];
  }
  open = open.filter(({ load }) => load > 0);
  while (open.length > 0) {
    const { nodes, inside, poured } = tightest(open, shares, weights, limits);
    nodes.forEach((index, at) => (shares[index]! += poured.parts[at]!));
    const closed = new Set(nodes);
    open = open
      .filter((group) => !inside.has(group))
      .map((group) => ({ ...group, able: group.able.filter((index) => !closed.has(index)) }))
      .filter(({ able }) => able.length > 0);
  }
  return shares;
}

/** The nodes that stand highest when they have all that only they may keep. No other group puts anything there. */
function tightest(
  open: readonly Group[],
  shares: readonly number[],
  weights: readonly number[],
  limits: readonly number[],
) {
  let best: { nodes: number[]; inside: Set<Group>; poured: Poured } | undefined;
  for (const nodes of unions(open)) {
    const among = new Set(nodes);
    const inside = new Set(open.filter(({ able }) => able.every((index) => among.has(index))));
    let load = 0;
    for (const group of inside) load += group.load;
    const of = (values: readonly number[]): number[] => nodes.map((index) => values[index]!);
    const poured = pour(load, of(shares), of(weights), of(limits));
    if (!best || isHigher(poured, best.poured)) best = { nodes, inside, poured };
  }
  return best!;
}

/** The sets of nodes that one or several groups have together, each once. */
function unions(groups: readonly Group[]): number[][] {
  const found = new Map<string, number[]>();
  for (const { able } of groups) {
    for (const nodes of [[], ...found.values()]) {
      if (found.size >= MOST_UNIONS) break;
      const union = [...new Set([...nodes, ...able])].sort((a, b) => a - b);
      found.set(union.join(), union);
    }
    found.set(able.join(), able);
  }
  return [...found.values()];
}

function isHigher(a: Poured, b: Poured): boolean {
  return a.isOverLimits === b.isOverLimits ? a.height > b.height : a.isOverLimits;
}

interface Poured {
  /** The part that each vessel gets. */
  parts: number[];
  /** All are at their limits, and had to take more. */
  isOverLimits: boolean;
  /** The level, against the weights; over the limits: above each one's limit. */
  height: number;
}

/**
 * Pours `amount` over vessels that hold something already: they stand at one level then, but for those that stood
 * higher or are at their limit.
 */
function pour(amount: number, held: readonly number[], weights: readonly number[], limits: readonly number[]): Poured {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const atLevel = (height: number): number[] =>
    held.map((has, at) => Math.max(0, Math.min(height * weights[at]!, limits[at]!) - has));
  const room = sum(atLevel(Infinity));
  if (room <= amount) {
    // The rest is levelled by what each has above its own limit.
    const above = held.map((has, at) => Math.max(0, has - limits[at]!));
    const endless = limits.map(() => Infinity);
    const { parts, height } = pour(amount - room, above, weights, endless);
    const all = held.map((has, at) => Math.max(0, limits[at]! - has) + parts[at]!);
    return { parts: all, isOverLimits: true, height };
  }
  // Mostly nobody stands too high and nobody is at a limit: then the level is known at once.
  const even = (amount + sum(held)) / sum(weights);
  if (held.every((has, at) => has <= even * weights[at]! && even * weights[at]! <= limits[at]!)) {
    return { parts: atLevel(even), isOverLimits: false, height: even };
  }
  let low = 0;
  let high = held.reduce((most, has, at) => Math.max(most, (amount + has) / weights[at]!), 0);
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2;
    if (sum(atLevel(middle)) < amount) low = middle;
    else high = middle;
  }
  return { parts: atLevel(high), isOverLimits: false, height: high };
}
