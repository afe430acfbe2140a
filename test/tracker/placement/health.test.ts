/** Health and trust: when a node's weight is cut, when it comes back, and that neither swings. */
import fc from 'fast-check';
import {
  crashesOf,
  effectiveWeight,
  HEALTH,
  HEALTHY,
  isHot,
  nextHealth,
  trustOf,
  type Health,
} from '../../../activities/tracker/placement/health';
import { histories } from '../../support/simulate';

const MINUTE = 60_000;

/** A step a second, from `from` on. */
function pass(health: Health, fromMs: number, seconds: number, lagMs: number, othersCanTake = true): Health {
  let now = health;
  for (let second = 0; second < seconds; second++) now = nextHealth(now, lagMs, othersCanTake, fromMs + second * 1_000);
  return now;
}

test('a node that is behind for five seconds loses a fifth, and the next fifth only after 15 s more', () => {
  let health = pass(HEALTHY, 0, 5, 300);
  expect(health.factor).toBe(1);
  expect(isHot(health, 4_000)).toBe(false);
  health = pass(health, 5_000, 1, 300);
  expect(health.factor).toBeCloseTo(0.8);
  expect(isHot(health, 5_000)).toBe(true);
  // By the time that passes, not by the clock's.
  const late = pass(HEALTHY, 1_000_000, 1, 300);
  expect([isHot(late, 1_004_999), isHot(late, 1_005_000)]).toEqual([false, true]);
  health = pass(health, 6_000, 14, 300);
  expect(health.factor).toBeCloseTo(0.8);
  health = pass(health, 20_000, 1, 300);
  expect(health.factor).toBeCloseTo(0.64);
});

test('one late second in five is not behind', () => {
  let health = HEALTHY;
  for (let second = 0; second < 300; second++)
    health = nextHealth(health, second % 5 === 0 ? 10 : 300, true, second * 1_000);
  expect(health.factor).toBe(1);
});

test('late and calm begin beyond their limits, not at them', () => {
  expect(pass(HEALTHY, 0, 60, HEALTH.behindMs).factor).toBe(1);
  expect(pass(HEALTHY, 0, 60, HEALTH.behindMs + 1).factor).toBeLessThan(1);
  const cut = pass(HEALTHY, 0, 6, 300);
  expect(pass(cut, 6_000, 3_600, HEALTH.calmMs).factor).toBe(cut.factor);
  expect(pass(cut, 6_000, 3_600, HEALTH.calmMs - 1).factor).toBeGreaterThan(cut.factor);
});

test('one late second does away with the calm minutes before it', () => {
  let health = pass(HEALTHY, 0, 6, 300);
  for (let round = 0; round < 6; round++) {
    health = pass(health, 6_000 + round * 500_000, 499, 10);
    health = pass(health, 505_000 + round * 500_000, 1, 100);
  }
  expect(health.factor).toBeCloseTo(0.8);
});

test('where nobody else could take the load, nothing is cut', () => {
  expect(pass(HEALTHY, 0, 600, 900, false).factor).toBe(1);
});

test('it comes back by a tenth for each ten calm minutes', () => {
  const cut = pass(HEALTHY, 0, 6, 300);
  const almost = pass(cut, 6_000, 599, 10);
  expect(almost.factor).toBeCloseTo(0.8);
  expect(pass(almost, 605_000, 2, 10).factor).toBeCloseTo(0.88);
  // Between calm and behind: neither.
  expect(pass(cut, 6_000, 3_600, 100).factor).toBeCloseTo(0.8);
});

test('who is behind again soon after a raise waits four times as long for the next one', () => {
  let health = pass(HEALTHY, 0, 6, 300);
  health = pass(health, 6_000, 620, 10);
  expect(health.factor).toBeCloseTo(0.88);
  health = pass(health, 10 * MINUTE + 30_000, 6, 300);
  expect(health.factor).toBeCloseTo(0.704);
  expect(health.holdMs).toBe(4 * HEALTH.holdMs);
  // The cuts that follow belong to the same relapse.
  health = pass(health, 11 * MINUTE, 60, 300);
  expect(health.holdMs).toBe(4 * HEALTH.holdMs);
  expect(pass(health, 12 * MINUTE, 39 * 60, 10).factor).toBe(health.factor);
  expect(pass(health, 12 * MINUTE, 41 * 60, 10).factor).toBeGreaterThan(health.factor);
});

test('each tenth takes ten minutes: a raise begins the next ten', () => {
  let health = pass(pass(HEALTHY, 0, 6, 300), 6_000, 1, 10);
  let now = 6_000;
  for (const factor of [0.88, 0.968, 1]) {
    health = pass(health, now + 1_000, 600, 10);
    now += 600_000;
    expect(health.factor).toBeCloseTo(factor);
    expect(health.raisedAt).toBe(now);
  }
});

describe('a relapse', () => {
  /** Behind once, calm until it was raised, and behind again so long after that. */
  const again = (ms: number): Health => {
    const raised = pass(pass(HEALTHY, 0, 6, 300), 6_000, 601, 10);
    expect(raised.raisedAt).toBe(606_000);
    const from = 606_000 + ms - HEALTH.behindForMs;
    return pass(pass(raised, 607_000, (from - 607_000) / 1_000, 100), from, 6, 300);
  };

  test('is to be behind within half an hour of a raise, and not after that', () => {
    expect(again(HEALTH.relapseMs - 1_000).holdMs).toBe(4 * HEALTH.holdMs);
    expect(again(HEALTH.relapseMs).holdMs).toBe(HEALTH.holdMs);
  });

  test('is none where it was never cut: calm hours before the first fault cost nothing', () => {
    const calm = pass(HEALTHY, 0, 3_600, 10);
    expect(pass(calm, 3_600_000, 6, 300)).toMatchObject({ factor: 0.8, holdMs: HEALTH.holdMs });
  });

  test('again and again makes it wait for eight hours, and no longer', () => {
    let health = pass(HEALTHY, 0, 6, 300);
    let now = 6_000;
    for (const hold of [4 * HEALTH.holdMs, 16 * HEALTH.holdMs, HEALTH.holdMaxMs, HEALTH.holdMaxMs]) {
      const before = health.factor;
      for (; health.factor === before; now += 1_000) health = nextHealth(health, 10, true, now);
      health = pass(health, now, 6, 300);
      now += 6_000;
      expect(health.holdMs).toBe(hold);
    }
  });
});

test('whatever the event loop does, the factor stays within its bounds, and changes at most every 15 seconds downwards', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          lag: fc.constantFrom(0, 30, 100, 260, 5_000),
          seconds: fc.integer({ min: 1, max: 400 }),
          others: fc.boolean(),
        }),
        { maxLength: 20 },
      ),
      (parts) => {
        let health = HEALTHY;
        let nowMs = 0;
        let cutAt = -Infinity;
        for (const { lag, seconds, others } of parts) {
          for (let second = 0; second < seconds; second++) {
            const next = nextHealth(health, lag, others, nowMs);
            if (next.factor < HEALTH.least || next.factor > 1) throw new Error(`${next.factor}`);
            if (next.holdMs < HEALTH.holdMs || next.holdMs > HEALTH.holdMaxMs) throw new Error(`${next.holdMs}`);
            if (next.factor < health.factor) {
              expect(nowMs - cutAt).toBeGreaterThanOrEqual(HEALTH.cutEveryMs);
              cutAt = nowMs;
            }
            health = next;
            nowMs += 1_000;
          }
        }
      },
    ),
    histories(100),
  );
});

test('one crash costs nothing, each further one half, and two minutes up forget one', () => {
  expect([0, 1, 2, 3, 4, 5, 99].map((crashes) => trustOf(crashes, 0))).toEqual([1, 1, 0.5, 0.25, 0.125, 0.125, 0.125]);
  expect(trustOf(4, 2 * MINUTE)).toBe(0.25);
  expect(trustOf(4, 6 * MINUTE)).toBe(1);
  // A clock that was put back.
  expect(trustOf(2, -5)).toBe(0.5);
});

test('a crash is an end without a word in the first two minutes', () => {
  expect(crashesOf(undefined)).toBe(0);
  const past = { crashes: 1, startedAt: 0, seenAt: 30_000, ended: false };
  expect(crashesOf(past)).toBe(2);
  expect(crashesOf({ ...past, ended: true })).toBe(1);
  expect(crashesOf({ ...past, seenAt: 10 * MINUTE })).toBe(0);
  expect(crashesOf({ ...past, crashes: 4, seenAt: 4 * MINUTE })).toBe(2);
  // At two minutes it is old enough, and has made up for one.
  expect(crashesOf({ ...past, seenAt: 2 * MINUTE })).toBe(0);
  expect(crashesOf({ ...past, seenAt: 2 * MINUTE - 1 })).toBe(2);
  // The database's clock was put back meanwhile.
  expect(crashesOf({ ...past, crashes: 1, startedAt: 10 * MINUTE })).toBe(2);
});

test('a weight is above nothing, whatever it is made of', () => {
  expect(effectiveWeight(2, { ...HEALTHY, factor: 0.5 }, 0.5)).toBe(0.5);
  expect(effectiveWeight(0, HEALTHY, 1)).toBeGreaterThan(0);
  expect(effectiveWeight(-1, HEALTHY, 1)).toBeGreaterThan(0);
  expect(effectiveWeight(NaN, HEALTHY, 1)).toBe(1);
  expect(effectiveWeight(Infinity, HEALTHY, 1)).toBe(1);
  expect(effectiveWeight(0.01, { ...HEALTHY, factor: 0.5 }, 1)).toBe(0.005);
});
