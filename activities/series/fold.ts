/**
 * The arithmetic of the history: what one minute adds, and how two parts of a time become one. Pure. Used by `write.ts`
 * and by the client, which draws longer steps from shorter ones.
 */

/** The figures of a thing over some time. All of them add up, so that parts may be put together in any order. */
export interface Figures {
  /** The time that was counted. */
  seconds: number;
  counts: number[];
  /** The sum of all looks at each figure that is looked at; their number; the most that was seen. */
  lookSums: number[];
  lookNumbers: number[];
  /** Null: nobody has looked. */
  mosts: (number | null)[];
  /** Runs by their lateness (`tracker/shift/lateness.ts` has the bounds), without the zeros at the end. */
  late: number[];
}

/** One thing, as it is now. */
export interface Reading {
  name: string;
  /** All that was ever counted. */
  totals: number[];
  /** Null: nobody knows. */
  looks: (number | null)[];
  late: number[];
  /** The thing that it is a part of: whatever it counts, that one counts too. */
  whole?: string;
}

/** The counts of a thing when it was read before. */
export interface Before {
  totals: readonly number[];
  late: readonly number[];
  /** When that was, epoch milliseconds of the database. */
  seenAt: number;
}

/**
 * The counts of before of a thing of which nobody knows any: all of it is new, but for a part that has more than the
 * whole has counted since. That one is older, and nobody has looked at it: it counts from now on.
 */
export function beforeOf(
  reading: Reading,
  before: ReadonlyMap<string, Before>,
  wholeNow: Reading | undefined,
): Pick<Before, 'totals' | 'late'> | undefined {
  const known = before.get(reading.name);
  const wholeBefore = reading.whole === undefined ? undefined : before.get(reading.whole);
  if (known || !wholeBefore || !wholeNow) return known;
  // Sums of fractions differ in their last digits.
  const most = grown(wholeBefore.totals, wholeNow.totals).map((more, i) => more + 1e-9 * wholeNow.totals[i]!);
  return reading.totals.some((total, i) => total > most[i]!) ? reading : undefined;
}

/**
 * How long it has counted before `at` without being read, milliseconds: its kind could not be read, or there were too
 * many of it. None where it has begun anew since, or counted nothing: nobody knows whether it was there.
 */
export function unreadMs(before: Before | undefined, now: Reading, at: number): number {
  if (!before || now.totals.every((total, i) => total === (before.totals[i] ?? 0))) return 0;
  const isAnew = before.totals.some((total, i) => (now.totals[i] ?? 0) < total);
  return isAnew ? 0 : Math.max(0, at - before.seenAt);
}

/**
 * The figures of the time since a thing was read before.
 * @param before undefined: it was not there, so all of it is new
 * @param looked false: the time is long past, and what is seen now says nothing of it
 */
export function figuresSince(
  before: Pick<Before, 'totals' | 'late'> | undefined,
  now: Reading,
  seconds: number,
  looked: boolean,
): Figures {
  const looks = looked ? now.looks : now.looks.map(() => null);
  return {
    seconds,
    counts: grown(before?.totals ?? [], now.totals),
    lookSums: looks.map((look) => look ?? 0),
    lookNumbers: looks.map((look) => (look === null ? 0 : 1)),
    mosts: looks,
    late: trimmed(grown(before?.late ?? [], now.late)),
  };
}

/** Both together. */
export function added(a: Figures, b: Figures): Figures {
  return {
    seconds: a.seconds + b.seconds,
    counts: sums(a.counts, b.counts),
    lookSums: sums(a.lookSums, b.lookSums),
    lookNumbers: sums(a.lookNumbers, b.lookNumbers),
    mosts: longer(a.mosts, b.mosts).map((_, i) => most(a.mosts[i] ?? null, b.mosts[i] ?? null)),
    late: trimmed(sums(a.late, b.late)),
  };
}

/**
 * How much each has grown. One that is less than before counts anew (a tracker that was removed and started again): how
 * much of it is new nobody knows, and it is never counted twice.
 */
function grown(before: readonly number[], now: readonly number[]): number[] {
  return now.map((total, i) => {
    const more = total - (before[i] ?? 0);
    // One that is not a number would be in all sums from then on.
    return more > 0 && Number.isFinite(more) ? more : 0;
  });
}

function sums(a: readonly number[], b: readonly number[]): number[] {
  return longer(a, b).map((_, i) => (a[i] ?? 0) + (b[i] ?? 0));
}

const longer = <T>(a: readonly T[], b: readonly T[]): readonly T[] => (a.length >= b.length ? a : b);

const most = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.max(a, b));

function trimmed(counts: number[]): number[] {
  let length = counts.length;
  while (length > 0 && counts[length - 1] === 0) length--;
  return counts.slice(0, length);
}
