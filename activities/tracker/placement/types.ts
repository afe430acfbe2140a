/**
 * The words of placement: which node keeps which pool, and when that changes.
 *
 * The rule in short, file by file; all of it is pure (no clock, no randomness of its own, no I/O), and nobody commands:
 * each node looks at the rows that all nodes write each second, and decides about its own pools only.
 *
 * 1. `shares.ts`: each node's **fair share** of the load: by weight, within its limits, among the nodes that may keep
 *    it.
 * 2. `take.ts`: a pool that was born, or whose node died, comes by a shared queue to any node. A node that should not
 *    keep it **redirects** it to the node that should. Nobody simply refuses.
 * 3. `asks.ts`: a node **short** of its share writes into its row whom it asks for how much. So a newcomer fills.
 * 4. `surplus.ts`: a node **gives** only what it was asked for, or must (it is drained, or has more pools than places).
 *    Each move lowers the sum of load² / weight over all nodes, so moves come to an end, and at rest nothing moves.
 * 5. `health.ts`: a node that is slow, or crashed a short while ago, counts for less.
 * 6. `row.ts` is what a node writes, `view.ts` makes the picture of the cluster from all rows. `placer.ts` is what one
 *    node remembers between them (in `kept.ts`, `newcomers.ts`, `hand-overs.ts`, `asker.ts`, `giver.ts`), and the only
 *    one that the worker calls.
 * 7. The parts that show and steer: `preview.ts`, `verdict.ts`, `heartbeat.ts`, `wanted-nodes.ts`, `cold-start.ts`.
 *
 * A pool is kept by its **fence** in PostgreSQL, whatever is decided here: a mistake of placement costs balance or a
 * gap, never two keepers.
 */

/** A part of a tracker that is kept as a whole: what placement needs to know of it. */
export interface PlacedPool {
  /** Unique in the cluster: the tracker's name and the number of its pool. */
  readonly id: string;
  /** Tells which nodes may keep it, see `kindOf`. */
  readonly kind: string;
  /** Load units, see `loadOf`. */
  readonly size: number;
  readonly members: number;
  /** The newest version of a state of its members. @default none has any */
  readonly states?: number;
}

/** `things/7`: the `id` of a pool. */
export const idOf = ({ tracker, pool }: { tracker: string; pool: number }): string => `${tracker}/${pool}`;

/** The names of trackers have no slash. */
export function poolOf(id: string): { tracker: string; pool: number } {
  const at = id.lastIndexOf('/');
  return { tracker: id.slice(0, at), pool: Number(id.slice(at + 1)) };
}

/** A node as the view of another one (or its own) shows it, with what is on its way to it. */
export interface NodeLoad {
  readonly name: string;
  /** Load units of all that it keeps. */
  readonly load: number;
  /** How many pools that is. */
  readonly shifts: number;
  /** The same load by the kind of pool. Sums to `load`. */
  readonly loads: ReadonlyMap<string, number>;
  /** Its largest pool: a pool is not divided, so who keeps one larger than its share has that much. */
  readonly largest?: { readonly size: number; readonly kind: string };
  /** Against its peers: what was set (1 by default), times health, times trust. Above 0. */
  readonly weight: number;
  /** The most pools that it is to keep; Infinity: no limit. */
  readonly places: number;
  /** The most load units that it is to keep; Infinity: no limit. */
  readonly loadLimit: number;
  /** The kinds of pool that it may keep. */
  readonly keeps: ReadonlySet<string>;
  /**
   * By tracker whose members receive there: the newest version of a state that its code reads. Undefined: it does not
   * say, for it is of an earlier release.
   */
  readonly reads?: Readonly<Record<string, number>>;
  /** The same: the version that its code writes. Its pools count as written by it. */
  readonly writes?: Readonly<Record<string, number>>;
  /** false: it is drained. It takes nothing, and gives all. */
  readonly up: boolean;
  /** Nothing was heard of it for some seconds, or it cannot reach Temporal: counted, never given anything. */
  readonly stale: boolean;
  /** Its event loop is behind. */
  readonly hot: boolean;
  /** Load units that it has asked for and that have not left yet. */
  readonly coming: number;
  /** The same by the node that was asked. */
  readonly wants: ReadonlyMap<string, number>;
}

/** All nodes that live, the one that looks first. Never empty. */
export type Cluster = readonly [NodeLoad, ...NodeLoad[]];

/** The wish of a node that is short. */
export interface Ask {
  /** Load units by the node that is asked. Not empty. */
  readonly from: ReadonlyMap<string, number>;
  /** The overloaded alone cannot fill it: all may go below their share, down to `floor`. */
  readonly deep: boolean;
  /** Load units that it brings this node above its share, since pools are not divided. */
  readonly beyond: number;
}

/** A pool that its node gives to another one. */
export interface Move {
  readonly pool: PlacedPool;
  readonly to: string;
}

/**
 * The load of a pool that only stands there. Measured: keeping an empty pool costs a node as much as ten fetches a
 * second.
 */
const LOAD_OF_A_POOL = 10;

/**
 * The load of a pool, in fetches a second: from the configuration and the number of members, never measured. A measured
 * load has noise, and noise moves pools.
 * @param intervalsMs of the operations that run for each member; an operation that is paused or has no interval is left
 * out
 */
export function loadOf(members: number, intervalsMs: readonly number[]): number {
  let perSecond = 0;
  for (const ms of intervalsMs) if (ms > 0 && Number.isFinite(ms)) perSecond += (members * 1_000) / ms;
  return LOAD_OF_A_POOL + perSecond;
}

/**
 * Pools of one kind may be kept by the same nodes: those that define the tracker, have the label that it needs, and are
 * not drained for it.
 * @param label of `placement: { on: 'gpu' }`; undefined: any node
 */
export function kindOf(tracker: string, label?: string): string {
  return label === undefined ? tracker : `${tracker}@${label}`;
}

/** The names of trackers have no at sign. */
export const trackerOf = (kind: string): string => kind.split('@', 1)[0]!;
