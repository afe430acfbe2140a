/**
 * The decisions of a job's workflow, as pure functions: which tick comes next, what is missed, and what the workflow
 * should do. `job.ts` carries them out. Times are epoch milliseconds.
 */
import type { Band, EarlierSchedule, JobWorkflowState, TickOrder } from './contract';
import type { JobOptions, Schedule } from './options';

/** PostgreSQL's largest integer, which `:elapsed` is: some seven years of the shortest interval. */
const ELAPSED_MAX = 2_147_483_647;

export type Next =
  | { do: 'tick'; order: TickOrder; /** What is settled by it. */ settles: number }
  /** Ticks up to `settles` are passed over; then it is asked again. */
  | { do: 'skip'; settles: number; skipped: number }
  | { do: 'wait'; until: number }
  /** The known due times of the calendar are used up. */
  | { do: 'look' };

/** What is known of a job's times beside its options; told by `openJob`. */
export interface Known {
  /** Due times of a `cron`, in order; and how many more since the settled one lie before them. */
  calendar: readonly number[];
  earlier?: number;
  /** Schedules that held before the one of the options, in order. */
  before?: readonly EarlierSchedule[];
}

/** Due times after `settled` up to `now`, and the one that follows. */
export interface DueTimes {
  count: number;
  /** The `back`-th from the end; 0 is the newest. */
  at: (back: number) => number;
  following: number | undefined;
}

export function dueTimes(
  schedule: Schedule,
  { calendar, earlier = 0 }: Pick<Known, 'calendar' | 'earlier'>,
  settled: number,
  now: number,
): DueTimes {
  if ('everyMs' in schedule) {
    const { everyMs } = schedule;
    const newest = Math.floor(now / everyMs);
    const first = Math.floor(settled / everyMs) + 1;
    const count = Math.min(ELAPSED_MAX, Math.max(0, newest - first + 1));
    return { count, at: (back) => (newest - back) * everyMs, following: (Math.max(newest, first - 1) + 1) * everyMs };
  }
  const open = calendar.filter((due) => due > settled);
  const due = open.filter((time) => time <= now);
  // Once one of those that are told is settled, all before it are.
  const untold = open.length === calendar.length && due.length > 0 ? earlier : 0;
  return {
    count: Math.min(ELAPSED_MAX, due.length + untold),
    at: (back) => due[due.length - 1 - back]!,
    following: open[due.length],
  };
}

/**
 * The next tick of the schedule. What a schedule that was replaced owes comes first; the one that replaced it counts
 * from then on, so a changed interval makes nothing of the time before. A tick that cannot begin before half of its
 * interval is over counts as missed, so `skip` after a downtime waits for the next time of the grid, and a little
 * lateness skips nothing.
 */
export function nextTick(options: JobOptions, known: Known, settled: number, now: number): Next {
  let from = settled;
  for (const old of known.before ?? []) {
    if (old.until <= from) continue;
    const due = dueTimes(old.schedule, { calendar: old.calendar ?? [], earlier: old.earlier }, from, Math.min(now, old.until)); // prettier-ignore
    const following = due.following ?? old.until;
    if (due.count > 0) return tickOf(options.missed, due, { from, now, following });
    if (now < old.until) return { do: 'wait', until: Math.min(following, old.until) };
    from = old.until;
  }
  const due = dueTimes(options.schedule, known, from, now);
  if (due.count === 0) return due.following === undefined ? { do: 'look' } : { do: 'wait', until: due.following };
  // A calendar that ends before now may hide later ticks.
  if (due.following === undefined) return { do: 'look' };
  return tickOf(options.missed, due, { from, now, following: due.following });
}

function tickOf(
  missed: JobOptions['missed'],
  due: DueTimes,
  { from, now, following }: { from: number; now: number; following: number },
): Next {
  const newest = due.at(0);
  if (missed === 'once') {
    return { do: 'tick', order: { due: newest, elapsed: due.count, skipped: 0, since: from }, settles: newest };
  }
  if (missed === 'skip') {
    const late = now - newest > (following - newest) / 2;
    if (late) return { do: 'skip', settles: newest, skipped: due.count };
    return { do: 'tick', order: { due: newest, elapsed: 1, skipped: due.count - 1, since: from }, settles: newest };
  }
  const back = Math.min(due.count, missed) - 1;
  const oldest = due.at(back);
  const skipped = due.count - 1 - back;
  return { do: 'tick', order: { due: oldest, elapsed: 1, skipped, since: from }, settles: oldest };
}

/**
 * Whether an order counts intervals of before `endedDue`: of a workflow that was reset, and has forgotten their ticks.
 */
export function countsTooMuch(order: TickOrder, endedDue: number | undefined): endedDue is number {
  return order.since !== undefined && endedDue !== undefined && endedDue > order.since;
}

/** What is left of such an order. @param count due times after the newest tick that has ended, up to the order's own */
export function leftOf(order: TickOrder, count: number): TickOrder {
  const elapsed = Math.min(order.elapsed, Math.max(1, count));
  return { ...order, elapsed, skipped: Math.min(order.skipped, Math.max(0, count - elapsed)) };
}

// ── What the workflow does next ──────────────────────────────────────────────────────────────

/** What the workflow knows beside its state. */
export interface JobMoment {
  now: number;
  opened: boolean;
  paused: boolean;
  stopped: boolean;
  working: boolean;
  /** The pass that works was told to. */
  askedToEnd: boolean;
  /** After a failure: nothing is begun before. */
  notBefore: number;
  historyFull: boolean;
}

export type JobStep =
  | { do: 'open' }
  | { do: 'pass'; order: TickOrder; settles: number }
  | { do: 'skip'; settles: number; skipped: number }
  | { do: 'look' }
  | { do: 'askPassToEnd' }
  | { do: 'continueAsNew' }
  | { do: 'complete' }
  | { do: 'wait'; until: number | undefined };

export function nextJobStep(
  state: JobWorkflowState,
  moment: JobMoment,
  options: JobOptions | undefined,
  known: Known,
): JobStep {
  const { now } = moment;
  if (!moment.opened || !options) return { do: 'open' };
  const byHand = state.request !== undefined || state.open?.request !== undefined;
  // A run by hand is done also while the job is paused; nothing else is.
  if (moment.working) {
    const unwanted = moment.stopped || (moment.paused && !byHand) || moment.historyFull;
    return unwanted && !moment.askedToEnd ? { do: 'askPassToEnd' } : { do: 'wait', until: undefined };
  }
  if (moment.stopped) return { do: 'complete' };
  if (moment.historyFull) return { do: 'continueAsNew' };
  if (now < moment.notBefore) return { do: 'wait', until: moment.notBefore };
  // What has begun is finished first: its due time is older than any other.
  if (state.open && (!moment.paused || byHand)) return { do: 'pass', order: state.open, settles: state.settled };
  if (moment.paused) {
    return state.request === undefined ? { do: 'wait', until: undefined } : runByHand(state, now);
  }
  const next = nextTick(options, known, state.settled, now);
  if (next.do === 'tick') return { do: 'pass', order: next.order, settles: next.settles };
  if (next.do !== 'wait') return next;
  if (state.request !== undefined) return runByHand(state, now);
  if (state.retryAt !== undefined && state.retryAt <= now) {
    return { do: 'pass', order: { due: after(state, now), elapsed: 0, skipped: 0 }, settles: state.settled };
  }
  return { do: 'wait', until: Math.min(next.until, state.retryAt ?? Infinity) };
}

/** Due times only grow: a tick beside the schedule comes after the last one, and not before its own time. */
const after = (state: JobWorkflowState, now: number): number => Math.max(now, (state.last?.due ?? 0) + 1);

function runByHand(state: JobWorkflowState, now: number): JobStep {
  const order: TickOrder = { due: after(state, now), elapsed: 1, skipped: 0, request: state.request };
  return { do: 'pass', order, settles: state.settled };
}

export function freshJobState(now: number): JobWorkflowState {
  return { version: 1, settled: now, pass: 0, runs: 0 };
}

// ── How it went ──────────────────────────────────────────────────────────────────────────────

/** The bands of a background task's duration; `warnAfter` is the upper bound of `fair`, 5 s unless told otherwise. */
export function bandOf(ms: number, warnAfterMs: number): Band {
  if (ms > warnAfterMs) return 'warning';
  if (ms < 500) return 'excellent';
  return ms < 2_000 ? 'good' : 'fair';
}
