/** One schedule, and the members whose turn it is, for the tests of agendas. */
import type { Agenda, Schedule } from '../../activities/tracker/shift/agenda';

export const EVERY: Schedule = { everyMs: 1_000, concurrency: 50, baseMs: 0, windowMs: 1_000 };
/** Some day; times of tests count from here. */
export const T0 = 1_000_000_000;

/** Takes all whose turn it is now, in their order. */
export function drain(agenda: Agenda, now: number): number[] {
  agenda.ripen(now);
  const taken: number[] = [];
  for (let slot = agenda.take(); slot >= 0; slot = agenda.take()) taken.push(slot);
  return taken;
}
