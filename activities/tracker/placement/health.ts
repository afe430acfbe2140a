/**
 * Health and trust scale the weight of a node: one whose event loop cannot keep up has less than its share, and one
 * that crashed a short while ago gets its share back step by step. Kept by the worker, a step each second; the result
 * stands in the node's row.
 */

/** A node's own state between two steps. */
export interface Health {
  /** 1: healthy. */
  readonly factor: number;
  /** Since when the event loop is behind; undefined: it is not. */
  readonly behindSince?: number;
  /** Since when it has been calm; undefined: it is not. */
  readonly calmSince?: number;
  readonly cutAt?: number;
  /** When it was last raised, and for how long it has to be calm before it is. */
  readonly raisedAt?: number;
  readonly holdMs: number;
}

const MINUTE = 60_000;

export const HEALTH = {
  /** A tick that comes this much late: timers, flush and heartbeat come late as well. Milliseconds. */
  behindMs: 250,
  /** Behind for so long: it is not a collection of garbage. */
  behindForMs: 5_000,
  /** The load that was cut moves away, and the event loop shows it, before the next cut. */
  cutEveryMs: 15_000,
  /** Each cut takes a fifth. A node of half the speed finds its level after four. */
  cut: 0.8,
  least: 0.1,
  calmMs: 50,
  /** So long calm, and it is raised by a tenth. */
  holdMs: 10 * MINUTE,
  raise: 1.1,
  /**
   * Cut again so soon after it was raised: the raise was the fault, and the next one waits four times as long, 8 hours
   * at most.
   */
  relapseMs: 30 * MINUTE,
  holdFactor: 4,
  holdMaxMs: 8 * 60 * MINUTE,
} as const;

export const HEALTHY: Health = { factor: 1, holdMs: HEALTH.holdMs };

/**
 * A second later.
 * @param lagMs how much later than planned the event loop ran
 * @param othersCanTake some peer is neither behind nor full. If all are behind, weights would all shrink and change
 * nothing.
 */
export function nextHealth(health: Health, lagMs: number, othersCanTake: boolean, nowMs: number): Health {
  const behindSince = lagMs > HEALTH.behindMs ? (health.behindSince ?? nowMs) : undefined;
  const calmSince = lagMs < HEALTH.calmMs ? (health.calmSince ?? nowMs) : undefined;
  const seen: Health = { ...health, behindSince, calmSince };
  const since = (time: number | undefined): number => (time === undefined ? Infinity : nowMs - time);

  if (behindSince !== undefined && nowMs - behindSince >= HEALTH.behindForMs) {
    if (since(health.cutAt) < HEALTH.cutEveryMs || !othersCanTake) return seen;
    const relapse = since(health.raisedAt) < HEALTH.relapseMs;
    return {
      ...seen,
      factor: Math.max(HEALTH.least, health.factor * HEALTH.cut),
      cutAt: nowMs,
      // Once for each raise: the cuts after this one are of the same relapse.
      raisedAt: undefined,
      holdMs: relapse ? Math.min(HEALTH.holdMaxMs, health.holdMs * HEALTH.holdFactor) : health.holdMs,
    };
  }
  const calmFor = Math.min(since(calmSince), since(health.raisedAt));
  if (health.factor < 1 && calmSince !== undefined && calmFor >= health.holdMs) {
    return { ...seen, factor: Math.min(1, health.factor * HEALTH.raise), raisedAt: nowMs };
  }
  return seen;
}

/** Is it behind now, so that peers should not send their load here? Stands in its row as `hot`. */
export function isHot(health: Health, nowMs: number): boolean {
  return health.behindSince !== undefined && nowMs - health.behindSince >= HEALTH.behindForMs;
}

export const TRUST = {
  /**
   * A process that ends without a word before it is so old counts as a crash. Every deployment ends old processes;
   * those do not count.
   */
  youngMs: 2 * MINUTE,
  /** One crash is forgotten for so much time up. */
  forgetMs: 2 * MINUTE,
  /** By how many are remembered. One may be an accident. */
  factors: [1, 1, 1 / 2, 1 / 4, 1 / 8],
} as const;

/** The facts that a node's row has of its earlier processes of the same name. */
export interface Past {
  /** Crashes that are remembered, when the last process began. */
  readonly crashes: number;
  readonly startedAt: number;
  /** Its last sign of life. */
  readonly seenAt: number;
  /** It said good-bye. */
  readonly ended: boolean;
}

/** How many crashes a process that begins now has to its name. */
export function crashesOf(past: Past | undefined): number {
  if (!past) return 0;
  const upMs = Math.max(0, past.seenAt - past.startedAt);
  const left = Math.max(0, past.crashes - Math.floor(upMs / TRUST.forgetMs));
  return left + (!past.ended && upMs < TRUST.youngMs ? 1 : 0);
}

/** @param crashes when this process began */
export function trustOf(crashes: number, upMs: number): number {
  const left = Math.max(0, crashes - Math.floor(Math.max(0, upMs) / TRUST.forgetMs));
  return TRUST.factors[Math.min(left, TRUST.factors.length - 1)]!;
}

/** A weight of nothing would divide by nothing; nodes that are to have nothing are drained. */
const LEAST_WEIGHT = 0.001;

/** The weight in the row. @param set by `node weight`, 1 by default */
export function effectiveWeight(set: number, health: Health, trust: number): number {
  const weight = set * health.factor * trust;
  return Number.isFinite(weight) ? Math.max(LEAST_WEIGHT, weight) : 1;
}
