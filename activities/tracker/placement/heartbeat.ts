/**
 * How often a shift beats, so that all shifts of the cluster together do not take the Temporal server, and how soon a
 * dead node is noticed then. Asked where shifts are scheduled; `nodes` shows the answer.
 *
 * A server on two cores takes 1,280 to 1,600 heartbeats a second with 1.3 of them (measured). 2,000 shifts with a
 * timeout of 3 s would send 1,667. So there is a budget for the cluster, a fifth of that, and the timeout grows where
 * the wanted one would need more.
 */
export const HEARTBEAT = {
  /** Heartbeats of the whole cluster. */
  perSecond: 300,
  /** A beat comes after this part of the timeout: two may be late before it is over. */
  part: 0.4,
  /** The timeout grows in steps of a quarter, so that a pool more or less does not give every shift another one. */
  step: 1.25,
  /**
   * Never later than this, whatever it costs: then pools should be larger, and `isOverBudget` says so. Milliseconds.
   */
  mostTimeoutMs: 60_000,
} as const;

export interface Heartbeat {
  /** Time between two beats of a shift, milliseconds; also what the SDK's throttle must let through. */
  readonly beatMs: number;
  /** Without a beat for so long, its pool goes to another node. */
  readonly timeoutMs: number;
  /** Heartbeats of the whole cluster. */
  readonly perSecond: number;
  readonly isOverBudget: boolean;
}

/** Whether the wanted timeout may become this one, at whatever size of the cluster. */
export function mayBecome(wantedTimeoutMs: number, timeoutMs: number): boolean {
  let step = wantedTimeoutMs;
  const most = Math.max(wantedTimeoutMs, HEARTBEAT.mostTimeoutMs);
  while (Math.round(step) < timeoutMs && step < most) step *= HEARTBEAT.step;
  return Math.round(Math.min(step, most)) === timeoutMs;
}

/**
 * @param wantedTimeoutMs the tracker's `heartbeatTimeout`, 5 s by default; the result is never shorter
 * @param shifts of the whole cluster, of all trackers
 */
export function heartbeatFor(wantedTimeoutMs: number, shifts: number): Heartbeat {
  const most = Math.max(wantedTimeoutMs, HEARTBEAT.mostTimeoutMs);
  const rateOf = (timeoutMs: number): number => (shifts * 1_000) / (timeoutMs * HEARTBEAT.part);
  let timeoutMs = wantedTimeoutMs;
  while (rateOf(timeoutMs) > HEARTBEAT.perSecond && timeoutMs < most) timeoutMs *= HEARTBEAT.step;
  timeoutMs = Math.round(Math.min(timeoutMs, most));
  const perSecond = rateOf(timeoutMs);
  return {
    beatMs: timeoutMs * HEARTBEAT.part,
    timeoutMs,
    perSecond,
    // Rounding to whole milliseconds is not over it.
    isOverBudget: perSecond > HEARTBEAT.perSecond * 1.001,
  };
}
