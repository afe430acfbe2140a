/**
 * How many nodes the cluster should have: the metric `longwatch_wanted_nodes`, for an autoscaler. The formula is that
 * of Kubernetes' horizontal autoscaler (nodes now, times use against the target, rounded up; nothing within a tenth),
 * so that both agree; waiting before scaling down is the autoscaler's business (`stabilizationWindowSeconds`).
 */

/** How full a node is, each from 0 (idle) to 1 (full); undefined: it has no such limit. */
export interface NodeUse {
  /** The event loop's use: the part of the time that it ran code. */
  readonly eventLoop: number;
  /** Pools against places. */
  readonly places?: number;
  /** Load against its limit. */
  readonly load?: number;
  /** Drained: its load counts, and it does not. */
  readonly up: boolean;
}

export interface WantedNodesOptions {
  /** As full as a node should be, 0.7 by default: a third of the nodes can be lost before the others are full. */
  target?: number;
  /** Nothing changes within this part of the target, 0.1 by default. */
  tolerance?: number;
  /** 1 by default. */
  least?: number;
}

export function wantedNodes(nodes: readonly NodeUse[], options: WantedNodesOptions = {}): number {
  const { target = 0.7, tolerance = 0.1, least = 1 } = options;
  const up = nodes.filter((node) => node.up).length;
  const use = nodes.reduce((sum, node) => sum + useOf(node), 0);
  const wanted = Math.ceil(use / target - 1e-9);
  if (up > 0 && Math.abs(use / (up * target) - 1) <= tolerance) return Math.max(least, up);
  return Math.max(least, wanted);
}

/** The limit that it meets first. */
function useOf({ eventLoop, places, load }: NodeUse): number {
  const parts = [eventLoop, places ?? 0, load ?? 0].filter((part) => Number.isFinite(part));
  return Math.max(0, ...parts);
}
