import fc from 'fast-check';
import { idProblem } from '../../workflows/tracker/id';
import {
  changeProblems,
  GATE_OPTIONS,
  OPERATION_OPTIONS,
  specOf,
  TRACKER_OPTIONS,
  withChanges,
} from '../../workflows/tracker/options';
import {
  freshPoolState,
  nextPoolStep,
  oweApply,
  pauseAfter,
  placementAfter,
  placementAfterFailure,
  placementNow,
  poolOf,
  poolsFor,
  readRoster,
  scheduleOf,
  shiftDuration,
  unbegunAfter,
  waitsElsewhere,
  type PoolMoment,
  type ShiftFailure,
} from '../../workflows/tracker/plan';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import type { PoolPlacement, PoolState, ShiftResult, Unbegun } from '../../workflows/tracker/contract';
import { refusal } from '../../workflows/lib/options';
import { hashId } from '../../workflows/lib/hash';
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

describe('where the shifts of a pool go', () => {
  const OPENING = { beginWithinMs: 60_000 };
  const ended = (end: ShiftResult['end'], to?: string, node = 'a'): ShiftResult => ({
    ...{ end, node, to, members: 1, ranMs: 1, fetched: 0, failed: 0, skipped: 0 },
  });

  test.each<[string, PoolPlacement, ShiftResult, PoolPlacement]>([
    ['stays', {}, ended('elapsed', 'a'), { to: 'a', from: 'a' }],
    ['stays when it continues as new', {}, ended('asked', 'a'), { to: 'a', from: 'a' }],
    ['goes where its node gives it', { hops: 2, handedOnAtMs: 5, from: 'z' }, ended('moved', 'b'), { to: 'b', hops: 1, handedOnAtMs: 100, from: 'a' }],
    ['has a successor at the end of its time', {}, ended('elapsed', 'b'), { to: 'b', hops: 1, handedOnAtMs: 100, from: 'a' }],
    ['is redirected', {}, ended('redirected', 'b'), { to: 'b', hops: 1, handedOnAtMs: 100 }],
    ['is redirected again', { to: 'a', hops: 1, handedOnAtMs: 40, from: 'z' }, ended('redirected', 'b'), { to: 'b', hops: 2, handedOnAtMs: 40, from: 'z' }],
    ['is redirected to nobody', {}, ended('redirected'), { hops: 1, handedOnAtMs: 100 }],
    ['is handed back', { to: 'a', from: 'a' }, ended('handed back'), {}],
    ['was fenced', { to: 'a', from: 'a' }, ended('fenced', 'a'), {}],
    ['is in quarantine', {}, ended('quarantined', 'a'), {}],
    ['was stopped', {}, ended('stopped', 'a'), {}],
  ])('one that %s', (_what, before, result, after) => {
    expect(placementAfter(before, result, 100)).toEqual(after);
  }); // prettier-ignore

  test('one that nobody keeps is handed on for so long, and then goes by the shared queue, with a pause', () => {
    let placement: PoolPlacement = {};
    let hops = 0;
    for (; hops < 20; hops++) {
      placement = placementAfter(placement, ended('redirected', 'b'), 100);
      if (placement.to === undefined) break;
      expect(pauseAfter(ended('redirected', 'b'), placement)).toBe(0);
    }
    expect(hops).toBe(POOL_TUNABLES.mostHops);
    expect(pauseAfter(ended('redirected', 'b'), placement)).toBe(POOL_TUNABLES.handedOnPauseMs);
    // For as long as it goes on.
    expect(placementAfter(placement, ended('redirected', 'b'), 200).to).toBeUndefined();
  });

  test.each<[ShiftFailure, PoolPlacement]>([
    ['failed', {}],
    ['unbegun', { hops: 1, handedOnAtMs: 5, from: 'a' }],
    ['withdrawn', { to: 'b', hops: 1, handedOnAtMs: 5, from: 'a' }],
  ])('after a shift that %s', (failure, after) => {
    expect(placementAfterFailure({ to: 'b', hops: 1, handedOnAtMs: 5, from: 'a' }, failure)).toEqual(after);
  });

  test('an operator comes before what the last shift said, and says from whom it comes', () => {
    const lastShift = ended('asked', 'a');
    expect(placementNow({ placement: { to: 'a', from: 'a' }, lastShift }, 7)).toEqual({ to: 'a', from: 'a' });
    expect(placementNow({ placement: { to: 'a', from: 'a' }, wanted: 'b', lastShift }, 7)).toEqual({ to: 'b', hops: 2, handedOnAtMs: 7, from: 'a' }); // prettier-ignore
    expect(placementNow({ wanted: 'b', lastShift }, 7).from).toBe('a');
    expect(placementNow({ wanted: 'b' }, 7)).toEqual({ to: 'b', hops: 2, handedOnAtMs: 7 });
  });

  test('a node has a second and one attempt; the shared queue, that of the label where there is one, has longer and tries again', () => {
    const placement = { to: 'b', hops: 2, handedOnAtMs: 40, from: 'a' };
    expect(scheduleOf(placement, { ...OPENING, label: 'gpu' }, undefined, 100)).toEqual({
      ...{ taskQueue: 'longwatch-shifts-of-b', beginWithinMs: 1_000, once: true },
      input: { hops: 2, waitedMs: 60, from: 'a' },
    });
    const shared = { taskQueue: 'longwatch-shifts', beginWithinMs: 60_000, once: false, input: {} };
    expect(scheduleOf({}, OPENING, undefined, 100)).toEqual(shared);
    expect(scheduleOf({}, { ...OPENING, label: 'gpu' }, undefined, 100).taskQueue).toBe('longwatch-shifts-on-gpu');
    // A clock that was set back.
    expect(scheduleOf(placement, OPENING, undefined, 30).input.waitedMs).toBe(0);
  });

  test('a shift that nobody begins is asked for less and less often, and the whole time is known', () => {
    let unbegun: Unbegun | undefined;
    let nowMs = 0;
    const waits: number[] = [];
    for (let times = 1; times <= 6; times++) {
      const schedule = scheduleOf({}, OPENING, unbegun, nowMs);
      waits.push(schedule.beginWithinMs / 60_000);
      nowMs += schedule.beginWithinMs;
      unbegun = unbegunAfter(unbegun, schedule, nowMs);
      expect(unbegun).toEqual({ queue: 'longwatch-shifts', sinceMs: 0, untilMs: nowMs, times });
    }
    expect(waits).toEqual([1, 2, 4, 8, 8, 8]);
    // Another queue is another wait, and what one node left alone is none.
    const labelled = scheduleOf({}, { ...OPENING, label: 'gpu' }, undefined, nowMs);
    expect(unbegunAfter(unbegun, labelled, nowMs)).toMatchObject({ sinceMs: nowMs - 60_000, times: 1 });
    expect(unbegunAfter(unbegun, scheduleOf({ to: 'b' }, OPENING, unbegun, nowMs), nowMs)).toBe(unbegun);
  });

  test('a shift that waits on a queue which is not that of its tracker any more is told from others', () => {
    const unbegun: Unbegun = { queue: 'longwatch-shifts-on-gpu', sinceMs: 0, untilMs: 1, times: 1 };
    expect(waitsElsewhere({ unbegun }, unbegun.queue, {})).toBe(true);
    expect(waitsElsewhere({ unbegun }, unbegun.queue, { label: 'gpu' })).toBe(false);
    expect(waitsElsewhere({ unbegun, placement: { to: 'b' } }, 'longwatch-shifts-of-b', {})).toBe(false);
    // One that began may be anywhere: its node gives it away.
    expect(waitsElsewhere({}, 'longwatch-shifts', { label: 'gpu' })).toBe(false);
    expect(waitsElsewhere({ unbegun }, unbegun.queue, undefined)).toBe(false);
  });
});

describe('options laid over the definition', () => {
  const options = resolveConfig(
    defineConfig({
      trackers: [defineTracker({ name: 't', operations: { a: { every: '1s', run: () => ({ value: 1 }) } } })],
    }),
  ).trackers[0]!.options;

  const twoOperations = { ...options, operations: { a: options.operations.a!, b: options.operations.a! } };
  const at = (of: unknown, path: string) =>
    path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown> | null)?.[key], of);

  test('a change reaches its place and leaves the rest', () => {
    const changed = withChanges(options, { 'operations.a.everyMs': 500 });
    expect(changed.operations.a!.everyMs).toBe(500);
    expect(options.operations.a!.everyMs).toBe(1_000);
  });

  test('every change that may be made has its effect and no other; one that may not has none; null is none', () => {
    const paths = [
      ...[...TRACKER_OPTIONS, ...GATE_OPTIONS].map((spec) => spec.path),
      ...OPERATION_OPTIONS.map((spec) => `operations.a.${spec.path}`),
      'operations.b.everyMs',
      'operations.a.nothing',
      '__proto__.x',
    ];
    const value = fc.oneof(
      fc.integer({ min: -10, max: 100_000 }),
      fc.boolean(),
      fc.constantFrom('a', 'b', '', null, 0.5),
    );
    fc.assert(
      fc.property(fc.constantFrom(...paths), value, (path, to) => {
        const before = structuredClone(options);
        const after = withChanges(options, { [path]: to });
        expect(options).toEqual(before);
        const may = changeProblems(options, { path, value: to }).length === 0;
        if (!may || to === null || path.endsWith('slowerThanMs')) expect(after).toEqual(before);
        else expect(at(after, path)).toBe(to);
        if (may && to !== null) {
          const spec = specOf(path)!;
          expect(refusal(spec, to)).toBeUndefined();
          if (typeof to === 'number') expect(to >= spec.min! && to <= spec.max!).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('backpressure set by hand on an operation that had none gets its default threshold', () => {
    const changed = withChanges(twoOperations, { 'operations.a.skipWhile.operation': 'b' });
    expect(changed.operations.a!.skipWhile).toEqual({ operation: 'b', slowerThanMs: 1_000 });
  });

  test('a threshold without an operation to look at changes nothing', () => {
    const changed = withChanges(twoOperations, { 'operations.a.skipWhile.slowerThanMs': 500 });
    expect(changed.operations.a!.skipWhile).toBeNull();
    const both = withChanges(twoOperations, {
      'operations.a.skipWhile.slowerThanMs': 500,
      'operations.a.skipWhile.operation': 'b',
    });
    expect(both.operations.a!.skipWhile).toEqual({ operation: 'b', slowerThanMs: 500 });
  });

  test.each([
    ['operations.b.everyMs', 1_000, /no operation b/],
    ['operations.__proto__.everyMs', 1_000, /no operation __proto__/],
    ['operations.constructor.everyMs', 1_000, /no operation constructor/],
    ['operations.a.skipWhile.operation', 'constructor', /no operation constructor/],
    ['operations.a.evry', 1_000, /no option/],
    ['operations.a.everyMs', 1, /at least 50/],
    ['gate.everyMs', 1_000, /no gate/],
    ['operations.a.skipWhile.operation', 'a', /wait for itself/],
  ])('%s = %s is refused', (path, value, message) => {
    expect(changeProblems(options, { path, value }).join()).toMatch(message);
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
