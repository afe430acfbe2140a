/**
 * A pool was offered to this node: does it take it, or who else should have it? Asked by `placer.ts` when a shift
 * begins, before anything is read from PostgreSQL; the shift of a pool that is redirected ends at once, and its
 * workflow starts the next one on the queue of the chosen node. So a pool reaches its place with one hop of about 60
 * ms.
 *
 * Nobody simply declines. When two nodes each see more room at the other one, declining goes on until their rows are
 * new, and with many nodes it goes on for minutes. A pool that cannot be handed on is taken.
 */
import { PLACEMENT } from './constants';
import { canRead, fillAfter, isFull, mayKeep, newestRead } from './nodes';
import { fairShares } from './shares';
import { trackerOf, type Cluster, type NodeLoad, type PlacedPool } from './types';

export type Decision =
  | { readonly answer: 'take' }
  | { readonly answer: 'redirect'; readonly to: string }
  /** No node that lives may keep it: it is offered again later. */
  | { readonly answer: 'nobody' };

/** How the pool came here. */
export interface Offer {
  /** How often it was handed on since it was last kept; 0: by a shared queue. */
  readonly hops: number;
  /** Since it was handed on for the first time, milliseconds. */
  readonly waitedMs: number;
  /** This node kept it last, or handed it on itself. */
  readonly cameBack: boolean;
  /** It comes from a node that this one has asked. */
  readonly asked: boolean;
  /** Hand-overs take long just now. */
  readonly jammed: boolean;
  /** Temporal tries its shift again: the node that had it has died, or is frozen. */
  readonly retried: boolean;
}

const TAKE: Decision = { answer: 'take' };
/** Loads that are equal but for the noise of floating point. */
const NOISE = 1.0001;

/** @param random in [0, 1): nodes with the same view must not all choose the same one */
export function mayTake(cluster: Cluster, pool: PlacedPool, offer: Offer, random: number): Decision {
  const self = cluster[0];
  const able = cluster.filter((node) => mayKeep(node, pool.kind) && canRead(node, pool) === true);
  if (keepsForOthers(self, pool) && (able.length === 0 || isEnough({ ...offer, retried: false }))) return TAKE;
  if (able.length === 0) return { answer: 'nobody' };
  const mine = able[0] === self;
  if (mine && (able.length === 1 || isEnough(offer))) return TAKE;
  // A node that asked and then looked at its share once more would send on a pool that is as large as its share, and
  // ask again.
  if (mine && offer.asked && !isFull(self, pool.size)) return TAKE;

  // If all are full, the load above the limits is levelled over all of them.
  const roomy = able.filter((node) => !isFull(node, pool.size));
  const among = roomy.length > 0 ? roomy : able;
  const shares = fairShares(cluster, { extra: pool });
  if (among[0] === self) {
    const over = 1 + (offer.hops === 0 ? PLACEMENT.slack : PLACEMENT.chosenSlack);
    const lowest = Math.min(...among.map((node) => fillAfter(node, pool.size)));
    const most = Math.max(over * shares[0]!, lowest * self.weight * NOISE);
    if (self.load + pool.size <= most) return TAKE;
  }
  const others = among.filter((node) => node !== self);
  if (others.length === 0) return TAKE;
  return { answer: 'redirect', to: choose(cluster, others, shares, pool.size, random).name };
}

/**
 * This node has no code for the tracker's members: it can do their states no harm, for it does not touch them. Their
 * messages would wait here, so it is for a node that has the code; without one, the operations at least go on.
 */
function keepsForOthers(self: NodeLoad, { kind, states = 0 }: PlacedPool): boolean {
  return states > 0 && mayKeep(self, kind) && newestRead(self.reads, trackerOf(kind)) === undefined;
}

/**
 * It has waited long enough: whoever may keep it takes it. One whose shift is tried again has waited for a whole
 * heartbeat time-out, and handing it on needs its workflow, whose task may be swallowed by the very node that is
 * frozen. It is taken by who gets it; balance comes afterwards, by asks.
 */
function isEnough({ hops, waitedMs, cameBack, jammed, retried }: Offer): boolean {
  return retried || hops >= PLACEMENT.maxHops || cameBack || jammed || (hops > 0 && waitedMs > PLACEMENT.jamMs);
}

/**
 * One of those that lack load, each as likely as it lacks much; where nobody lacks any, the one that is the least full
 * afterwards.
 */
function choose(cluster: Cluster, others: NodeLoad[], shares: readonly number[], size: number, random: number) {
  const lacks = others.map((node) => Math.max(0, shares[cluster.indexOf(node)]! - node.load - node.coming));
  let point = random * lacks.reduce((sum, lack) => sum + lack, 0);
  for (const [at, lack] of lacks.entries()) {
    point -= lack;
    if (point < 0) return others[at]!;
  }
  return others.reduce((best, node) => (fillAfter(node, size) < fillAfter(best, size) ? node : best));
}
