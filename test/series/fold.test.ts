/** The arithmetic of the history: parts of a time put together in any order are the whole, and no count is lost. */
import fc from 'fast-check';
import { added, beforeOf, figuresSince, type Before, type Figures, type Reading } from '../../activities/series/fold';
import { histories } from '../support/simulate';

const count = fc.nat(1_000);
const figures: fc.Arbitrary<Figures> = fc.record({
  seconds: fc.nat(3_600),
  counts: fc.array(count, { maxLength: 4 }),
  lookSums: fc.array(count, { maxLength: 3 }),
  lookNumbers: fc.array(count, { maxLength: 3 }),
  mosts: fc.array(fc.option(count), { maxLength: 3 }),
  late: fc.array(count, { maxLength: 6 }).map((late) => (late.at(-1) === 0 ? [...late, 1] : late)),
});

test('parts may be put together in any order', () => {
  fc.assert(
    fc.property(figures, figures, figures, (a, b, c) => {
      expect(added(a, b)).toEqual(added(b, a));
      expect(added(added(a, b), c)).toEqual(added(a, added(b, c)));
    }),
    histories(300),
  );
});

test('the parts between readings of a thing are all that was counted, and none is negative where it counts anew', () => {
  const readings = fc.array(
    fc.record({ grew: fc.array(fc.nat(50), { minLength: 2, maxLength: 2 }), anew: fc.nat(9) }),
    {
      minLength: 1,
      maxLength: 20,
    },
  );
  fc.assert(
    fc.property(readings, (steps) => {
      let totals = [0, 0];
      let before: Reading | undefined;
      let whole: Figures | undefined;
      let counted = [0, 0];
      for (const { grew, anew } of steps) {
        // Now and then a tracker is removed and started again.
        if (anew === 0) totals = [0, 0];
        totals = totals.map((total, i) => total + grew[i]!);
        const now: Reading = { name: 't', totals, looks: [], late: totals };
        const part = figuresSince(before, now, 1, true);
        expect(Math.min(...part.counts, ...part.late, 0)).toBe(0);
        counted = counted.map((sum, i) => sum + Math.max(0, totals[i]! - (before?.totals[i] ?? 0)));
        whole = whole ? added(whole, part) : part;
        before = now;
      }
      expect(whole!.counts).toEqual(counted);
      expect(whole!.seconds).toBe(steps.length);
      if (!steps.some(({ anew }) => anew === 0)) expect(whole!.counts).toEqual(totals);
    }),
    histories(300),
  );
});

test('a look that nobody took counts for nothing, and one of a time long past is none', () => {
  const now: Reading = { name: 't', totals: [], looks: [5, null, 0], late: [] };
  const looked = figuresSince(undefined, now, 60, true);
  expect(looked).toMatchObject({ lookSums: [5, 0, 0], lookNumbers: [1, 0, 1], mosts: [5, null, 0] });
  expect(figuresSince(undefined, now, 60, false)).toMatchObject({ lookNumbers: [0, 0, 0], mosts: [null, null, null] });
});

test('a part that nobody knows is new, unless it has more than the whole has counted since', () => {
  const thing = (name: string, total: number): Reading => ({ name, totals: [total], looks: [], late: [] });
  const part = (total: number): Reading => ({ ...thing('w:p', total), whole: 'w' });
  const known = (name: string, total: number) =>
    new Map<string, Before>([[name, { ...thing(name, total), seenAt: 0 }]]);
  // The last digits of a sum are not those of its parts.
  expect(1_000.3 - 1_000).toBeLessThan(0.3);
  expect(beforeOf(part(0.3), known('w', 1_000), thing('w', 1_000.3))).toBeUndefined();
  expect(beforeOf(part(0.4), known('w', 1_000), thing('w', 1_000.3))).toEqual(part(0.4));
  expect(beforeOf(part(5), new Map(), thing('w', 5))).toBeUndefined();
  expect(beforeOf(part(5), known('w:p', 4), thing('w', 100))).toMatchObject({ totals: [4] });
  expect(beforeOf(thing('t', 5), known('w', 4), undefined)).toBeUndefined();
});
