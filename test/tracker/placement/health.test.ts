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
});

test('a weight is above nothing, whatever it is made of', () => {
  expect(effectiveWeight(2, { ...HEALTHY, factor: 0.5 }, 0.5)).toBe(0.5);
  expect(effectiveWeight(0, HEALTHY, 1)).toBeGreaterThan(0);
  expect(effectiveWeight(-1, HEALTHY, 1)).toBeGreaterThan(0);
  expect(effectiveWeight(NaN, HEALTHY, 1)).toBe(1);
});
