/**
 * How long an id may have to wait, and for what: the promise that `main.ts` holds the cluster to.
 *
 * An id whose node is well is never late by more than a second and a half. One whose node was hit by a fault waits for
 * the node's heartbeat time-out, and that second and a half; one whose next keeper was hit as well waits for both. If
 * all nodes are gone, it waits for that too, and for the seconds in which the first one leaves room for the others. The
 * time in which the machine stood still, and the upstream with it, is nobody's wait.
 */
import type { Keepers } from './keepers';
import { EVERY_MS, SLACK_MS } from './settings';

/** A time in which nobody asked for an id. Epoch milliseconds. */
export interface Gap {
  id: string;
  from: number;
  to: number;
  /** The nodes that asked before and after it; '': nobody did. */
  before: string;
  after: string;
  /** For so long of it the upstream itself stood still, with its machine: it heard of nobody. Milliseconds. */
  stoodStillMs: number;
}

/** A bad day, from its beginning to its end. */
export interface Fault {
  kind: string;
  /** The nodes of which nobody hears meanwhile; none for a drain or a rebalance, which move pools without a wait. */
  nodes: readonly string[];
  /** Nobody was there. */
  isOutage: boolean;
  at: number;
  /** Infinity: it goes on. */
  until: number;
}

/** The first node of a cold start leaves room for the others for so long. */
export const COLD_START_MS = 3_000;

const isDuring = ({ at, until }: Fault, { from, to }: Gap): boolean =>
  // A node that was just hit may have asked for the id still; one that gives it away next may be hit meanwhile.
  at <= to && until >= from - EVERY_MS;

/** The longest that this gap may be, milliseconds. */
export function allowedMs(gap: Gap, faults: readonly Fault[], timeoutMs: number): number {
  let ms = EVERY_MS + SLACK_MS + gap.stoodStillMs;
  for (const fault of faults) {
    if (fault.nodes.length === 0 || !isDuring(fault, gap)) continue;
    ms += timeoutMs + SLACK_MS;
    if (fault.isOutage) ms += Math.min(fault.until, gap.to) - fault.at + COLD_START_MS;
  }
  return ms;
}

export function tooLong(gaps: readonly Gap[], faults: readonly Fault[], timeoutMs: number): Gap[] {
  return gaps.filter((gap) => gap.to - gap.from > allowedMs(gap, faults, timeoutMs));
}

/**
 * Gaps of ids whose nodes were well all the time: these must not wait for a sick one. An id is of the node that asked
 * for it last, and of each that has had the fence of its pool since.
 */
export function ofTheHealthy(gaps: readonly Gap[], faults: readonly Fault[], keepers: Keepers): Gap[] {
  const isHit = (gap: Gap): boolean => {
    const nodes = new Set([gap.before, ...keepers.of(gap.id, gap.from, gap.to)]);
    return faults.some((fault) => isDuring(fault, gap) && fault.nodes.some((node) => nodes.has(node)));
  };
  return gaps.filter((gap) => gap.to - gap.from > EVERY_MS + SLACK_MS + gap.stoodStillMs && !isHit(gap));
}

/** The longest gap while a fault of each kind lasted, or began within it. Milliseconds, by kind. */
export function longestByKind(gaps: readonly Gap[], faults: readonly Fault[]): Map<string, number> {
  const longest = new Map<string, number>();
  for (const fault of faults) {
    const mine = gaps.filter((gap) => isDuring(fault, gap)).map(({ from, to }) => to - from);
    longest.set(
      fault.kind,
      mine.reduce((most, ms) => Math.max(most, ms), longest.get(fault.kind) ?? 0),
    );
  }
  return longest;
}
