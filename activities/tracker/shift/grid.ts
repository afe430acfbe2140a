/**
 * When a member is due, as pure functions of what is known of it: its share (by the hash of its id), its last run, its
 * expiry. They know no shift, so a due time is the same whichever shift asks, and whenever. `due-times.ts`
 * asks.
 *
 * Due times lie on a grid: phase + k × interval, the phase from the share. A first run, a run right after an expiry and
 * one that was held up lie beside the grid; the next one finds back to it.
 */
import type { OperationOptions } from '../../../workflows/tracker/options';

export interface Schedule {
  everyMs: number;
  concurrency: number;
  baseMs: number;
  windowMs: number;
}

export function scheduleOf({ everyMs, concurrency, stagger }: OperationOptions): Schedule {
  return { everyMs, concurrency, baseMs: stagger.baseMs, windowMs: stagger.windowMs };
}

/** Closer times than this are the same: numbers of milliseconds since 1970 are not more exact. Milliseconds. */
const SAME_MS = 0.5;

/** The first time on the member's grid after `at`. */
export function gridAfter(schedule: Schedule, share: number, at: number): number {
  const { everyMs } = schedule;
  const phase = phaseOf(schedule, share);
  const next = phase + everyMs * (Math.floor((at - phase) / everyMs) + 1);
  return next - at < SAME_MS ? next + everyMs : next;
}

export function isOnGrid(schedule: Schedule, share: number, at: number): boolean {
  const steps = (at - phaseOf(schedule, share)) / schedule.everyMs;
  return Math.abs(steps - Math.round(steps)) * schedule.everyMs < SAME_MS;
}

/**
 * The first run: the base after the member was added (or its operation was), plus its share of the window where a crowd
 * was.
 */
export function firstRun({ baseMs, windowMs }: Schedule, share: number, addedAt: number, crowd: boolean): number {
  return addedAt + baseMs + (crowd ? share * windowMs : 0);
}

/**
 * The run that follows one at `ran`, which need not lie on the grid: the grid's next time, if half an interval or more
 * away. If less, half of the way to the one after it: so two runs are never more than an interval apart, nor less than
 * half of one.
 */
export function runAfter(schedule: Schedule, share: number, ran: number): number {
  const { everyMs } = schedule;
  const gap = gridAfter(schedule, share, ran) - ran;
  return ran + (gap >= everyMs / 2 ? gap : (gap + everyMs) / 2);
}

/**
 * Not before an expiry or a hold, and at most half an interval after it: at the next time of the grid if that comes so
 * soon, else right at the end of the wait. (An expiry as long as the interval ends a moment after the grid's time, and
 * must not double the interval.)
 */
export function heldBack(schedule: Schedule, share: number, due: number, notBefore: number): number {
  if (notBefore <= due) return due;
  const next = gridAfter(schedule, share, notBefore);
  return next - notBefore <= schedule.everyMs / 2 ? next : notBefore;
}

function phaseOf({ everyMs, baseMs, windowMs }: Schedule, share: number): number {
  return (baseMs + share * windowMs) % everyMs;
}
