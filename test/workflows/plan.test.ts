import fc from 'fast-check';
import { changeProblems, withChanges } from '../../workflows/tracker/options';
import {
  APPLY_BATCH,
  APPLY_GAP_MS,
  freshPoolState,
  hashId,
  nextPoolStep,
  poolOf,
  poolsFor,
  readRoster,
  shiftDuration,
  type PoolMoment,
} from '../../workflows/tracker/plan';
import { defineConfig, defineTracker, resolveConfig } from '../../client';

const MOMENT: PoolMoment = {
  opened: true,
  trackerStopped: false,
  applying: false,
  onShift: true,
  shiftAskedToEnd: false,
  handlersBusy: false,
  historyFull: false,
  nowMs: 10_000,
  lastApplyMs: 0,
  notBeforeMs: 0,
};

describe('which pool holds an id', () => {
  test('growing by one pool moves ids from one pool only, to the new one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3_000 }),
        fc.array(fc.nat(0xffffffff), { maxLength: 300 }),
        (pools, hashes) => {
          const sources = new Set<number>();
          for (const hash of hashes) {
            const before = poolOf(hash, pools);
            const after = poolOf(hash, pools + 1);
            expect(after).toBeLessThanOrEqual(pools);
            if (before !== after) {
              expect(after).toBe(pools);
              sources.add(before);
            }
          }
          expect(sources.size).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test('ids spread evenly: no pool of 8 is a tenth off at 80,000', () => {
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 80_000; i++) counts[poolOf(hashId(`90${i}`), 8)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(1_000);
  });

  test('the number of pools never decreases and leaves room', () => {
    expect(poolsFor(0, 500, 1)).toBe(1);
    expect(poolsFor(1_001, 500, 1)).toBe(3);
    expect(poolsFor(10, 500, 7)).toBe(7);
  });
});

describe('what a pool does next', () => {
  test.each([
    ['opens first', {}, { opened: false }, 'open'],
    ['starts a shift', {}, { onShift: false }, 'startShift'],
    ['starts none in quarantine', { quarantined: true }, { onShift: false }, 'wait'],
    ['starts none before its time', {}, { onShift: false, notBeforeMs: 11_000 }, 'wait'],
    ['applies what is pending', { pending: [{ id: 'a', change: 'add' as const }] }, {}, 'apply'],
    [
      'waits for the gap between applies',
      { pending: [{ id: 'a', change: 'add' as const }] },
      { lastApplyMs: 9_900 },
      'wait',
    ],
    ['asks the shift to end when the history is full', {}, { historyFull: true }, 'askShiftToEnd'],
    ['asks once', {}, { historyFull: true, shiftAskedToEnd: true }, 'wait'],
    ['continues as new without a shift', {}, { historyFull: true, onShift: false }, 'continueAsNew'],
    ['not while a handler works', {}, { historyFull: true, onShift: false, handlersBusy: true }, 'wait'],
    ['completes when the tracker is stopped', {}, { trackerStopped: true, onShift: false }, 'complete'],
    [
      'applies before it completes',
      { pending: [{ id: 'a', change: 'add' as const }] },
      { trackerStopped: true, onShift: false },
      'apply',
    ],
  ])('a pool %s', (_name, state, moment, step) => {
    expect(nextPoolStep({ ...freshPoolState(), ...state }, { ...MOMENT, ...moment }).do).toBe(step);
  });

  test('a pool never continues as new or completes with an activity under way', () => {
    const flag = fc.boolean();
    const moments = fc.record({
      trackerStopped: flag,
      applying: flag,
      onShift: flag,
      shiftAskedToEnd: flag,
      handlersBusy: flag,
      historyFull: flag,
      pending: fc.nat(APPLY_BATCH * 2),
      sinceApply: fc.nat(2 * APPLY_GAP_MS),
    });
    fc.assert(
      fc.property(moments, ({ pending, sinceApply, ...flags }) => {
        const state = {
          ...freshPoolState(),
          pending: Array.from({ length: pending }, () => ({ id: 'x', change: 'add' as const })),
        };
        const moment = { ...MOMENT, ...flags, lastApplyMs: MOMENT.nowMs - sinceApply };
        const step = nextPoolStep(state, moment);
        if (step.do === 'continueAsNew' || step.do === 'complete') {
          expect(moment.applying || moment.onShift || moment.handlersBusy).toBe(false);
        }
        if (step.do === 'complete') expect(pending).toBe(0);
        if (step.do === 'apply') expect(step.count).toBeLessThanOrEqual(APPLY_BATCH);
        // What is pending and not being applied always has a time at which it will be.
        if (step.do === 'wait' && pending > 0 && !moment.applying) expect(step.untilMs).toBeDefined();
      }),
    );
  });

  test('a roster message is taken in every form that a person types', () => {
    expect(readRoster('a', 'add')).toEqual([{ id: 'a', change: 'add' }]);
    expect(readRoster(['a', 'b'], 'remove')).toHaveLength(2);
    expect(readRoster({ ids: ['a'], stamp: 7 }, 'add')).toEqual([{ id: 'a', change: 'add', stamp: 7 }]);
    expect(readRoster(null as never, 'add')).toEqual([]);
    expect(readRoster({ ids: ['', 3] } as never, 'add')).toEqual([]);
  });

  test('shifts of one tracker do not end together', () => {
    const lengths = Array.from({ length: 200 }, (_, pool) => shiftDuration(600_000, pool, 1));
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(60_000);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeGreaterThan(400_000);
    for (let shift = 2; shift < 100; shift++) {
      const ms = shiftDuration(600_000, 3, shift);
      expect(ms).toBeGreaterThanOrEqual(480_000);
      expect(ms).toBeLessThanOrEqual(720_000);
    }
  });
});

describe('options laid over the definition', () => {
  const options = resolveConfig(
    defineConfig({
      trackers: [defineTracker({ name: 't', operations: { a: { every: '1s', run: () => ({ value: 1 }) } } })],
    }),
  ).trackers[0]!.options;

  test('a change reaches its place and leaves the rest', () => {
    const changed = withChanges(options, { 'operations.a.everyMs': 500 });
    expect(changed.operations.a!.everyMs).toBe(500);
    expect(options.operations.a!.everyMs).toBe(1_000);
  });

  test.each([
    ['operations.b.everyMs', 1_000, /no operation b/],
    ['operations.a.evry', 1_000, /no option/],
    ['operations.a.everyMs', 1, /at least 50/],
    ['gate.everyMs', 1_000, /no gate/],
  ])('%s = %s is refused', (path, value, message) => {
    expect(changeProblems(options, { path, value }).join()).toMatch(message);
  });
});
