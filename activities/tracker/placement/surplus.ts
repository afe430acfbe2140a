/**
 * Chooses the pools that a node gives away now, and their takers. Asked by `placer.ts` after each flush and whenever a
 * pool on its way has arrived.
 *
 * A node gives in two cases only. It **must**: it is drained, it may not keep a kind of pool any more, or it has more
 * pools than places. Or it **was asked** by a peer that is short, and a pool of its own helps: the move lowers the sum
 * of load² / weight, and leaves the giver its own share, or at least as full as the asker. Without an ask a node keeps
 * what it has, so nodes whose views differ do not push pools to and fro.
 */
import { PLACEMENT } from './constants';
import { fillAfter, isFull, isLeaving, lowersImbalance, mayBeGiven } from './nodes';
import { fairShares } from './shares';
import type { Cluster, Move, NodeLoad, PlacedPool } from './types';

/** The load that a peer wants of this node, and has not been given yet. */
export interface Request {
  readonly asker: string;
  /** Load units. */
  readonly left: number;
  readonly deep: boolean;
}

/** How much may be put on its way now. */
export interface Budget {
  readonly pools: number;
  readonly members: number;
}

export interface Surplus {
  readonly moves: Move[];
  /** Askers for which nothing that this node has would help. */
  readonly nothingFor: string[];
}

/** A node while moves are planned: its load changes with each. */
type Draft = { -readonly [K in keyof NodeLoad]: NodeLoad[K] };

/**
 * @param pools all that the node keeps and has not given away yet
 * @param cameFrom by pool: the node that it has come from a moment ago, which is not given it back for asking
 */
export function surplus(
  cluster: Cluster,
  pools: readonly PlacedPool[],
  requests: readonly Request[],
  budget: Budget,
  cameFrom: ReadonlyMap<string, string> = new Map(),
): Surplus {
  const [self] = cluster;
  const must = self.shifts > self.places || [...self.loads.keys()].some((kind) => isLeaving(self, kind));
  if (!must && requests.length === 0) return { moves: [], nothingFor: [] };
  const plan = new Plan(cluster, pools, budget, cameFrom);
  if (must) plan.giveWhatMust();
  // Nobody asks a node that is drained.
  return self.up ? plan.giveAsked(requests) : { moves: plan.moves, nothingFor: [] };
}

class Plan {
  private readonly nodes: Draft[];
  private readonly self: Draft;
  /** From the smallest to the largest. */
  private readonly pools: PlacedPool[];
  readonly moves: Move[] = [];
  private members = 0;

  constructor(
    private readonly cluster: Cluster,
    pools: readonly PlacedPool[],
    private readonly budget: Budget,
    private readonly cameFrom: ReadonlyMap<string, string>,
  ) {
    this.nodes = cluster.map((node) => ({ ...node }));
    this.self = this.nodes[0]!;
    this.pools = [...pools].sort((a, b) => a.size - b.size || (a.id < b.id ? -1 : 1));
  }

  /** The largest first, while there is most room for them. */
  giveWhatMust(): void {
    const shares = fairShares(this.cluster);
    for (let at = this.pools.length - 1; at >= 0 && this.isOpen(); at--) {
      const pool = this.pools[at]!;
      const leaving = isLeaving(this.self, pool.kind);
      if (!leaving && this.self.shifts <= this.self.places) continue;
      const to = this.roomiest(pool, shares);
      // A pool that must leave goes to a full node, if there is no other. A node that is merely over its places keeps
      // it then.
      if (to && (leaving || !isFull(to, pool.size))) this.give(at, to);
    }
  }

  /** The node that lacks most; where nobody lacks anything, who is the least full afterwards, full ones last. */
  private roomiest(pool: PlacedPool, shares: readonly number[]): Draft | undefined {
    let lacking: Draft | undefined;
    let lacks = 0;
    let emptiest: Draft | undefined;
    const rank = (node: Draft): [boolean, number] => [isFull(node, pool.size), fillAfter(node, pool.size)];
    for (let at = 1; at < this.nodes.length; at++) {
      const node = this.nodes[at]!;
      if (!mayBeGiven(node, pool)) continue;
      if (!emptiest || isLess(rank(node), rank(emptiest))) emptiest = node;
      if (!isFull(node, pool.size) && shares[at]! - node.load > lacks) {
        lacking = node;
        lacks = shares[at]! - node.load;
      }
    }
    return lacking ?? emptiest;
  }

  /** A pool for each asker in turn, until each has what it asked for or nothing helps it. */
  giveAsked(requests: readonly Request[]): Surplus {
    const shares = fairShares(this.cluster, { withoutLeaving: true });
    const nothingFor: string[] = [];
    let open = requests.map((request) => ({ ...request }));
    while (open.length > 0) {
      const next: typeof open = [];
      for (const request of open) {
        if (!this.isOpen()) return { moves: this.moves, nothingFor };
        const to = this.nodes.findIndex((node, at) => at > 0 && node.name === request.asker);
        const pool = to < 0 ? -1 : this.choose(to, request, shares);
        if (pool < 0) {
          nothingFor.push(request.asker);
          continue;
        }
        const left = request.left - this.pools[pool]!.size;
        this.give(pool, this.nodes[to]!);
        if (left > 0) next.push({ ...request, left });
      }
      open = next;
    }
    return { moves: this.moves, nothingFor };
  }

  /**
   * The largest pool that is asked for and helps; if none is small enough, the next larger one up to twice of what is
   * asked. -1: none.
   */
  private choose(to: number, { left, deep }: Request, shares: readonly number[]): number {
    const { self } = this;
    const asker = this.nodes[to]!;
    if (isFull(asker, 0) || this.pools.length === 0) return -1;
    const least = (deep ? PLACEMENT.floor : 1) * shares[0]!;
    const helps = (pool: PlacedPool): boolean =>
      mayBeGiven(asker, pool) &&
      this.cameFrom.get(pool.id) !== asker.name &&
      !isFull(asker, pool.size) &&
      lowersImbalance(self, asker, pool.size) &&
      (self.load - pool.size / 2 >= least || (deep && this.staysFuller(asker, pool.size)));
    const halfBand = PLACEMENT.band / 2;
    const balanced = self.load <= (1 + halfBand) * shares[0]! && asker.load >= (1 - halfBand) * shares[to]!;
    const dust = balanced ? (self.load / self.shifts) * PLACEMENT.dust : 0;

    const larger = this.firstLargerThan(left * (1 + 1e-4));
    for (let at = larger - 1; at >= 0 && this.pools[at]!.size >= dust; at--) if (helps(this.pools[at]!)) return at;
    const next = this.pools[larger];
    return next && next.size <= 2 * left && helps(next) ? larger : -1;
  }

  /**
   * Afterwards this node is at least as full as the asker. When shares are a few pools only, all may be at theirs as
   * nearly as whole pools allow, and a newcomer would get none of them.
   */
  private staysFuller(asker: Draft, size: number): boolean {
    return fillAfter(this.self, -size) >= fillAfter(asker, size) * (1 - 1e-9);
  }

  private firstLargerThan(size: number): number {
    let low = 0;
    let high = this.pools.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pools[middle]!.size <= size) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private isOpen(): boolean {
    return this.moves.length < this.budget.pools && this.members < this.budget.members;
  }

  private give(at: number, to: Draft): void {
    const [pool] = this.pools.splice(at, 1) as [PlacedPool];
    this.moves.push({ pool, to: to.name });
    this.members += pool.members;
    this.self.load -= pool.size;
    this.self.shifts--;
    to.load += pool.size;
    to.shifts++;
  }
}

function isLess([aFull, aFill]: [boolean, number], [bFull, bFill]: [boolean, number]): boolean {
  return aFull === bFull ? aFill < bFill : !aFull;
}
