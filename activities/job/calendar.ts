/**
 * The due times of a `cron`, by croner: workflow code must not do this itself, for time zones change with the machine's
 * data, and a replay would not find the same times. Called by `commands.ts` and `pass.ts`; checked at the config by
 * `config/resolve/job.ts`.
 *
 * After a downtime every missed time counts, however many there were: the newest are told one by one, the others as a
 * number. Croner takes some 40 µs for each, so they are counted by days: a day of 24 hours has as many as any other
 * that matches. The days on which the clock is changed are counted one time after the other. The event loop gets its
 * turn in between.
 */
import { DAY, LAST_TIME, MINUTE } from '../../workflows/lib/time';
import { setImmediate as turn } from 'node:timers/promises';
import { Cron } from 'croner';
import type { EarlierSchedule } from '../../workflows/job/contract';
import { dueTimes } from '../../workflows/job/plan';
import type { JobOptions, Schedule } from '../../workflows/job/options';

type CronSchedule = Extract<Schedule, { cron: string }>;

/** So many times to come are told at once. */
const AHEAD = 32;
/** Steps between two turns of the event loop: some 20 ms. */
const STEPS_AT_ONCE = 500;

interface Calendar {
  /** In order; the newest past ones, and some to come. */
  times: number[];
  /** How many more lie before them. */
  earlier: number;
}

/**
 * Due times after `after`, up to some beyond `now`.
 * @param keep so many of the past ones are told one by one
 * @param ahead so many to come
 */
export async function calendarOf(
  schedule: CronSchedule,
  after: number,
  now: number,
  keep = 1,
  ahead = AHEAD,
): Promise<Calendar> {
  const cron = cronOf(schedule);
  const coming = cron.nextRuns(ahead, new Date(now)).map((time) => time.getTime());
  // One that names a year may have no more times: the last one is waited for in vain.
  if (coming.length < ahead) coming.push(LAST_TIME);
  if (after >= now) return { times: coming.filter((time) => time > after), earlier: 0 };
  const newest = await newestOf(cron, after, now, keep);
  const earlier = newest.length < keep ? 0 : await countDue(schedule, after, newest[0]! - 1);
  return { times: [...newest, ...coming], earlier };
}

/** How many due times lie after `after` and not after `upto`. */
export async function countDue(schedule: CronSchedule, after: number, upto: number): Promise<number> {
  const { cron, timeZone } = schedule;
  const given = cron.trim().split(/\s+/);
  // A nickname comes once an hour at the most.
  if (given.length < 5) return steps(cronOf(schedule), after, upto);
  const fields = given.length === 5 ? ['0', ...given] : given;
  const midnights = cronOf({ cron: '0 0 0 * * *', timeZone });
  const days = cronOf({ cron: ['0', '0', '0', ...fields.slice(3)].join(' '), timeZone });
  const perDay = await byMinutes([...fields.slice(0, 3), '*', '*', '*'], 'UTC', -1, DAY - 1);
  const exactly = (from: number, to: number): Promise<number> => byMinutes(fields, timeZone, from, to);

  let day = midnights.nextRun(new Date(after))?.getTime() ?? Infinity;
  if (day > upto) return exactly(after, upto);
  let count = await exactly(after, day - 1);
  let matching = days.nextRun(new Date(day - 1))?.getTime();
  for (let turns = 1; ; turns++) {
    const next = midnights.nextRun(new Date(day))?.getTime() ?? Infinity;
    if (next > upto) return count + (await exactly(day - 1, upto));
    if (next - day !== DAY) count += await exactly(day - 1, next - 1);
    else if (matching === day) count += perDay;
    if (matching !== undefined && matching < next) matching = days.nextRun(new Date(next - 1))?.getTime();
    day = next;
    if (turns % STEPS_AT_ONCE === 0) await turn();
  }
}

/** The same, but each minute that matches has as many as any other: offsets of time zones are whole minutes. */
async function byMinutes(fields: string[], timeZone: string, after: number, upto: number): Promise<number> {
  const cron = cronOf({ cron: fields.join(' '), timeZone });
  const first = Math.ceil(after / MINUTE) * MINUTE;
  const last = Math.floor(upto / MINUTE) * MINUTE;
  if (fields[0] === '0' || last <= first) return steps(cron, after, upto);
  // [first, last) by minutes, what lies around it one by one.
  const minutes = cronOf({ cron: ['0', ...fields.slice(1)].join(' '), timeZone });
  const seconds = cronOf({ cron: [fields[0], '*', '*', '*', '*', '*'].join(' '), timeZone: 'UTC' });
  const inMinute = await steps(seconds, -1, MINUTE - 1);
  const matching = await steps(minutes, first - 1, last - 1);
  return (await steps(cron, after, first - 1)) + matching * inMinute + (await steps(cron, last - 1, upto));
}

/** Due times between two moments, by all schedules that held in between. */
export async function dueBetween(
  options: JobOptions,
  before: readonly EarlierSchedule[],
  after: number,
  upto: number,
): Promise<number> {
  let from = after;
  let count = 0;
  const all = [...before, { schedule: options.schedule, until: Infinity }];
  for (const { schedule, until } of all) {
    if (until <= from || from >= upto) continue;
    const to = Math.min(until, upto);
    count +=
      'cron' in schedule ? await countDue(schedule, from, to) : dueTimes(schedule, { calendar: [] }, from, to).count;
    from = to;
  }
  return count;
}

/**
 * The last `keep` times up to `now`, in order. Croner only looks forward: from where they must lie, farther back where
 * that was too near.
 */
async function newestOf(cron: Cron, after: number, now: number, keep: number): Promise<number[]> {
  for (let span = MINUTE; ; span *= 8) {
    const from = Math.max(after, now - span);
    const newest: number[] = [];
    await steps(cron, from, now, (time) => {
      newest.push(time);
      if (newest.length > keep) newest.shift();
    });
    if (newest.length >= keep || from === after) return newest;
  }
}

async function steps(cron: Cron, after: number, upto: number, each?: (time: number) => void): Promise<number> {
  let count = 0;
  for (let at = cron.nextRun(new Date(after)); at && at.getTime() <= upto; at = cron.nextRun(at)) {
    each?.(at.getTime());
    if (++count % STEPS_AT_ONCE === 0) await turn();
  }
  return count;
}

const cronOf = ({ cron, timeZone }: CronSchedule): Cron => new Cron(cron, { timezone: timeZone, paused: true });
