/**
 * The wishes for a node: drained, for which trackers, until when, its target, its weight. Pure: what a command makes of
 * what is wanted already. `node.ts` reads and writes the row around it.
 */
import type { Json } from '../../workflows/lib/json';
import { RefusedError } from '../errors';
import { iso } from '../iso';

/** A drain for one tracker. Epoch milliseconds of the database; null: until it is resumed. */
interface PartDrain {
  readonly tracker: string;
  readonly until: number | null;
}

export interface Wishes {
  /** As a whole. */
  readonly drained: boolean;
  /** When that ends by itself, epoch milliseconds of the database; null: when it is resumed. */
  readonly drainedUntil: number | null;
  /** Trackers of which it is to keep nothing, each with an end of its own. */
  readonly drainedFor: readonly PartDrain[];
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
  /** The drains that hold, by their trackers' names. */
  drained_for: PartDrain[];
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
  const whole = over ? { drained: false, drainedUntil: null } : { drained, drainedUntil: until };
  return { ...whole, drainedFor: byName([...trackers]), target, weight };
}

/**
 * @param tracker only of this one
 * @param until null: until it is resumed
 */
export function drained(is: Wishes, tracker: string | undefined, until: number | null): Wishes {
  if (tracker === undefined) return { ...is, drained: true, drainedUntil: until };
  return { ...is, drainedFor: byName([...without(is, tracker), { tracker, until }]) };
}

/** @param tracker only of this one; without it, of all */
export function resumed(is: Wishes, tracker: string | undefined): Wishes {
  if (tracker === undefined) return { ...is, drained: false, drainedFor: [], drainedUntil: null };
  return { ...is, drainedFor: without(is, tracker) };
}

const without = ({ drainedFor }: Wishes, tracker: string): PartDrain[] =>
  drainedFor.filter((drain) => drain.tracker !== tracker);

/** Wishes are compared as text, and a database may order names by its language. */
const byName = (drains: PartDrain[]): PartDrain[] =>
  drains.sort((a, b) => Buffer.compare(Buffer.from(a.tracker), Buffer.from(b.tracker)));

export function sameWishes(a: Wishes, b: Wishes): boolean {
  return JSON.stringify(shownWishes(a)) === JSON.stringify(shownWishes(b));
}

/** For the audit and for people: times as text. */
export interface ShownWishes {
  drained: boolean;
  /** Its drain as a whole ends by itself then; null: when it is resumed. */
  drainedUntil: string | null;
  /** The trackers of which it keeps nothing, each with the time at which that ends; null: when it is resumed. */
  drainedFor: { tracker: string; until: string | null }[];
  target: number | null;
  weight: number;
}

export function shownWishes({ drained: whole, drainedFor, drainedUntil, target, weight }: Wishes): ShownWishes {
  const shown = drainedFor.map(({ tracker, until }) => ({ tracker, until: iso(until) }));
  return { drained: whole, drainedUntil: iso(drainedUntil), drainedFor: shown, target, weight };
}

/** One field for each drain of either side, so that the audit says in words which of them a command has changed. */
export function auditedWishes({ drainedFor, ...wishes }: ShownWishes, other: ShownWishes): { [name: string]: Json } {
  const field = (tracker: string): string => `drained for ${tracker}`;
  return {
    ...wishes,
    ...Object.fromEntries(other.drainedFor.map(({ tracker }) => [field(tracker), null])),
    ...Object.fromEntries(drainedFor.map(({ tracker, until }) => [field(tracker), until ?? 'until it is resumed'])),
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
