/**
 * Writes the history: about once a minute one node, whichever comes first, adds what has been counted since the last
 * time to the row of that minute and of that hour, for each thing. The totals of now are written in the same
 * transaction, so each count is in the history once, whatever fails, restarts, or is tried again; and the database's
 * clock alone decides the minute. Called by a node's attendance (`tracker/shift/attendance.ts`).
 */
import type { Queryable } from '../lib/database';
import { added, beforeOf, figuresSince, unreadMs, type Before, type Figures, type Reading } from './fold';
import { SERIES_KINDS, STEPS, STEP_MS, type SeriesKind, type Step } from './kinds';
import { readThings } from './read';
import {
  apart,
  forgetThings,
  purgeRows,
  readBefore,
  readClock,
  readRows,
  saveNotBegun,
  saveTotals,
  setClock,
  takeTurn,
  writeRows,
} from './store';

/** How long rows are kept, seconds: a little longer than is shown. */
const KEPT_S: Readonly<Record<Step, number>> = { minute: 25 * 3_600, hour: 32 * 86_400 };
/** Rows that one purge deletes, and so many more as were written. */
const PURGED = 1_000;
/** A look that is so much later than the minute that it is for says nothing of it. Milliseconds. */
const LATE_MS = 90_000;

export interface WriteOptions {
  /** Also in the middle of a minute: the node ends, and may be the last one. */
  final?: boolean;
  /** A share of counts by the bounds of lateness; null: there are none. */
  percentile: (counts: readonly number[], share: number) => number | null;
  /** A kind could not be written; the others are. */
  onError?: (error: Error, kind: SeriesKind) => void;
}

/** @returns until when the history is written, epoch milliseconds of the database; undefined: another one writes */
export async function writeSeries(
  db: Queryable,
  { final = false, percentile, onError }: WriteOptions,
): Promise<number | undefined> {
  if (!(await takeTurn(db))) return undefined;
  const { at, now } = await readClock(db);
  if (at !== null && !final && minuteOf(at) === minuteOf(now)) return at;
  let written = 0;
  for (const kind of SERIES_KINDS) {
    const failed = await apart(db, async () => {
      // The first time there is nothing to count from.
      const before = at === null ? null : await readBefore(db, kind);
      const readings = await readThings(db, kind, percentile);
      if (at !== null && before !== null) await addTo(db, kind, readings, before, { at, now });
      await saveTotals(db, kind, readings, now);
      written += readings.length;
    });
    if (!failed) continue;
    // Its counts are in the history with the next minute that can be written.
    if (at === null) await saveNotBegun(db, kind);
    onError?.(failed, kind);
  }
  await setClock(db, now);
  for (const step of STEPS) await purgeRows(db, step, KEPT_S[step], PURGED + written);
  if (at === null || hourOf(at) !== hourOf(now)) await forgetThings(db, KEPT_S.hour);
  return now;
}

export const minuteOf = (ms: number): number => Math.floor(ms / STEP_MS.minute);
const hourOf = (ms: number): number => Math.floor(ms / STEP_MS.hour);

/**
 * All that was counted since `at` belongs to its minute: nobody was there to count after it, or it is just over. Counts
 * that could not be read until now come there as well, with the time in which they were counted: so rates are right.
 */
async function addTo(
  db: Queryable,
  kind: SeriesKind,
  readings: readonly Reading[],
  before: ReadonlyMap<string, Before>,
  { at, now }: { at: number; now: number },
): Promise<void> {
  const isLate = now - at > LATE_MS;
  const restMs = (minuteOf(at) + 1) * STEP_MS.minute - at;
  const spanMs = Math.max(0, isLate ? restMs : now - at);
  const byName = new Map(readings.map((reading) => [reading.name, reading]));
  const news = readings.map((reading) => {
    const seconds = (spanMs + unreadMs(before.get(reading.name), reading, at)) / 1_000;
    const whole = reading.whole === undefined ? undefined : byName.get(reading.whole);
    return { name: reading.name, ...figuresSince(beforeOf(reading, before, whole), reading, seconds, !isLate) };
  });
  const names = news.map(({ name }) => name);
  for (const step of STEPS) {
    const start = Math.floor(at / STEP_MS[step]) * STEP_MS[step];
    const there = await readRows(db, step, kind, names, start);
    const rows = news.map((figures) => ({ name: figures.name, ...withThat(there.get(figures.name), figures) }));
    await writeRows(db, step, kind, start, rows);
  }
}

const withThat = (there: Figures | undefined, figures: Figures): Figures => (there ? added(there, figures) : figures);
