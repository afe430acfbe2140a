/** The pool of an id, and the queue on which the next shift of a pool waits: pure decisions of its workflow. */
import fc from 'fast-check';
import {
  pauseAfter,
  placementAfter,
  placementAfterFailure,
  placementNow,
  poolOf,
  poolsFor,
  scheduleOf,
  shiftDuration,
  unbegunAfter,
  waitsElsewhere,
  type ShiftFailure,
} from '../../workflows/tracker/plan';
import { type PoolPlacement, type ShiftResult, type Unbegun } from '../../workflows/tracker/contract';
import { hashId } from '../../workflows/lib/hash';
import { POOL_TUNABLES } from '../../workflows/tracker/tunables';

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

describe('where the shifts of a pool go', () => {
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
