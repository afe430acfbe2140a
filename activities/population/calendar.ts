/**
 * The due times of a `cron`, by croner: workflow code must not do this itself, for time zones change with the machine's data, and a
 * replay would not find the same times. Called by `commands.ts`; checked at the config by `workers/config/resolve-population.ts`.
 */
import { Cron } from 'croner';

/** So many past times are counted as missed, and so many to come are told at once. */
const PAST = 2_000;
const AHEAD = 32;
/** The last moment that a Date can tell. */
const END_OF_TIME = 8.64e15;

/** Due times after `after`, up to some beyond `now`, in order. Of a long downtime the newest ones only. */
export function calendarOf(schedule: { cron: string; timeZone: string }, after: number, now: number): number[] {
  const cron = new Cron(schedule.cron, { timezone: schedule.timeZone, paused: true });
  const ahead = cron.nextRuns(AHEAD, new Date(now)).map((time) => time.getTime());
  // One that names a year may have no more times: the last one is waited for in vain.
  if (ahead.length < AHEAD) ahead.push(END_OF_TIME);
  if (after >= now) return ahead.filter((time) => time > after);
  const past: number[] = [];
  // Croner only looks forward: from where the newest ones must lie, twice as far where that was too little.
  for (let span = 60_000; past.length < PAST; span *= 8) {
    const from = Math.max(after, now - span);
    past.length = 0;
    for (let at = cron.nextRun(new Date(from)); at && at.getTime() <= now; at = cron.nextRun(at)) {
      past.push(at.getTime());
      if (past.length > PAST) past.shift();
    }
    if (from === after) break;
  }
  return [...past, ...ahead];
}
