/** The pure parts of the page: figures as text, rates of counters, heats, the lines of charts, the server's time. */
import fc from 'fast-check';
import type { FreshnessCell } from '../../client/tracker/freshness';
import { pathOf, topOf } from '../../http/page/lib/chart-path';
import { hearTime, serverNow } from '../../http/page/lib/clock';
import { ago, count, duration, percent, plural, rate, short, shown } from '../../http/page/lib/format';
import { doorOf } from '../../http/page/lib/door';
import { heat, squaresOf } from '../../http/page/lib/heat';
import { Rates } from '../../http/page/lib/rates';
import { inAddresses, lineOf, withNow } from '../../http/page/lib/spark-line';
import { workflowId } from '../../http/page/lib/workflows';
import { bufferWorkflowId, shardWorkflowId } from '../../workflows/buffer/contract';
import { jobWorkflowId } from '../../workflows/job/contract';
import { poolWorkflowId, trackerWorkflowId } from '../../workflows/tracker/contract';

describe('figures', () => {
  test.each([
    [0, '0'],
    [9.96, '10.0'],
    [9_999, '9,999'],
    [10_000, '10.0k'],
    [123_456, '123k'],
    [4_560_000, '4.56M'],
    [-12_345, '-12.3k'],
    [NaN, '—'],
    [Infinity, '—'],
  ])('short(%p) is %p', (value, text) => expect(short(value)).toBe(text));

  test.each([
    [null, '—'],
    [0, '0 ms'],
    [999, '999 ms'],
    [4_200, '4.2 s'],
    [59_999, '60 s'],
    [90_000, '2 min'],
    [5_400_000, '1.5 h'],
    [172_800_000, '2 d'],
    [Number.MAX_SAFE_INTEGER, '> 90 s'],
  ])('duration(%p) is %p', (ms, text) => expect(duration(ms)).toBe(text));

  test.each([
    [undefined, '—'],
    [0, '0/s'],
    [0.05, '3/min'],
    [0.5, '0.5/s'],
    [1_013, '1,013/s'],
  ])('rate(%p) is %p', (value, text) => expect(rate(value)).toBe(text));

  test('shares, counts and ages', () => {
    expect([percent(0), percent(0.001), percent(0.345), percent(1)]).toEqual(['0 %', '< 1 %', '35 %', '100 %']);
    expect([count(1_234_567), plural(1, 'pool'), plural(2, 'entry', 'entries')]).toEqual([
      '1,234,567',
      '1 pool',
      '2 entries',
    ]);
    const now = Date.parse('2026-11-29T12:00:00Z');
    expect(ago('2026-11-29T11:59:47.100Z', now)).toBe('12 s ago');
    expect(ago('2026-11-29T12:03:00Z', now)).toBe('in 3 min');
    expect([ago('2026-11-29T12:00:00.400Z', now), ago(null, now), ago('no time', now)]).toEqual(['now', '—', '—']);
  });
});

describe('text of somebody’s data', () => {
  test('has an end, and what is not seen is made visible', () => {
    expect(shown('a\u202eb\u0000c\u00add\tg\n')).toBe('a\\u202eb\\u0000c\\u00add\tg\n');
    expect(shown('x'.repeat(30), 10)).toBe(`${'x'.repeat(10)}…`);
    expect(shown('x'.repeat(10), 10)).toBe('x'.repeat(10));
  });

  test('is never cut within a character, and half a character is shown as one', () => {
    expect(shown('🛰🛰🛰', 3)).toBe('🛰…');
    expect(shown('a\ud83d')).toBe('a\\ud83d');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer({ min: 1, max: 30 }), (text, most) => {
        const short = shown(text, most);
        expect(short).not.toMatch(/[\ud800-\udfff]/u);
        expect(short.length).toBeLessThanOrEqual(most + 1);
      }),
    );
  });
});

describe('rates', () => {
  test('are of the last ten seconds, and not known before the second sample', () => {
    const rates = new Rates();
    expect(rates.rate('a')).toBeUndefined();
    rates.note('a', 0, 100);
    expect(rates.rate('a')).toBeUndefined();
    for (let second = 1; second <= 20; second++)
      rates.note('a', second * 1_000, 100 + (second <= 10 ? 0 : second - 10));
    expect(rates.rate('a')).toBe(1);
    expect(rates.line('a').slice(-3)).toEqual([1, 1, 1]);
    expect(rates.line('a')).toHaveLength(20);
  });

  test('begin anew where the counter fell, or the clock went back', () => {
    const rates = new Rates();
    rates.note('a', 10_000, 500);
    rates.note('a', 11_000, 0);
    expect(rates.rate('a')).toBeUndefined();
    rates.note('a', 12_000, 4);
    expect(rates.rate('a')).toBe(4);
    // Another server, whose clock is an hour behind: its samples are not refused for an hour.
    rates.note('a', 12_000 - 3_600_000, 5);
    rates.note('a', 13_000 - 3_600_000, 8);
    expect(rates.rate('a')).toBe(3);
  });

  test('keep two minutes, and only of names that are there', () => {
    const rates = new Rates();
    for (let second = 0; second < 1_000; second++) rates.note('a', second * 1_000, second);
    expect(rates.line('a')).toHaveLength(119);
    rates.keepOnly(new Set(['b']));
    expect(rates.line('a')).toEqual([]);
  });
});

describe('heats', () => {
  const cell = (more: Partial<FreshnessCell>): FreshnessCell => ({
    pool: 0,
    node: 'a',
    operation: 'look',
    members: 1,
    never: 0,
    p50Ms: 0,
    p95Ms: 0,
    maxMs: 0,
    lifetimes: null,
    toldAt: '',
    toldMs: 0,
    ...more,
  });

  test.each([
    [1_250, 'fresh'],
    [2_000, 'good'],
    [3_000, 'old'],
    [10_000, 'stale'],
    [10_001, 'ancient'],
    [null, 'fresh'],
  ])('%p ms old against a second: %s', (maxMs, is) => expect(heat(cell({ maxMs }), 1_000)).toBe(is));

  test('an age is one against what the value may be: an answer that is good for an hour is fresh after half of it', () => {
    const halfAnHour = { maxMs: 1_800_000, lifetimes: 0.5 };
    expect(heat(cell(halfAnHour), 1_000)).toBe('fresh');
    expect(heat(cell({ ...halfAnHour, lifetimes: 3.1 }), 1_000)).toBe('stale');
    // A keeper of an older release does not tell it.
    expect(heat(cell({ ...halfAnHour, lifetimes: null }), 1_000)).toBe('ancient');
  });

  test('what its keeper has not told for a minute is not known', () => {
    expect(heat(cell({ toldMs: 60_001 }), 1_000)).toBe('untold');
  });

  test('every pool is one square, in rows', () => {
    const cells = new Map([0, 2, 3].map((pool) => [pool, cell({ pool, maxMs: pool === 3 ? 99_000 : 0 })]));
    const squares = squaresOf(5, cells, 1_000, 2, 9);
    expect(squares.map(({ id, path }) => [id, path.split('M').length - 1])).toEqual([
      ['fresh', 2],
      ['untold', 2],
      ['ancient', 1],
    ]);
    expect(squares.find(({ id }) => id === 'ancient')!.path).toBe('M9 9h8v8h-8z');
  });
});

describe('the lines of charts', () => {
  test('the upper edge is round and above all values', () => {
    expect([topOf([]), topOf([[null, 0]]), topOf([[0.3]]), topOf([[999, null], [1_001]])]).toEqual([1, 1, 0.5, 2_000]);
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1e-12, max: 1e15, noNaN: true }), { minLength: 1 }), (values) => {
        const top = topOf([values]);
        expect(top).toBeGreaterThanOrEqual(Math.max(...values));
        expect(top).toBeLessThanOrEqual(Math.max(...values) * 10);
      }),
    );
  });

  test('a gap is a gap, and a value alone is a dot', () => {
    expect(pathOf([0, 10, null, 5], 10, 30, 12)).toBe('M0.0 11.0L10.0 1.0M30.0 6.0h.5');
    expect(pathOf([null, null], 10, 30, 12)).toBe('');
  });
});

describe('sparklines', () => {
  const fetched = (values: (number | null)[]) => ({
    ...{ kind: 'operation' as const, name: 'a/b', stepMs: 60_000, at: values.map((_, i) => i * 60_000) },
    ...{ seconds: values.map((value) => (value === null ? 0 : 60)), figures: { fetched: values } },
  });

  test('begin with the first minute that was counted, have gaps, and end with the newest one', () => {
    expect(lineOf(fetched([null, null, 60, null, 120, null, null]))).toEqual([1, null, 2]);
    // Nobody has counted for some minutes: that is a gap, and not the minute that is being written.
    expect(lineOf(fetched([60, null, null, null, null]))).toEqual([1, null, null]);
    expect(lineOf(fetched([null, null]))).toEqual([]);
  });

  test('what a node is busy with is a share, and no count', () => {
    const node = { ...fetched([]), kind: 'node' as const, seconds: [60, 60], figures: { eventLoop: [0.5, 0.25] } };
    expect(lineOf(node)).toEqual([0.5, 0.25]);
  });

  test('end with what is now; before there is a history, they are what this page has seen', () => {
    expect(withNow([1, null], 3, [7, 8])).toEqual([1, null, 3]);
    expect(withNow([1, 2], undefined, [7, 8])).toEqual([1, 2]);
    expect(withNow(undefined, 3, [7, 8])).toEqual([7, 8]);
  });

  test('are asked for by as many names as an address takes, each once; one that is too long for any is left out', () => {
    const names = Array.from({ length: 500 }, (_, i) => `שלום/"${i}" %`);
    const groups = inAddresses(['x'.repeat(7_000), 'a\u0000', '\ud800', ...names]);
    expect(groups.flat()).toEqual(names);
    expect(groups.length).toBeGreaterThan(1);
    for (const group of groups) {
      expect(encodeURIComponent(JSON.stringify(group)).length).toBeLessThan(6_100);
      expect(JSON.stringify(group).length).toBeLessThanOrEqual(10_000);
    }
    expect(inAddresses([])).toEqual([]);
  });
});

describe('who is not let in', () => {
  const door = (status: number, hints = {}, wasKnown = false) =>
    doorOf({ status, message: 'm', hints }, wasKnown, 1_000);

  test('a token is asked for where the server takes one; else the program that has it has a login', () => {
    expect(door(401, { wantsToken: true })).toEqual({ by: 'token', words: '' });
    expect(door(401, { wantsToken: true }, true)).toMatchObject({
      by: 'token',
      words: expect.stringContaining('replaced or taken back') as string,
    });
    expect(door(401)).toMatchObject({ by: 'login', words: 'You are not signed in.' });
    expect(door(401, {}, true)).toMatchObject({ by: 'login', words: 'Your session has ended.' });
  });

  test('too many tries are waited for as long as the server says', () => {
    expect(door(429, { waitMs: 60_000 })).toMatchObject({
      by: 'wait',
      at: 61_000,
      words: expect.stringContaining('from your address') as string,
    });
    expect(door(403)).toEqual({ by: 'wait', words: 'm.', at: 31_000 });
  });

  test.each([0, 500, 502, 503])('%p says nothing of who asks', (status) => expect(door(status)).toBeUndefined());
});

test('the server’s time: the shortest way counts, and a clock that was set is believed', () => {
  const now = Date.now();
  hearTime(now + 3_600_000, now, true);
  hearTime(now + 3_600_000 - 400, now, false);
  expect(serverNow() - Date.now()).toBe(3_600_000);
  hearTime(now - 60_000, now, false);
  expect(serverNow() - Date.now()).toBe(-60_000);
  hearTime(NaN, now, true);
  expect(serverNow() - Date.now()).toBe(-60_000);
});

test('the ids of workflows are those of the engine', () => {
  expect(workflowId.tracker('a')).toBe(trackerWorkflowId('a'));
  expect(workflowId.pool('a', 1)).toBe(poolWorkflowId('a', 1));
  expect(workflowId.buffer('a')).toBe(bufferWorkflowId('a'));
  expect(workflowId.shard('a', 1)).toBe(shardWorkflowId('a', 1));
  expect(workflowId.job('a')).toBe(jobWorkflowId('a'));
});
