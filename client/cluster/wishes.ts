/**
 * The wishes for a node: drained, for which trackers, until when, its target, its weight. Pure: what a command makes of
 * what is wanted already. `node.ts` reads and writes the row around it.
 */
import type { Json } from '../../workflows/lib/json';
import { RefusedError } from '../errors';

export interface Wishes {
  /** As a whole. */
  readonly drained: boolean;
  /** Trackers of which it is to keep nothing. */
  readonly drainedFor: readonly string[];
  /** When both end by themselves, epoch milliseconds of the database; null: when it is resumed. */
  readonly drainedUntil: number | null;
  /** Pools at most; null: its share. */
  readonly target: number | null;
  readonly weight: number;
}

/** The row's columns, as they are read. */
export interface WishRow {
  [column: string]: unknown;
  target: number | null;
  weight: number;
  drained: boolean;
  drained_for: string[];
  drained_until: number | null;
  now: number;
  ended: boolean;
}

/** The wishes that hold now: a drain whose time is over is none, and must not come back with the next command. */
export function wishesOf({
  target,
  weight,
  drained,
  drained_for: trackers,
  drained_until: until,
  now,
}: WishRow): Wishes {
  const over = until !== null && until <= now;
  return over
    ? { drained: false, drainedFor: [], drainedUntil: null, target, weight }
    : { drained, drainedFor: [...trackers].sort(), drainedUntil: until, target, weight };
}

/**
 * @param tracker only of this one
 * @param until null: until it is resumed
 * @throws RefusedError where it would change when another drain of the node ends
 */
export function drained(is: Wishes, node: string, tracker: string | undefined, until: number | null): Wishes {
  const others = [
    ...(is.drained && tracker !== undefined ? ['as a whole'] : []),
    ...is.drainedFor.filter((name) => name !== tracker).map((name) => `for ${name}`),
  ];
  if (others.length > 0 && (is.drainedUntil === null) !== (until === null)) {
    const ends = is.drainedUntil === null ? 'until it is resumed' : `until ${new Date(is.drainedUntil).toISOString()}`;
    throw new RefusedError(
      `node '${node}' is drained ${others.join(' and ')} ${ends}, and all drains of a node end together: ` +
        `${is.drainedUntil === null ? 'leave out --for' : 'give --for as well'}, or first: npx longwatch node resume ${node}`,
    );
  }
  if (tracker === undefined) return { ...is, drained: true, drainedUntil: until };
  return { ...is, drainedFor: [...new Set([...is.drainedFor, tracker])].sort(), drainedUntil: until };
}

/** @param tracker only of this one; without it, of all */
export function resumed(is: Wishes, tracker: string | undefined): Wishes {
  if (tracker === undefined) return { ...is, drained: false, drainedFor: [], drainedUntil: null };
  const drainedFor = is.drainedFor.filter((name) => name !== tracker);
  const left = is.drained || drainedFor.length > 0;
  return { ...is, drainedFor, drainedUntil: left ? is.drainedUntil : null };
}

export function sameWishes(a: Wishes, b: Wishes): boolean {
  return JSON.stringify(shownWishes(a)) === JSON.stringify(shownWishes(b));
}

/** For the audit and for people: times as text. */
export function shownWishes(wishes: Wishes): { [name: string]: Json } {
  const { drained: whole, drainedFor, drainedUntil, target, weight } = wishes;
  return {
    drained: whole,
    drainedFor: [...drainedFor],
    drainedUntil: drainedUntil === null ? null : new Date(drainedUntil).toISOString(),
    target,
    weight,
  };
}

// ── What may be asked ──

const SECOND_MS = 1_000;
/** A drain that is forgotten should not last for ever: without a time it is shown by the doctor. */
const LONGEST_DRAIN_MS = 30 * 86_400_000;
const MOST_POOLS = 1_000_000;

/** @throws RefusedError */
export function checkDrainTime(ms: number | undefined): void {
  if (ms === undefined || (ms >= SECOND_MS && ms <= LONGEST_DRAIN_MS)) return;
  throw new RefusedError('a node is drained for a second at least and 30 days at most, or until it is resumed');
}

/** @throws RefusedError */
export function checkTarget(target: number | null): void {
  if (target === null || (Number.isInteger(target) && target >= 0 && target <= MOST_POOLS)) return;
  throw new RefusedError(`a target is a number of pools, 0 to ${MOST_POOLS}, or 'share'`);
}

/** @throws RefusedError */
export function checkWeight(weight: number): void {
  if (weight >= 0.001 && weight <= 1_000) return;
  throw new RefusedError('a weight is a number from 0.001 to 1,000; a node that is to keep nothing is drained');
}
