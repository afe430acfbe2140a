/**
 * The decisions of a job's workflow, as pure functions: which tick comes next, what is missed, and what the workflow
 * should do. `job.ts` carries them out. Times are epoch milliseconds.
 */
import type { Band, EarlierSchedule, JobWorkflowState, TickRequest } from './contract';
import type { JobOptions, Schedule } from './options';

/** PostgreSQL's largest integer, which `:elapsed` is: some seven years of the shortest interval. */
const ELAPSED_MAX = 2_147_483_647;

export type Next =
  | { do: 'tick'; tick: TickRequest; /** What is settled by it. */ settles: number }
  /** Ticks up to `settles` are passed over; then it is asked again. */
  | { do: 'skip'; settles: number; skipped: number }
  | { do: 'wait'; until: number }
  /** The known due times of the calendar are used up. */
  | { do: 'look' };

/** The known times of a job, beside its options; told by `openJob`. */
export interface Known {
  /** Due times of a `cron`, in order; and how many more since the settled one lie before them. */
  calendar: readonly number[];
  earlier?: number;
  /** Schedules that held before the one of the options, in order. */
  before?: readonly EarlierSchedule[];
}

/** Due times after `settled` up to `nowMs`, and the one that follows. */
interface DueTimes {
  count: number;
  /** The `back`-th from the end; 0 is the newest. */
  at: (back: number) => number;
  following: number | undefined;
}

export function dueTimes(
  schedule: Schedule,
  { calendar, earlier = 0 }: Pick<Known, 'calendar' | 'earlier'>,
  settled: number,
  nowMs: number,
): DueTimes {
  if ('everyMs' in schedule) {
    const { everyMs } = schedule;
    const newest = Math.floor(nowMs / everyMs);
    const first = Math.floor(settled / everyMs) + 1;
    const count = Math.min(ELAPSED_MAX, Math.max(0, newest - first + 1));
    return { count, at: (back) => (newest - back) * everyMs, following: (Math.max(newest, first - 1) + 1) * everyMs };
  }
  const open = calendar.filter((due) => due > settled);
  const due = open.filter((time) => time <= nowMs);
  // Once one of those that are told is settled, all before it are.
  const untold = open.length === calendar.length && due.length > 0 ? earlier : 0;
  return {
    count: Math.min(ELAPSED_MAX, due.length + untold),
    at: (back) => due[due.length - 1 - back]!,
    following: open[due.length],
  };
}

/**
 * The next tick of the schedule. The due times that a replaced schedule owes come first; the one that replaced it
 * counts from then on, so a changed interval makes nothing of the time before. A tick that cannot begin before half of
 * its interval is over counts as missed, so `skip` after a downtime waits for the next time of the grid, and a little
 * lateness skips nothing.
 */
export function nextTick(options: JobOptions, known: Known, settled: number, nowMs: number): Next {
  let from = settled;
  for (const old of known.before ?? []) {
    if (old.until <= from) continue;
    const due = dueTimes(old.schedule, { calendar: old.calendar ?? [], earlier: old.earlier }, from, Math.min(nowMs, old.until)); // prettier-ignore
    const following = due.following ?? old.until;
    if (due.count > 0) return tickOf(options.missed, due, { from, nowMs, following });
    if (nowMs < old.until) return { do: 'wait', until: Math.min(following, old.until) };
    from = old.until;
  }
  const due = dueTimes(options.schedule, known, from, nowMs);
  if (due.count === 0) return due.following === undefined ? { do: 'look' } : { do: 'wait', until: due.following };
  // A calendar that ends before now may hide later ticks.
  if (due.following === undefined) return { do: 'look' };
  return tickOf(options.missed, due, { from, nowMs, following: due.following });
}

function tickOf(
  missed: JobOptions['missed'],
  due: DueTimes,
  { from, nowMs, following }: { from: number; nowMs: number; following: number },
): Next {
  const newest = due.at(0);
  if (missed === 'once') {
    return { do: 'tick', tick: { due: newest, elapsed: due.count, skipped: 0, since: from }, settles: newest };
  }
  if (missed === 'skip') {
    const late = nowMs - newest > (following - newest) / 2;
    if (late) return { do: 'skip', settles: newest, skipped: due.count };
    return { do: 'tick', tick: { due: newest, elapsed: 1, skipped: due.count - 1, since: from }, settles: newest };
  }
  const back = Math.min(due.count, missed) - 1;
  const oldest = due.at(back);
  const skipped = due.count - 1 - back;
  return { do: 'tick', tick: { due: oldest, elapsed: 1, skipped, since: from }, settles: oldest };
}

/**
 * Whether a request counts intervals of before `endedDue`: of a workflow that was reset, and has forgotten their ticks.
 */
export function countsTooMuch(tick: TickRequest, endedDue: number | undefined): endedDue is number {
  return tick.since !== undefined && endedDue !== undefined && endedDue > tick.since;
}

/**
 * The part of such a request that is left. @param count due times after the newest tick that has ended, up to its own
 */
export function leftOf(tick: TickRequest, count: number): TickRequest {
  const elapsed = Math.min(tick.elapsed, Math.max(1, count));
  return { ...tick, elapsed, skipped: Math.min(tick.skipped, Math.max(0, count - elapsed)) };
}

// ── What the workflow does next ──────────────────────────────────────────────────────────────

/** The knowledge of the workflow beside its state. */
export interface JobMoment {
  nowMs: number;
  opened: boolean;
  paused: boolean;
  stopped: boolean;
  working: boolean;
  /** The pass that works was told to. */
  askedToEnd: boolean;
  /** After a failure: nothing is begun before. */
  notBeforeMs: number;
  historyFull: boolean;
}

export type JobStep =
  | { do: 'open' }
  | { do: 'pass'; tick: TickRequest; settles: number }
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
  const { nowMs } = moment;
  if (!moment.opened || !options) return { do: 'open' };
  const byHand = state.request !== undefined || state.open?.request !== undefined;
  // A run by hand is done also while the job is paused; nothing else is.
  if (moment.working) {
    const unwanted = moment.stopped || (moment.paused && !byHand) || moment.historyFull;
    return unwanted && !moment.askedToEnd ? { do: 'askPassToEnd' } : { do: 'wait', until: undefined };
  }
  if (moment.stopped) return { do: 'complete' };
  if (moment.historyFull) return { do: 'continueAsNew' };
  if (nowMs < moment.notBeforeMs) return { do: 'wait', until: moment.notBeforeMs };
  // A tick that has begun is finished first: its due time is older than any other.
  if (state.open && (!moment.paused || byHand)) return { do: 'pass', tick: state.open, settles: state.settled };
  if (moment.paused) {
    return state.request === undefined ? { do: 'wait', until: undefined } : runByHand(state, nowMs);
  }
  const next = nextTick(options, known, state.settled, nowMs);
  if (next.do === 'tick') return { do: 'pass', tick: next.tick, settles: next.settles };
  if (next.do !== 'wait') return next;
  if (state.request !== undefined) return runByHand(state, nowMs);
  if (state.retryAt !== undefined && state.retryAt <= nowMs) {
    return { do: 'pass', tick: { due: after(state, nowMs), elapsed: 0, skipped: 0 }, settles: state.settled };
  }
  return { do: 'wait', until: Math.min(next.until, state.retryAt ?? Infinity) };
}

/** Due times only grow: a tick beside the schedule comes after the last one, and not before its own time. */
const after = (state: JobWorkflowState, nowMs: number): number => Math.max(nowMs, (state.last?.due ?? 0) + 1);

function runByHand(state: JobWorkflowState, nowMs: number): JobStep {
  const tick: TickRequest = { due: after(state, nowMs), elapsed: 1, skipped: 0, request: state.request };
  return { do: 'pass', tick, settles: state.settled };
}

export function freshJobState(nowMs: number): JobWorkflowState {
  return { version: 1, settled: nowMs, pass: 0, runs: 0 };
}

// ── How it went ──────────────────────────────────────────────────────────────────────────────

/** The bands of a background task's duration; `warnAfter` is the upper bound of `fair`, 5 s unless told otherwise. */
export function bandOf(ms: number, warnAfterMs: number): Band {
  if (ms > warnAfterMs) return 'warning';
  if (ms < 500) return 'excellent';
  return ms < 2_000 ? 'good' : 'fair';
}
