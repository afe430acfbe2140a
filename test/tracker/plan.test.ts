/** The next step of a pool, and what it takes in: pure decisions of its workflow. */
import fc from 'fast-check';
import { idProblem } from '../../workflows/tracker/id';
import { freshPoolState, nextPoolStep, oweApply, readRoster, type PoolMoment } from '../../workflows/tracker/plan';
import type { PoolState } from '../../workflows/tracker/contract';
import { POOL_TUNABLES } from '../../workflows/tracker/tunables';

const {
  applyBatch: APPLY_BATCH,
  applyBurst: APPLY_BURST,
  applyBytes: APPLY_BYTES,
  applyGapMs: APPLY_GAP_MS,
  carryBytes: CARRY_BYTES,
} = POOL_TUNABLES;

const MOMENT: PoolMoment = {
  opened: true,
  trackerStopped: false,
  applying: false,
  onShift: true,
  shiftAskedToEnd: false,
  waitsElsewhere: false,
  handlersBusy: false,
  historyFull: false,
  nowMs: 10_000,
  owedUntilMs: 0,
  applyNotBeforeMs: 0,
  notBeforeMs: 0,
};

describe('what a pool does next', () => {
  test.each([
    ['opens first', {}, { opened: false }, 'open'],
    ['starts a shift', {}, { onShift: false }, 'startShift'],
    ['starts none in quarantine', { quarantined: true }, { onShift: false }, 'wait'],
    ['starts none before its time', {}, { onShift: false, notBeforeMs: 11_000 }, 'wait'],
    ['applies what is pending', { pending: [{ id: 'a', change: 'add' as const }] }, {}, 'apply'],
    [
      'waits when it has applied a few at once',
      { pending: [{ id: 'a', change: 'add' as const }] },
      { owedUntilMs: 9_900 + APPLY_BURST * APPLY_GAP_MS },
      'wait',
    ],
    [
      'waits when PostgreSQL did not take the last ones',
      { pending: [{ id: 'a', change: 'add' as const }] },
      { applyNotBeforeMs: 11_000 },
      'wait',
    ],
    ['asks the shift to end when the history is full', {}, { historyFull: true }, 'askShiftToEnd'],
    ['asks once', {}, { historyFull: true, shiftAskedToEnd: true }, 'wait'],
    ['asks it to end when an operator wants it elsewhere', { wanted: 'b' }, {}, 'askShiftToEnd'],
    ['asks that once', { wanted: 'b' }, { shiftAskedToEnd: true }, 'wait'],
    ['starts the one that is wanted', { wanted: 'b' }, { onShift: false }, 'startShift'],
    ['asks it to end when it waits for nodes of another label', {}, { waitsElsewhere: true }, 'askShiftToEnd'],
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

  test('a few changes are applied at once, a stream of them twice a second', () => {
    let owed = 0;
    const times: number[] = [];
    const state = { ...freshPoolState(), pending: [{ id: 'a', change: 'add' as const }] };
    for (let nowMs = 0; nowMs <= 5_000; nowMs += 10) {
      if (nextPoolStep(state, { ...MOMENT, nowMs, owedUntilMs: owed }).do !== 'apply') continue;
      owed = oweApply(owed, nowMs);
      times.push(nowMs);
    }
    expect(times.slice(0, APPLY_BURST)).toEqual([0, 10, 20, 30]);
    expect(times.length).toBe(APPLY_BURST + 5_000 / APPLY_GAP_MS);
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
      owed: fc.nat(2 * APPLY_BURST * APPLY_GAP_MS),
    });
    fc.assert(
      fc.property(moments, ({ pending, owed, ...flags }) => {
        const state = {
          ...freshPoolState(),
          pending: Array.from({ length: pending }, () => ({ id: 'x', change: 'add' as const })),
        };
        const moment = { ...MOMENT, ...flags, owedUntilMs: MOMENT.nowMs + owed };
        const step = nextPoolStep(state, moment);
        if (step.do === 'continueAsNew' || step.do === 'complete') {
          expect(moment.applying || moment.onShift || moment.handlersBusy).toBe(false);
        }
        if (step.do === 'complete') expect(pending).toBe(0);
        if (step.do === 'apply') expect(step.count).toBeLessThanOrEqual(APPLY_BATCH);
        // A change that is pending and not being applied always has a time at which it will be.
        if (step.do === 'wait' && pending > 0 && !moment.applying) expect(step.untilMs).toBeDefined();
      }),
    );
  });

  describe('whatever the ids are made of', () => {
    const LETTERS = ['a', 'я', '語', '😀', '"', '\\'];
    /** As long as an id may be, of one sort of letter or of a mix. */
    const ids = fc.tuple(
      fc.constantFrom(...LETTERS),
      fc.constantFrom(...LETTERS),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 6_000 }),
    );
    const pendingOf = ([one, other, length, count]: [string, string, number, number]) =>
      Array.from({ length: count }, (_, i) => ({
        id: [...`${one}${other}`.repeat(length)].slice(0, length).join('') + i,
        change: 'add' as const,
        stamp: 9_007_199_254_740_991,
      }));
    const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

    test('what goes into one apply is below 512 KB, and as much as that allows', () => {
      fc.assert(
        fc.property(ids, (setup) => {
          const pending = pendingOf(setup);
          const step = nextPoolStep({ ...freshPoolState(), pending }, MOMENT);
          const count = step.do === 'apply' ? step.count : 0;
          expect(count).toBeGreaterThan(0);
          expect(sizeOf(pending.slice(0, count))).toBeLessThanOrEqual(APPLY_BYTES + 2);
          const all = count === pending.length || count === APPLY_BATCH;
          if (!all) expect(sizeOf(pending.slice(0, count + 1))).toBeGreaterThan(APPLY_BYTES);
        }),
        { numRuns: 60 },
      );
    });

    const leaving = { ...MOMENT, historyFull: true, onShift: false, owedUntilMs: 1e9 };
    test.each([
      [200, 'continueAsNew'],
      [220, 'wait'],
    ])('%i ids of 200 characters and 600 bytes: %s', (count, step) => {
      const pending = Array.from({ length: count }, () => ({ id: '語'.repeat(200), change: 'add' as const }));
      expect(nextPoolStep({ ...freshPoolState(), pending }, leaving).do).toBe(step);
    });

    test('what continues as new carries 128 KB of changes at most', () => {
      fc.assert(
        fc.property(ids, (setup) => {
          const pending = pendingOf(setup);
          const step = nextPoolStep({ ...freshPoolState(), pending }, leaving);
          if (step.do === 'continueAsNew') expect(sizeOf(pending)).toBeLessThanOrEqual(CARRY_BYTES + 2);
          else expect(sizeOf(pending)).toBeGreaterThan(CARRY_BYTES - 100);
        }),
        { numRuns: 60 },
      );
    });
  });

  test('a roster message is taken in every form that a person types', () => {
    expect(readRoster('a', 'add')).toEqual([{ id: 'a', change: 'add' }]);
    expect(readRoster(['a', 'b'], 'remove')).toHaveLength(2);
    expect(readRoster({ ids: ['a'], stamp: 7 }, 'add')).toEqual([{ id: 'a', change: 'add', stamp: 7 }]);
    expect(readRoster(null as never, 'add')).toEqual([]);
    expect(readRoster({ ids: ['', 3] } as never, 'add')).toEqual([]);
  });

  test.each([
    ['a number', 7],
    ['nothing', undefined],
    ['true', true],
    ['an object without ids', { id: 'a' }],
    ['ids that are no list', { ids: 'a' }],
    ['blanks', '  '],
    ['a NUL', 'a\0b'],
    ['a line feed', ['a\nb']],
    ['half a surrogate pair', ['\ud800']],
    ['201 characters', 'x'.repeat(201)],
    ['lists in a list', [['a']]],
  ])('a message of %s is taken as nothing, for the store would refuse it for ever', (_what, payload) => {
    expect(readRoster(payload as never, 'add')).toEqual([]);
  });

  test.each([['soon'], [1.5], [null], [Infinity], [2 ** 60]])('a stamp of %p counts as none', (stamp) => {
    expect(readRoster({ ids: ['a'], stamp: stamp as never }, 'add')).toEqual([{ id: 'a', change: 'add' }]);
  });

  test('an id that the client takes, the pool takes too, and no other', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 220 }), (id) => {
        expect(readRoster(id, 'add').length).toBe(idProblem(id) === undefined ? 1 : 0);
      }),
      { numRuns: 1_000 },
    );
  });

  test('over random lives of a pool every change is applied once and in order, and it keeps coming back on shift', () => {
    const life = fc.record({
      historyEvents: fc.integer({ min: 10, max: 60 }),
      shiftMs: fc.integer({ min: 100, max: 20_000 }),
      applyMs: fc.integer({ min: 1, max: 1_500 }),
      signals: fc.array(fc.record({ afterMs: fc.nat(1_500), ids: fc.integer({ min: 1, max: 3_000 }) }), {
        maxLength: 40,
      }),
      stopped: fc.boolean(),
    });
    fc.assert(
      fc.property(life, ({ historyEvents, shiftMs, applyMs, signals, stopped }) => {
        const pool = new SimulatedPool(historyEvents, shiftMs, applyMs);
        let sent = 0;
        for (const { afterMs, ids } of signals) {
          pool.pass(afterMs);
          pool.signal(Array.from({ length: ids }, () => String(sent++)));
        }
        if (stopped) pool.moment.trackerStopped = true;
        pool.pass(60_000 + shiftMs);
        expect(pool.applied).toEqual(Array.from({ length: sent }, (_, i) => String(i)));
        expect(pool.state.pending).toEqual([]);
        if (stopped) expect(pool.completed).toBe(true);
        else expect(pool.shifts).toBeGreaterThan(0);
        expect(pool.shiftsAtOnce).toBeLessThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });
});

/**
 * A pool's workflow as `nextPoolStep` drives it, without Temporal: activities take their time, signals come in between.
 */
class SimulatedPool {
  state = freshPoolState();
  moment: PoolMoment = { ...MOMENT, onShift: false, opened: false, nowMs: 1_000_000 };
  applied: string[] = [];
  completed = false;
  shifts = 0;
  shiftsAtOnce = 0;
  private events = 5;
  private applyEndsAt = Infinity;
  private applying = 0;
  private shiftEndsAt = Infinity;

  constructor(
    private readonly historyEvents: number,
    private readonly shiftMs: number,
    private readonly applyMs: number,
  ) {
    this.settle();
  }

  signal(ids: string[]): void {
    this.state.pending.push(...ids.map((id) => ({ id, change: 'add' as const })));
    this.events += 4;
    this.settle();
  }

  pass(ms: number): void {
    const until = this.moment.nowMs + ms;
    for (;;) {
      const step = this.settle();
      const timer = step?.do === 'wait' ? (step.untilMs ?? Infinity) : Infinity;
      const next = Math.min(this.applyEndsAt, this.shiftEndsAt, timer);
      if (next > until || this.completed) break;
      this.moment.nowMs = Math.max(this.moment.nowMs, next);
      if (this.moment.nowMs >= this.applyEndsAt) this.endApply();
      if (this.moment.nowMs >= this.shiftEndsAt) this.endShift();
    }
    this.moment.nowMs = until;
  }

  private endApply(): void {
    this.applied.push(...this.state.pending.splice(0, this.applying).map((change) => change.id));
    this.moment.applying = false;
    this.applyEndsAt = Infinity;
    this.events += 4;
  }

  private endShift(): void {
    this.moment.onShift = false;
    this.moment.shiftAskedToEnd = false;
    this.shiftsAtOnce--;
    this.shiftEndsAt = Infinity;
    this.events += 4;
  }

  /** Carries out steps until there is one to wait for. */
  private settle(): ReturnType<typeof nextPoolStep> | undefined {
    for (let steps = 0; !this.completed; steps++) {
      if (steps > 1_000) throw new Error('it goes round in circles');
      this.moment.historyFull = this.events >= this.historyEvents;
      const step = nextPoolStep(this.state, this.moment);
      if (step.do === 'wait') return step;
      const { moment } = this;
      this.events += 3;
      if (step.do === 'open') moment.opened = true;
      if (step.do === 'apply') {
        moment.applying = true;
        moment.owedUntilMs = oweApply(moment.owedUntilMs, moment.nowMs);
        this.applying = step.count;
        this.applyEndsAt = moment.nowMs + this.applyMs;
      }
      if (step.do === 'startShift') {
        moment.onShift = true;
        this.shifts++;
        this.shiftsAtOnce++;
        this.shiftEndsAt = moment.nowMs + this.shiftMs;
      }
      if (step.do === 'askShiftToEnd') {
        moment.shiftAskedToEnd = true;
        this.shiftEndsAt = Math.min(this.shiftEndsAt, moment.nowMs + 10);
      }
      if (step.do === 'complete') this.completed = true;
      if (step.do === 'continueAsNew') {
        expect(moment.applying || moment.onShift).toBe(false);
        expect(JSON.stringify(this.state).length).toBeLessThan(2 * CARRY_BYTES);
        // The next run opens again and has nothing but the carried state.
        this.state = JSON.parse(JSON.stringify(this.state)) as PoolState;
        this.moment = { ...moment, opened: false, owedUntilMs: 0, notBeforeMs: 0 };
        this.events = 4;
      }
    }
    return undefined;
  }
}
