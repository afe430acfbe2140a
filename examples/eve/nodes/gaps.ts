/**
 * How long an id may have to wait, and for what: the promise that `main.ts` holds the cluster to.
 *
 * An id whose node is well is never late by more than a second and a half. One whose node was hit by a fault waits for
 * the node's heartbeat time-out, and that second and a half; one whose next keeper was hit as well waits for both.
 */
import { EVERY_MS, SLACK_MS } from './settings';

/** A time in which nobody asked for an id. Epoch milliseconds. */
export interface Gap {
  id: string;
  from: number;
  to: number;
  /** The nodes that asked before and after it; '': nobody did. */
  before: string;
  after: string;
}

/** A bad day of a node: nobody hears of it from its beginning on, and its pools come back within a time-out. */
export interface Fault {
  kind: string;
  node: string;
  at: number;
  /** It was killed or frozen: its pools wait for the time-out. A drain or a rebalance moves them without one. */
  hard: boolean;
}

/** The longest that this gap may be, milliseconds. */
export function allowedMs(gap: Gap, faults: readonly Fault[], timeoutMs: number): number {
  // A node that was just hit may have asked for the id still; one that gives it away next may be hit meanwhile.
  const during = faults.filter(({ hard, at }) => hard && at >= gap.from - EVERY_MS && at <= gap.to);
  return EVERY_MS + SLACK_MS + during.length * (timeoutMs + SLACK_MS);
}

export function tooLong(gaps: readonly Gap[], faults: readonly Fault[], timeoutMs: number): Gap[] {
  return gaps.filter((gap) => gap.to - gap.from > allowedMs(gap, faults, timeoutMs));
}

/** Gaps of ids whose node was well all the time: these must not wait for a sick one. */
export function ofTheHealthy(gaps: readonly Gap[], faults: readonly Fault[]): Gap[] {
  const hit = ({ before, from, to }: Gap): boolean =>
    faults.some(({ node, at, hard }) => hard && node === before && at >= from - EVERY_MS && at <= to);
  return gaps.filter((gap) => !hit(gap));
}
