/**
 * Whether a node asks its peers for pools, and whom for how much. Asked by `placer.ts` with each row; the answer goes
 * into the row, and the peers' `surplus.ts` answers it.
 *
 * A node asks if it is **hungry** (more than the band below its share), or if a peer is **fat** (more than the band
 * above its own) and this node is among the emptiest that could relieve it. Load that drained nodes will give, or that
 * others have asked for already, counts as gone.
 */
import { PLACEMENT } from './constants';
import { fillAfter, hasFor, isFull, isLeaving, lowersImbalance, mayHave, settledLoad } from './nodes';
import { fairShares } from './shares';
import type { Ask, Cluster, NodeLoad } from './types';

const HALF_BAND = PLACEMENT.band / 2;

/** A node while the ask is put together. */
interface Draft {
  readonly node: NodeLoad;
  readonly share: number;
  readonly weight: number;
  /** The size of its mean pool: a whole pool is the least that can be asked for. 0: it has none. */
  readonly poolSize: number;
  load: number;
}

/**
 * @param refused nodes that were asked a short while ago and gave nothing
 * @returns undefined: nothing is lacking, or nobody has anything to give
 */
export function askFor(cluster: Cluster, refused: ReadonlySet<string> = new Set()): Ask | undefined {
  const self = cluster[0];
  if (!self.up || cluster.length === 1 || isFull(self, 0)) return undefined;
  const shares = fairShares(cluster, { withoutLeaving: true });
  const lack = shares[0]! - settledLoad(self);
  // The load that leaves other nodes anyway comes by itself.
  if (lack <= 0 || lack <= loadThatComesAnyway(cluster)) return undefined;

  const hungry = settledLoad(self) < (1 - PLACEMENT.band) * shares[0]!;
  const wanted = hungry ? lack : myPartOfTheFat(cluster, shares, refused);
  if (wanted <= 0) return undefined;

  const drafts = cluster.map((node, at) => draftOf(node, shares[at]!));
  takeOffOthersWants(cluster, drafts);
  const deep = hungry && spareOf(drafts, refused) < (1 - PLACEMENT.band) * lack;
  const givers = drafts
    .slice(1)
    .filter(({ node, load, share }) => {
      if (!node.up || node.stale || refused.has(node.name) || !hasFor(self, node)) return false;
      return hungry || load > (1 + PLACEMENT.band) * share;
    })
    .sort((a, b) => b.load / b.weight - a.load / a.weight || tieOf(self, b.node) - tieOf(self, a.node));
  const from = hungry ? askHungrily(drafts[0]!, givers, wanted, deep) : askOfTheFat(drafts[0]!, givers, wanted);
  if (from.size === 0) return undefined;
  let asked = 0;
  for (const load of from.values()) asked += load;
  return { from, deep, beyond: Math.max(0, asked - lack) };
}

/**
 * With what is to come, this node would be above the band: its share has shrunk since it asked.
 * @param coming load units that it has asked for and that have not been sent
 * @param beyond how far above its share the ask was to bring it from the beginning, for pools are not divided
 */
export function isTooMuch(cluster: Cluster, coming: number, beyond: number): boolean {
  const self = cluster[0];
  const [share] = fairShares(cluster, { withoutLeaving: true });
  const poolSize = self.shifts > 0 ? self.load / self.shifts : 0;
  return settledLoad(self) + coming > (1 + HALF_BAND) * share! + Math.max(poolSize, beyond);
}

/** The load that this node may have, and that leaves its peers without being asked for. */
function loadThatComesAnyway([self, ...peers]: Cluster): number {
  let load = 0;
  for (const peer of peers) {
    for (const [kind, part] of peer.loads) if (isLeaving(peer, kind) && mayHave(self, peer, kind)) load += part;
  }
  return load;
}

/**
 * Not hungry: how much of what the fat ones have too much is left for this node, when all that are emptier have had
 * their room of it. So the emptiest ask, each for its part, and not all at once for the same pools.
 */
function myPartOfTheFat(cluster: Cluster, shares: readonly number[], refused: ReadonlySet<string>): number {
  const [self, ...peers] = cluster;
  const tooMuch = cluster.map((node, at) => {
    if (at === 0 || !isFat(node, shares[at]!) || !hasFor(self, node) || refused.has(node.name)) return 0;
    const asked = peers.reduce((sum, peer) => sum + (peer.wants.get(node.name) ?? 0), 0);
    return Math.max(0, settledLoad(node) - (1 + HALF_BAND) * shares[at]! - asked);
  });
  let left = tooMuch.reduce((sum, part) => sum + part, 0);
  const room = (at: number): number => (1 + HALF_BAND) * shares[at]! - settledLoad(cluster[at]!) - cluster[at]!.coming;
  const emptier = (at: number): boolean =>
    room(at) > room(0) || (room(at) === room(0) && cluster[at]!.name < self.name);
  cluster.forEach((node, at) => {
    if (at === 0 || !node.up || settledLoad(node) >= shares[at]! || !emptier(at)) return;
    if (cluster.some((giver, j) => tooMuch[j]! > 0 && hasFor(node, giver))) left -= Math.max(0, room(at));
  });
  return Math.min(left, (1 + HALF_BAND) * shares[0]! - settledLoad(self));
}

function isFat(node: NodeLoad, share: number): boolean {
  return node.up && !node.stale && settledLoad(node) > (1 + PLACEMENT.band) * share;
}

function draftOf(node: NodeLoad, share: number): Draft {
  const load = settledLoad(node);
  const poolSize = node.shifts > 0 ? node.load / node.shifts : 0;
  return { node, share, weight: node.weight, load, poolSize };
}

/** Pools that others have asked for are as good as gone, but nobody is asked below its share by that. */
function takeOffOthersWants([, ...peers]: Cluster, [, ...drafts]: Draft[]): void {
  for (const peer of peers) {
    for (const draft of drafts) {
      const wanted = draft.node === peer ? 0 : (peer.wants.get(draft.node.name) ?? 0);
      if (wanted > 0) draft.load = Math.max(Math.min(draft.load, draft.share), draft.load - wanted);
    }
  }
}

/**
 * The load that nodes above half the band have above their share, in whole pools: a giver goes half a pool below it at
 * most. A node that has refused has nothing: its pools are too large, or of a kind that this node may not keep.
 */
function spareOf([, ...drafts]: Draft[], refused: ReadonlySet<string>): number {
  let spare = 0;
  for (const { node, load, share, poolSize } of drafts) {
    if (!node.up || node.stale || refused.has(node.name)) continue;
    if (poolSize <= 0 || load <= (1 + HALF_BAND) * share) continue;
    spare += Math.floor((load - share) / poolSize + 0.5) * poolSize;
  }
  return spare;
}

/** The fat ones down to their share; if that is not enough all down to the floor; then a pool of each in turn. */
function askHungrily(self: Draft, givers: Draft[], wanted: number, deep: boolean): Map<string, number> {
  const asking = new Asking(self, wanted);
  for (const giver of givers) {
    if (giver.load > (1 + HALF_BAND) * giver.share) asking.of(giver, giver.load - giver.share);
  }
  if (deep) for (const giver of givers) asking.of(giver, giver.load - PLACEMENT.floor * giver.share);
  asking.inTurn(givers, (giver) => giver.poolSize);
  return asking.from;
}

/** The fat ones down to half the band above their share, then a pool of each in turn while they are above that. */
function askOfTheFat(self: Draft, givers: Draft[], wanted: number): Map<string, number> {
  const asking = new Asking(self, wanted);
  const above = (giver: Draft): number => giver.load - (1 + HALF_BAND) * giver.share;
  for (const giver of givers) if (above(giver) > 0) asking.of(giver, above(giver) + giver.poolSize / 2);
  asking.inTurn(givers, (giver) => (above(giver) > 0 ? giver.poolSize : 0));
  return asking.from;
}

class Asking {
  readonly from = new Map<string, number>();

  constructor(
    private readonly self: Draft,
    private wanted: number,
  ) {}

  /**
   * Whole pools of this giver, up to `most` load units, if one of them would help. @returns whether anything was asked
   * for
   */
  of(giver: Draft, most: number): boolean {
    const { poolSize } = giver;
    if (this.wanted <= 0 || poolSize <= 0) return false;
    if (!lowersImbalance(giver, this.self, poolSize)) return false;
    // Less than half a pool is lacking: one more only from who stays as full as this node is then.
    if (this.wanted < poolSize / 2 && fillAfter(giver, -poolSize) < fillAfter(this.self, poolSize) * (1 - 1e-9))
      return false;
    const load =
      Math.floor(Math.min(Math.max(poolSize, this.wanted + poolSize / 2), most) / poolSize + 1e-9) * poolSize;
    if (load <= 0) return false;
    giver.load -= load;
    this.self.load += load;
    this.wanted -= load;
    this.from.set(giver.node.name, (this.from.get(giver.node.name) ?? 0) + load);
    return true;
  }

  inTurn(givers: Draft[], most: (giver: Draft) => number): void {
    for (let again = true; again;) {
      again = false;
      for (const giver of givers) if (this.of(giver, most(giver))) again = true;
    }
  }
}

/**
 * Equally full givers come in an order that is another one for each asker, so that not all ask the same (FNV-1a, then
 * mixed).
 */
function tieOf(asker: NodeLoad, giver: NodeLoad): number {
  let hash = 0x811c9dc5;
  for (const letter of `${asker.name}/${giver.name}`) hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
