/** Buckets of lateness: each value in the one it belongs to, percentiles near the exact ones, a window that forgets. */
import fc from 'fast-check';
import { bucketOf, Lateness, LATE_BOUNDS_MS, percentile } from '../../activities/tracker/shift/lateness';

const LAST = LATE_BOUNDS_MS.length;

test('every lateness falls into the bucket whose bounds enclose it', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 200_000, noNaN: true }), (lateMs) => {
      const bucket = bucketOf(lateMs);
      if (bucket < LAST) expect(lateMs).toBeLessThanOrEqual(LATE_BOUNDS_MS[bucket]!);
      if (bucket > 0) expect(lateMs).toBeGreaterThan(LATE_BOUNDS_MS[bucket - 1]!);
    }),
  );
});

test.each([
  ['early', -3, 0],
  ['no number', NaN, 0],
  ['on time', 0, 0],
  ['far beyond the last bound', 1e12, LAST],
])('a lateness that is %s has a bucket too', (_what, lateMs, bucket) => {
  expect(bucketOf(lateMs)).toBe(bucket);
});

test('the bounds ascend', () => {
  for (let i = 1; i < LAST; i++) expect(LATE_BOUNDS_MS[i]!).toBeGreaterThan(LATE_BOUNDS_MS[i - 1]!);
});

test('a percentile is never below the exact one, and at most a bucket above', () => {
  const lates = fc.array(fc.double({ min: 0, max: 50_000, noNaN: true }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(lates, fc.constantFrom(0.01, 0.5, 0.95, 0.99, 1), (values, q) => {
      const buckets = new Array<number>(LAST + 1).fill(0);
      for (const value of values) buckets[bucketOf(value)]!++;
      const exact = [...values].sort((a, b) => a - b)[Math.ceil(q * values.length) - 1]!;
      const estimate = percentile(buckets, q)!;
      expect(estimate).toBeGreaterThanOrEqual(exact);
      // A fifth, and a tenth of a millisecond by rounding.
      expect(estimate).toBeLessThanOrEqual(Math.max(1, exact * 1.2 + 0.2));
    }),
  );
});

test('nothing counted has no percentile; what is above the last bound has no finite one', () => {
  expect(percentile(new Array<number>(LAST + 1).fill(0), 0.5)).toBeNull();
  const above = new Array<number>(LAST + 1).fill(0);
  above[LAST] = 1;
  expect(percentile(above, 0.5)).toBe(Infinity);
});

test('counts stay for one to two windows, and are gone after an idle time', () => {
  const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0);
  const lateness = new Lateness(0, 1_000);
  lateness.add(5, 100);
  expect(total(lateness.recent(999))).toBe(1);
  lateness.add(5, 1_500);
  expect(total(lateness.recent(1_600))).toBe(2);
  expect(total(lateness.recent(2_600))).toBe(1);
  expect(total(lateness.recent(3_700))).toBe(0);
  lateness.add(5, 3_800);
  expect(total(lateness.recent(9_000))).toBe(0);
});
