/** From readings to the table and the JSON lines, and targets as people write them. */
import { percentile, median } from '../../bench/harness/figures';
import { render, resultsOf } from '../../bench/harness/report';
import type { Reading } from '../../bench/harness/scenario';
import { isMet, parseTarget } from '../../bench/harness/target';

const reading = (over: Partial<Reading> = {}): Reading => ({ measure: 'fetches', ours: 90, unit: '/s', ...over });
const beside = (ours: number, reference: number): Reading =>
  reading({ ours, reference, referenceName: 'bare loop', target: 'ratio >= 0.80' });

test('a result has every field, null where there is nothing to say', () => {
  expect(resultsOf('track', [[reading()]])).toEqual([
    {
      scenario: 'track',
      measure: 'fetches',
      ours: 90,
      reference: null,
      referenceName: null,
      ratio: null,
      unit: '/s',
      target: null,
      met: null,
      runs: 1,
    },
  ]);
});

test('several runs: medians, and the median of the ratios of each run', () => {
  const [result] = resultsOf('track', [[beside(90, 100)], [beside(50, 100)], [beside(170, 200)]]);
  expect(result).toMatchObject({ ours: 90, reference: 100, ratio: 0.85, met: true, runs: 3 });
});

test('a measure beside another reference is another line', () => {
  const peer = reading({ reference: 30, referenceName: 'BullMQ' });
  const results = resultsOf('track', [[beside(90, 100), peer]]);
  expect(results.map(({ referenceName, ratio, met }) => [referenceName, ratio, met])).toEqual([
    ['bare loop', 0.9, true],
    ['BullMQ', 3, null],
  ]);
});

test('targets are of the ratio or of the figure itself, and a missed one is shown', () => {
  expect(parseTarget('ratio >= 0.80')).toEqual({ of: 'ratio', compare: '>=', limit: 0.8, unit: '' });
  expect(parseTarget('<= 1,024 B/id')).toEqual({ of: 'ours', compare: '<=', limit: 1024, unit: 'B/id' });
  const late = reading({ ours: 201, unit: 'ms', target: '<= 200 ms' });
  expect(isMet(late, null)).toBe(false);
  expect(isMet({ ...late, ours: 200 }, null)).toBe(true);
  expect(isMet(beside(79, 100), 0.79)).toBe(false);
  expect(isMet(beside(79, 100), null)).toBeNull();
  expect(render(resultsOf('late', [[late]]))).toMatch(/^late +fetches +201 ms +- +- +<= 200 ms +NO$/m);
});

test('what is no target, or one in another unit, is a mistake of the scenario', () => {
  for (const text of ['200 ms', 'ratio > 1', '<= many', 'ratio of 2'])
    expect(() => parseTarget(text)).toThrow(TypeError);
  expect(() => isMet(reading({ unit: 's', target: '<= 200 ms' }), null)).toThrow(/unit/);
});

test('the table gives three digits that count, and thousands', () => {
  const table = render(resultsOf('track', [[beside(17_204.4, 21_904.9)]]));
  expect(table).toMatch(/17,204\/s +21,905\/s +bare loop +0\.785 +ratio >= 0\.80 +NO/);
});

test('median and percentile', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, NaN]);
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1), percentile([], 0.5)]).toEqual([
    50,
    99,
    100,
    NaN,
  ]);
});
