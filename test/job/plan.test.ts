/** The decisions of a job's workflow: which tick comes next, what is missed, what is done first. */
import fc from 'fast-check';
import type { JobWorkflowState, TickRequest } from '../../workflows/job/contract';
import type { JobOptions } from '../../workflows/job/options';
import {
  bandOf,
  countsTooMuch,
  dueTimes,
  freshJobState,
  leftOf,
  nextJobStep,
  nextTick,
  type JobMoment,
} from '../../workflows/job/plan';

const MINUTE = 60_000;
const every = (everyMs: number, missed: JobOptions['missed'] = 'once') =>
  ({ schedule: { everyMs }, missed }) as unknown as JobOptions;
const byCalendar = (missed: JobOptions['missed']) =>
  ({ schedule: { cron: '0 * * * *', timeZone: 'UTC' }, missed }) as unknown as JobOptions;

/** As a pass does it. */
const leftAfter = (tick: TickRequest, ended: number | undefined): TickRequest =>
  countsTooMuch(tick, ended)
    ? leftOf(tick, dueTimes({ everyMs: MINUTE }, { calendar: [] }, ended, tick.due).count)
    : tick;

describe('the next tick', () => {
  test('lies on a grid from the epoch, whatever the last one took', () => {
    expect(nextTick(every(5 * MINUTE), { calendar: [] }, 7 * MINUTE, 8 * MINUTE)).toEqual({
      do: 'wait',
      until: 10 * MINUTE,
    });
    expect(nextTick(every(5 * MINUTE), { calendar: [] }, 7 * MINUTE, 10 * MINUTE + 3)).toEqual({
      do: 'tick',
      tick: { due: 10 * MINUTE, elapsed: 1, skipped: 0, since: 7 * MINUTE },
      settles: 10 * MINUTE,
    });
    expect(nextTick(every(5 * MINUTE), { calendar: [] }, 10 * MINUTE, 10 * MINUTE + 3)).toEqual({
      do: 'wait',
      until: 15 * MINUTE,
    });
  });

  test('after a downtime: skipped, all in one, or each of the last n', () => {
    const at = (missed: JobOptions['missed'], now: number) => nextTick(every(MINUTE, missed), { calendar: [] }, 0, now);
    expect(at('once', 7.9 * MINUTE)).toMatchObject({ tick: { due: 7 * MINUTE, elapsed: 7, skipped: 0 } });
    // Late by less than half an interval: this one is not missed, the six before are.
    expect(at('skip', 7.4 * MINUTE)).toMatchObject({ tick: { due: 7 * MINUTE, elapsed: 1, skipped: 6 } });
    expect(at('skip', 7.9 * MINUTE)).toEqual({ do: 'skip', settles: 7 * MINUTE, skipped: 7 });
    expect(at(3, 7.9 * MINUTE)).toMatchObject({
      tick: { due: 5 * MINUTE, elapsed: 1, skipped: 4 },
      settles: 5 * MINUTE,
    });
    expect(at(100, 7.9 * MINUTE)).toMatchObject({ tick: { due: MINUTE, elapsed: 1, skipped: 0 } });
  });

  test('of a calendar, and a look where its known times end', () => {
    const times = [60, 120, 180, 240].map((minute) => minute * MINUTE);
    expect(nextTick(byCalendar('once'), { calendar: times }, 0, 130 * MINUTE)).toMatchObject({
      tick: { due: 120 * MINUTE, elapsed: 2 },
    });
    expect(nextTick(byCalendar('once'), { calendar: times }, 120 * MINUTE, 130 * MINUTE)).toEqual({
      do: 'wait',
      until: 180 * MINUTE,
    });
    expect(nextTick(byCalendar('once'), { calendar: times }, 120 * MINUTE, 250 * MINUTE)).toEqual({ do: 'look' });
    expect(nextTick(byCalendar(2), { calendar: times }, 0, 185 * MINUTE)).toMatchObject({
      tick: { due: 120 * MINUTE, skipped: 1 },
    });
  });

  test('of a workflow that has forgotten ticks counts only what is left', () => {
    const order = { due: 10 * MINUTE, elapsed: 8, skipped: 0, since: 2 * MINUTE };
    const left = (ended: number | undefined, over = {}) => leftAfter({ ...order, ...over }, ended);
    expect(left(undefined)).toEqual(order);
    expect(left(2 * MINUTE)).toEqual(order);
    expect(left(7 * MINUTE)).toMatchObject({ due: 10 * MINUTE, elapsed: 3 });
    // By hand, between two ticks.
    expect(left(9.5 * MINUTE)).toMatchObject({ elapsed: 1 });
    expect(left(7 * MINUTE, { elapsed: 1, skipped: 7 })).toMatchObject({ elapsed: 1, skipped: 2 });
    // Rows of a sweep that are to be tried again.
    expect(left(9.5 * MINUTE, { elapsed: 0, since: undefined })).toMatchObject({ elapsed: 0 });
  });

  test('counts every interval once: run, or skipped, whatever the delays', () => {
    const missed = fc.oneof(
      fc.constant<'skip' | 'once'>('skip'),
      fc.constant<'skip' | 'once'>('once'),
      fc.integer({ min: 1, max: 5 }),
    );
    fc.assert(
      fc.property(missed, fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 40 }), (policy, delays) => {
        let now = 1_000;
        let settled = 1_000;
        let counted = 0;
        let last = -1;
        for (const delay of delays) {
          now += delay;
          const step = nextTick(every(100, policy), { calendar: [] }, settled, now);
          if (step.do === 'wait' || step.do === 'look') continue;
          counted += step.do === 'tick' ? step.tick.elapsed + step.tick.skipped : step.skipped;
          expect(step.settles).toBeGreaterThan(settled);
          if (step.do === 'tick') {
            expect(step.tick.due).toBeGreaterThan(last);
            last = step.tick.due;
            expect(step.tick.due).toBeLessThanOrEqual(now);
          }
          settled = step.settles;
        }
        expect(counted).toBe(Math.floor(settled / 100) - 10);
      }),
    );
  });
});

describe('what a job does next', () => {
  const moment = (over: Partial<JobMoment> = {}): JobMoment => ({
    nowMs: 10 * MINUTE,
    opened: true,
    paused: false,
    stopped: false,
    working: false,
    askedToEnd: false,
    notBeforeMs: 0,
    historyFull: false,
    ...over,
  });
  const state = (over: Partial<JobWorkflowState> = {}): JobWorkflowState => ({
    ...freshJobState(9.5 * MINUTE),
    ...over,
  });
  const step = (s: JobWorkflowState, m: JobMoment) => nextJobStep(s, m, every(MINUTE), { calendar: [] });
  const open = { due: 5 * MINUTE, elapsed: 1, skipped: 0 };

  test('opens first; then what has begun, then the schedule, then what is asked for by hand', () => {
    expect(step(state(), moment({ opened: false })).do).toBe('open');
    expect(step(state({ open, request: 'r' }), moment())).toMatchObject({ do: 'pass', tick: open });
    expect(step(state({ request: 'r' }), moment())).toMatchObject({ do: 'pass', tick: { due: 10 * MINUTE } });
    expect(step(state({ request: 'r', settled: 10 * MINUTE }), moment({ nowMs: 10 * MINUTE + 5 }))).toMatchObject({
      do: 'pass',
      tick: { due: 10 * MINUTE + 5, request: 'r' },
      settles: 10 * MINUTE,
    });
  });

  test('never two passes at once', () => {
    expect(step(state({ request: 'r' }), moment({ working: true })).do).toBe('wait');
  });

  test('paused: the pass is told to end, nothing begins but by hand', () => {
    expect(step(state({ open }), moment({ paused: true, working: true })).do).toBe('askPassToEnd');
    expect(step(state({ open }), moment({ paused: true, working: true, askedToEnd: true })).do).toBe('wait');
    expect(step(state({ open }), moment({ paused: true }))).toEqual({ do: 'wait', until: undefined });
    expect(step(state({ request: 'r' }), moment({ paused: true })).do).toBe('pass');
    expect(step(state({ open: { ...open, request: 'r' } }), moment({ paused: true, working: true })).do).toBe('wait');
  });

  test('continues as new only when no pass works; a stopped one completes', () => {
    expect(step(state(), moment({ historyFull: true, working: true })).do).toBe('askPassToEnd');
    expect(step(state(), moment({ historyFull: true })).do).toBe('continueAsNew');
    expect(step(state({ open }), moment({ stopped: true, working: true })).do).toBe('askPassToEnd');
    expect(step(state({ open }), moment({ stopped: true })).do).toBe('complete');
  });

  test('rows that are to be tried again get a tick of their own, after the last one', () => {
    const last = { due: 10 * MINUTE + 10, end: 'done' } as JobWorkflowState['last'];
    const waiting = state({ settled: 10 * MINUTE, retryAt: 10 * MINUTE + 7, last });
    expect(step(waiting, moment({ nowMs: 10 * MINUTE + 5 }))).toEqual({ do: 'wait', until: 10 * MINUTE + 7 });
    expect(step(waiting, moment({ nowMs: 10 * MINUTE + 8 }))).toMatchObject({
      do: 'pass',
      tick: { due: 10 * MINUTE + 11, elapsed: 0 },
    });
  });
});

test('bands', () => {
  expect([499, 500, 1_999, 2_000, 5_000, 5_001].map((ms) => bandOf(ms, 5_000))).toEqual([
    'excellent',
    'good',
    'good',
    'fair',
    'fair',
    'warning',
  ]);
  expect(bandOf(400, 300)).toBe('warning');
  expect(bandOf(9_000, 10_000)).toBe('fair');
});
