/**
 * How long an answer is fresh: the forms that servers send, one line each, and against `http-cache-semantics` in
 * histories that a seed makes. A lifetime in seconds; undefined: ask again at the interval.
 */
import { execFileSync } from 'node:child_process';
import CachePolicy from 'http-cache-semantics';
import fc from 'fast-check';
import { freshForMs, httpDate, type FreshnessHeaders } from '../../activities/upstream/freshness';
import { histories } from '../support/simulate';

const NOW = Date.UTC(2026, 10, 28, 12, 0, 0);
const imf = (ms: number): string => new Date(ms).toUTCString();

function freshFor(headers: Record<string, string>): number | undefined {
  const of = (name: string): string | undefined => headers[name];
  const ms = freshForMs(
    { cacheControl: of('cache-control'), expires: of('expires'), date: of('date'), age: of('age'), vary: of('vary') },
    NOW,
  );
  return ms === undefined ? undefined : ms / 1_000;
}

const YEARS_68 = 2 ** 31;

test.each<[string, Record<string, string>, number | undefined]>([
  // `max-age` counts whatever `Expires` says.
  ['a dead Expires', { expires: 'Thu, 01 Jan 1970 00:00:00 GMT', 'cache-control': 'max-age=300' }, 300],
  ['Expires: 0 with max-age', { expires: '0', 'cache-control': 'max-age=300' }, 300],
  ['an Expires far ahead', { expires: imf(NOW + 9e8), 'cache-control': 'max-age=300' }, 300],
  ['a max-age of nothing', { expires: imf(NOW + 9e6), 'cache-control': 'max-age=0' }, undefined],
  // The time that it already lay in a cache.
  ['Age', { 'cache-control': 'max-age=3600', age: '3500' }, 100],
  ['Age with Expires', { expires: imf(NOW + 60_000), date: imf(NOW), age: '45' }, 15],
  ['an Age as long as the lifetime', { 'cache-control': 'max-age=60', age: '60' }, undefined],
  ['an Age below zero', { 'cache-control': 'max-age=60', age: '-5' }, 60],
  ['an Age that is no number', { 'cache-control': 'max-age=60', age: 'old' }, 60],
  ['two Ages', { 'cache-control': 'max-age=60', age: '10, 50' }, 50],
  ['an Age past all counting', { 'cache-control': 'max-age=60', age: '9'.repeat(30) }, undefined],
  // The directives that forbid it.
  ['no-cache', { 'cache-control': 'private, no-cache, max-age=86400' }, undefined],
  ['no-store', { 'cache-control': 'no-store, max-age=3600' }, undefined],
  ['no-store with Expires', { 'cache-control': 'no-store', expires: imf(NOW + 60_000) }, undefined],
  ['NO-CACHE', { 'cache-control': 'max-age=60, NO-CACHE' }, undefined],
  ['no-cache of one field', { 'cache-control': 'no-cache="set-cookie", max-age=60' }, undefined],
  ['Vary: *', { 'cache-control': 'max-age=60', vary: '*' }, undefined],
  ['Vary: a, *', { 'cache-control': 'max-age=60', vary: 'accept, *' }, undefined],
  ['Vary by a name', { 'cache-control': 'max-age=60', vary: 'accept' }, 60],
  // The caches that it is for.
  ['s-maxage is for shared caches', { 'cache-control': 's-maxage=10, max-age=60' }, 60],
  ['s-maxage alone', { 'cache-control': 's-maxage=10' }, undefined],
  ['s-maxage with Expires', { 'cache-control': 's-maxage=10', expires: imf(NOW + 5_000) }, 5],
  ['private', { 'cache-control': 'private, max-age=60' }, 60],
  ['must-revalidate', { 'cache-control': 'must-revalidate, max-age=60' }, 60],
  ['stale-while-revalidate adds nothing', { 'cache-control': 'max-age=60, stale-while-revalidate=600' }, 60],
  ['immutable alone', { 'cache-control': 'immutable' }, undefined],
  // Forms of max-age.
  ['in quotes', { 'cache-control': 'max-age="60"' }, 60],
  ['with spaces', { 'cache-control': 'max-age = 60' }, 60],
  ['in capitals', { 'cache-control': 'MAX-AGE=60' }, 60],
  ['between tabs', { 'cache-control': '\tprivate ,\t max-age=60\t' }, 60],
  ['in half a quote', { 'cache-control': 'max-age="60' }, undefined],
  ['within somebody else’s quotes', { 'cache-control': 'private="x, max-age=5", max-age=60' }, 60],
  ['after an escaped quote', { 'cache-control': 'ext="a\\", max-age=5", max-age=60' }, 60],
  ['a name that ends in it', { 'cache-control': 'x-max-age=60' }, undefined],
  ['with a semicolon', { 'cache-control': 'max-age=60; private' }, 60],
  ['empty', { 'cache-control': 'max-age=' }, undefined],
  ['without a value', { 'cache-control': 'max-age', expires: imf(NOW + 60_000) }, undefined],
  ['below zero', { 'cache-control': 'max-age=-1', expires: imf(NOW + 60_000) }, undefined],
  ['a fraction', { 'cache-control': 'max-age=60.5' }, undefined],
  ['no number', { 'cache-control': 'max-age=soon' }, undefined],
  ['in another notation', { 'cache-control': 'max-age=0x10' }, undefined],
  ['2^63 - 1', { 'cache-control': 'max-age=9223372036854775807' }, YEARS_68],
  ['400 digits', { 'cache-control': `max-age=${'9'.repeat(400)}` }, YEARS_68],
  ['twice the same', { 'cache-control': 'max-age=60, max-age=60' }, 60],
  ['twice: the first', { 'cache-control': 'max-age=60, max-age=120' }, 60],
  ['an empty Cache-Control', { 'cache-control': '', expires: imf(NOW + 5_000) }, 5],
  ['only commas', { 'cache-control': ',,,', expires: imf(NOW + 5_000) }, 5],
  // Forms of Expires.
  ['Expires', { expires: imf(NOW + 60_000) }, 60],
  ['by the server’s own Date, a year off', { date: imf(NOW - 3e10), expires: imf(NOW - 3e10 + 60_000) }, 60],
  ['a Date in 2099', { date: 'Thu, 01 Jan 2099 00:00:00 GMT', expires: 'Thu, 01 Jan 2099 00:01:00 GMT' }, 60],
  ['a Date that is none', { date: 'now', expires: imf(NOW + 60_000) }, 60],
  ['at its Date', { date: imf(NOW), expires: imf(NOW) }, undefined],
  ['before its Date', { date: imf(NOW), expires: imf(NOW - 1_000) }, undefined],
  ['0', { expires: '0' }, undefined],
  ['-1', { expires: '-1' }, undefined],
  ['a lifetime in its place', { expires: '3600' }, undefined],
  ['ISO 8601', { expires: '2026-11-28T13:00:00Z' }, undefined],
  ['a max-age in its place', { expires: 'max-age=3600' }, undefined],
  ['empty', { expires: '' }, undefined],
  ['another zone', { expires: 'Sat, 28 Nov 2026 12:01:00 PST' }, undefined],
  ['an offset', { expires: 'Sat, 28 Nov 2026 12:01:00 +0000' }, undefined],
  ['a day that is not', { expires: 'Sat, 31 Nov 2026 12:01:00 GMT' }, undefined],
  ['an hour that is not', { expires: 'Sat, 28 Nov 2026 24:01:00 GMT' }, undefined],
  ['two of them', { expires: `${imf(NOW + 1_000)}, ${imf(NOW + 2_000)}` }, undefined],
  ['RFC 850', { expires: 'Saturday, 28-Nov-26 12:01:00 GMT' }, 60],
  ['asctime', { expires: 'Sat Nov 28 12:01:00 2026' }, 60],
  ['in small letters', { expires: 'sat, 28 nov 2026 12:01:00 gmt' }, 60],
  ['nginx’s max', { expires: 'Thu, 31 Dec 2037 23:55:55 GMT' }, (Date.UTC(2037, 11, 31, 23, 55, 55) - NOW) / 1_000],
  // Nothing at all.
  ['nothing', {}, undefined],
  ['a Date alone', { date: imf(NOW) }, undefined],
])('%s: %j', (_what, headers, seconds) => {
  expect(freshFor(headers)).toBe(seconds);
});

describe('dates', () => {
  const DAY = Date.UTC(1994, 10, 6, 8, 49, 37);
  test.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', DAY],
    ['Sun, 6 Nov 1994 08:49:37 GMT', DAY],
    ['Sunday, 06-Nov-94 08:49:37 GMT', DAY],
    ['Sun, 06-Nov-1994 08:49:37 GMT', DAY],
    ['Sun Nov  6 08:49:37 1994', DAY],
    ['  Sun, 06 Nov 1994 08:49:37 GMT\t', DAY],
    // Fifty years ahead of 2026 at most.
    ['Sunday, 06-Nov-76 08:49:37 GMT', Date.UTC(2076, 10, 6, 8, 49, 37)],
    ['Sunday, 06-Nov-77 08:49:37 GMT', Date.UTC(1977, 10, 6, 8, 49, 37)],
    ['Mon, 01 Jan 0001 00:00:00 GMT', -62_135_596_800_000],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2017, 0, 1)],
  ])('%s', (text, expected) => expect(httpDate(text, NOW)).toBe(expected));

  test.each(['', 'Sun Nov 6 08:49:37 1994', 'Sun, 06 Nov 1994 08:49:37', 'Sun, 06 Nov 94 08:49:37 GMT', 'tomorrow'])(
    'none: %j',
    (text) => expect(httpDate(text, NOW)).toBeUndefined(),
  );

  test('in any zone of this machine', () => {
    const code = `
      const { freshForMs, httpDate } = require(${JSON.stringify(require.resolve('../../activities/upstream/freshness'))});
      const text = 'Sun Nov  6 08:49:37 1994';
      const headers = { date: ${JSON.stringify(imf(NOW))}, expires: 'Sat Nov 28 12:01:00 2026' };
      console.log(JSON.stringify([new Date(text).getTime(), httpDate(text, 0), freshForMs(headers, 0)]));`;
    const out = execFileSync(process.execPath, ['-r', require.resolve('tsx/cjs'), '-e', code], {
      env: { ...process.env, TZ: 'America/New_York' },
    });
    // Five hours apart for `Date.parse`, which takes a date without a zone for this machine's.
    expect(JSON.parse(out.toString())).toEqual([DAY + 5 * 3_600_000, DAY, 60_000]);
  });
});

describe('against http-cache-semantics', () => {
  const seconds = fc.oneof(fc.nat(10), fc.nat(100_000));
  const date = fc.integer({ min: -100_000, max: 100_000 }).map((ahead) => imf(NOW + ahead * 1_000));
  const directive = fc.oneof(
    { weight: 4, arbitrary: seconds.map((n) => `max-age=${n}`) },
    seconds.map((n) => `max-age="${n}"`),
    seconds.map((n) => `max-age = ${n}`),
    seconds.map((n) => `s-maxage=${n}`),
    fc.constantFrom('max-age=x', 'max-age=-3', 'no-cache', 'no-store', 'no-cache="set-cookie"'),
    fc.constantFrom('private', 'public', 'must-revalidate', 'proxy-revalidate', 'no-transform', 'ext="a=b"', ''),
  );
  // Two of one name: there the library takes the last, RFC 9111 the first. (And it overlooks an empty `max-age=`.)
  const cacheControl = fc
    .uniqueArray(directive, { maxLength: 4, selector: (one) => one.split('=')[0]!.trim() })
    .chain((list) => fc.constantFrom(', ', ',', ' , ').map((comma) => list.join(comma)));
  const headers = fc.record(
    {
      'cache-control': cacheControl,
      expires: fc.oneof({ weight: 4, arbitrary: date }, fc.constantFrom('0', '-', 'never')),
      date: fc.oneof({ weight: 4, arbitrary: date }, fc.constant('never')),
      age: fc.oneof(seconds.map(String), fc.constantFrom('x', '')),
      vary: fc.constantFrom('*', 'accept'),
      'last-modified': date,
      etag: fc.constant('"v"'),
    },
    { requiredKeys: [] },
  );

  test('the same lifetime, but for what it guesses of Last-Modified', () => {
    const now = jest.spyOn(Date, 'now').mockReturnValue(NOW);
    let fresh = 0;
    try {
      fc.assert(
        fc.property(headers, (given) => {
          const seen: Record<string, string> = { ...given };
          const ours = freshFor(seen) ?? 0;
          fresh += Number(ours > 0);
          // A lifetime of ours is one that the server has said.
          const said = { ...seen };
          delete said['last-modified'];
          const request = { url: '/', method: 'GET', headers: {} };
          const policy = new CachePolicy(request, { status: 200, headers: said }, { shared: false });
          const theirs = Math.max(0, policy.maxAge() - policy.age());
          expect(ours).toBe(theirs);
        }),
        histories(),
      );
    } finally {
      now.mockRestore();
    }
    // There was something to compare.
    expect(fresh).toBeGreaterThan(100);
  });
});

test('anything at all is read without a throw, and never as a time that no calendar holds', () => {
  const anything = fc.option(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('"'.repeat(5_000))), {
    nil: undefined,
  });
  const record: fc.Arbitrary<FreshnessHeaders> = fc.record({
    cacheControl: fc.oneof(
      anything,
      fc.string().map((text) => `max-age=${text}`),
    ),
    expires: anything,
    date: anything,
    age: anything,
    vary: anything,
  });
  fc.assert(
    fc.property(record, (headers) => {
      const ms = freshForMs(headers, NOW);
      if (ms !== undefined) expect(Number.isNaN(new Date(NOW + ms).getTime()) || ms <= 0).toBe(false);
    }),
    histories(),
  );
});
