/**
 * Small questions about nodes, asked by every other file of the rule: may it, has it room, would a move help, what
 * leaves it anyway.
 */
import { trackerOf, type NodeLoad, type PlacedPool } from './types';

/** Equal loads are left alone, and so are those that differ by the noise of floating point. */
const MORE_THAN_NOISE = 1.0001;

/** May it be given a pool of this kind? */
export function mayKeep(node: NodeLoad, kind: string): boolean {
  return node.up && !node.stale && node.keeps.has(kind);
}

/** The newest state of the tracker's members that a node's code reads; undefined: it has no code for them. */
export const newestRead = (reads: NodeLoad['reads'], tracker: string): number | undefined =>
  reads !== undefined && Object.hasOwn(reads, tracker) ? reads[tracker] : undefined;

/** Can its code read the states of the pool's members? Undefined: it is of a release that does not say. */
export function canRead({ reads }: Pick<NodeLoad, 'reads'>, { kind, states = 0 }: Pick<PlacedPool, 'kind' | 'states'>) {
  if (states === 0) return true;
  return reads && (newestRead(reads, trackerOf(kind)) ?? 0) >= states;
}

/**
 * The newest states that a node's pools of this kind have, as far as its row tells: those that its code writes. 0: they
 * have none.
 */
export const statesOn = ({ writes }: Pick<NodeLoad, 'writes'>, kind: string): number =>
  newestRead(writes, trackerOf(kind)) ?? 0;

/** May it ever have the pools of this kind that `keeper` has? By its config, its label, and what its code reads. */
export function mayHave(node: NodeLoad, keeper: NodeLoad, kind: string): boolean {
  return node.keeps.has(kind) && canRead(node, { kind, states: statesOn(keeper, kind) }) !== false;
}

/** May it be given this pool by the node that keeps it? One that does not say what it reads may. */
export function mayBeGiven(node: NodeLoad, pool: PlacedPool): boolean {
  return mayKeep(node, pool.kind) && canRead(node, pool) !== false;
}

/** Would one more pool of this size be more than its places or its limit? */
export function isFull(node: Pick<NodeLoad, 'shifts' | 'places' | 'load' | 'loadLimit'>, size: number): boolean {
  return node.shifts >= node.places || node.load + size > node.loadLimit;
}

/** How full a node is after a pool of this size has come, against its weight. */
export function fillAfter(node: Pick<NodeLoad, 'load' | 'weight'>, size: number): number {
  return (node.load + size) / node.weight;
}

type Weighed = Pick<NodeLoad, 'load' | 'weight'>;

/**
 * Does moving `size` from one to the other lower the sum of load² / weight? Only such moves are made, so they come to
 * an end.
 */
export function lowersImbalance(from: Weighed, to: Weighed, size: number): boolean {
  const apart = from.load / from.weight - to.load / to.weight;
  return apart > (size / 2) * (1 / from.weight + 1 / to.weight) * MORE_THAN_NOISE;
}

/**
 * Will its pools of this kind leave it, whatever is asked? They do where it is drained, wholly or for their tracker.
 */
export function isLeaving(node: NodeLoad, kind: string): boolean {
  return !node.up || !node.keeps.has(kind);
}

/** The part of its load that stays. */
export function settledLoad(node: NodeLoad): number {
  if (!node.up) return 0;
  let leaving = 0;
  for (const [kind, load] of node.loads) if (isLeaving(node, kind)) leaving += load;
  return Math.max(0, node.load - leaving);
}

/** Does `giver` keep something that stays there, and that `asker` may keep as well? */
export function hasFor(asker: NodeLoad, giver: NodeLoad): boolean {
  for (const [kind, load] of giver.loads) {
    if (load > 0 && mayHave(asker, giver, kind) && !isLeaving(giver, kind)) return true;
  }
  return false;
}
