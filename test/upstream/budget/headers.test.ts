/** Limits as answers tell them, in every format, and what the world makes of them. */
import fc from 'fast-check';
import { histories } from '../../support/simulate';
import {
  isThrottled,
  readLimits,
  shopifyCost,
  shopifyRest,
  type Format,
  type LimitReader,
} from '../../../activities/upstream/budget/headers';

const NOW = Date.UTC(2026, 10, 28, 12) / 1_000;
const DATE = 'Sat, 28 Nov 2026 12:00:00 GMT';

function read(
  headers: Record<string, string>,
  format?: Format | LimitReader,
  body?: unknown,
): ReturnType<typeof readLimits> {
  return readLimits({ status: 200, header: (name) => headers[name], body }, NOW, format);
}

test.each<[string, Record<string, string>, object[]]>([
  [
    'ESI’s group',
    {
      'x-ratelimit-group': 'char-location',
      'x-ratelimit-limit': '1200/15m',
      'x-ratelimit-remaining': '1187',
      'x-ratelimit-used': '13',
    },
    [{ name: 'char-location', remaining: 1_187, limit: 1_200, window: 900 }],
  ],
  [
    'ESI’s group without remaining',
    { 'x-ratelimit-group': 'g', 'x-ratelimit-limit': '150/15m', 'x-ratelimit-used': '20' },
    [{ remaining: 130 }],
  ],
  [
    'ESI’s errors',
    { 'x-esi-error-limit-remain': '97', 'x-esi-error-limit-reset': '12' },
    [{ remaining: 97, window: 60, reset: 12 }],
  ],
  [
    'the draft',
    {
      'ratelimit-policy': '"burst";q=100;w=60, "day";q=1000;w=86400;pk=:sdfjLJUOUH==:',
      ratelimit: '"burst";r=30;t=4, "day";r=812;t=8000',
    },
    [
      { name: 'burst', remaining: 30, limit: 100, window: 60, reset: 4 },
      { name: 'day', remaining: 812, limit: 1_000, window: 86_400, reset: 8_000 },
    ],
  ],
  ['the draft without a policy', { ratelimit: '"default";r=50;t=30' }, [{ name: 'default', remaining: 50, reset: 30 }]],
  [
    'a policy that counts bytes',
    { 'ratelimit-policy': '"b";q=9999;w=60;qu="content-bytes"', ratelimit: '"b";r=50;t=30' },
    [],
  ],
  [
    'draft 7',
    { ratelimit: 'limit=100, remaining=50, reset=5', 'ratelimit-policy': '100;w=60' },
    [{ remaining: 50, limit: 100, window: 60, reset: 5 }],
  ],
  [
    'the drafts before',
    { 'ratelimit-limit': '100, 100;w=10', 'ratelimit-remaining': '50', 'ratelimit-reset': '50' },
    [{ remaining: 50, limit: 100, window: 10, reset: 50 }],
  ],
  ['Shopify’s', { 'x-shopify-shop-api-call-limit': '32/40' }, [{ remaining: 8, limit: 40, window: 20 }]],
  [
    'many others’',
    { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '56', 'x-ratelimit-reset': String(NOW + 1_800) },
    [{ remaining: 56, limit: 60, reset: 1_800 }],
  ],
  [
    'with another dash',
    { 'x-rate-limit-limit': '180', 'x-rate-limit-remaining': '3', 'x-rate-limit-reset': String((NOW + 90) * 1_000) },
    [{ remaining: 3, reset: 90 }],
  ],
  ['nothing', { 'content-type': 'application/json' }, []],
])('%s, whoever does not say the format', (_, headers, told) => {
  const found = read({ date: DATE, ...headers });
  expect(found).toHaveLength(told.length);
  told.forEach((limit, i) => expect(found[i]).toMatchObject(limit));
});

test('GitHub’s windows are an hour, of its search a minute', () => {
  const headers = {
    'x-ratelimit-limit': '30',
    'x-ratelimit-remaining': '29',
    'x-ratelimit-reset': String(NOW + 40),
    date: DATE,
  };
  expect(read({ ...headers, 'x-ratelimit-resource': 'core' }, 'github')).toMatchObject([
    { name: 'core', window: 3_600 },
  ]);
  expect(read({ ...headers, 'x-ratelimit-resource': 'search' }, 'github')).toMatchObject([
    { name: 'search', window: 60, reset: 40 },
  ]);
});

test.each([
  ['seconds', '30', DATE, 30],
  [
    'epoch seconds by the answer’s own date, not by our clock',
    String(NOW - 600 + 30),
    'Sat, 28 Nov 2026 11:50:00 GMT',
    30,
  ],
  ['epoch seconds where the answer has no date', String(NOW + 30), undefined, 30],
  ['epoch milliseconds', String((NOW + 30) * 1_000), DATE, 30],
  ['a date', 'Sat, 28 Nov 2026 12:00:30 GMT', DATE, 30],
  ['what is over', String(NOW - 5), DATE, 0],
  ['what is a thousand years away', String(NOW + 3e10), DATE, 366 * 86_400],
  ['the year 1970', '0', DATE, 0],
])('a reset as %s', (_, reset, date, seconds) => {
  expect(
    read(
      { 'x-ratelimit-remaining': '5', 'x-ratelimit-reset': reset, ...(date === undefined ? {} : { date }) },
      'x-ratelimit',
    ),
  ).toMatchObject([{ reset: seconds }]);
});

test.each(['', ' ', '-1', 'NaN', 'Infinity', '1e9', '0x10', 'many', '12.5.1', '9'.repeat(30), '5;w=1'])(
  '%p is no number of tokens',
  (text) => {
    expect(read({ 'x-ratelimit-remaining': text }, 'x-ratelimit')).toEqual([]);
    expect(read({ 'x-esi-error-limit-remain': text }, 'esi-errors')).toEqual([]);
    expect(read({ 'x-shopify-shop-api-call-limit': `${text}/40` }, 'shopify-rest')).toEqual([]);
  },
);

test('a field that came twice: the least counts', () => {
  expect(read({ 'x-ratelimit-remaining': '50, 7' }, 'x-ratelimit')).toMatchObject([{ remaining: 7 }]);
});

test('a limit of nothing is not believed: it would stop its bucket for ever', () => {
  expect(read({ 'x-ratelimit-limit': '0', 'x-ratelimit-remaining': '5' }, 'x-ratelimit')[0]!.limit).toBeUndefined();
});

describe('Shopify’s GraphQL', () => {
  const cost = (actual: unknown, errors?: unknown): unknown => ({
    errors,
    extensions: {
      cost: {
        requestedQueryCost: 101,
        actualQueryCost: actual,
        throttleStatus: { maximumAvailable: 2_000, currentlyAvailable: 1_954, restoreRate: 100 },
      },
    },
  });

  test('tells all of it in the body', () => {
    expect(read({}, 'shopify-graphql', cost(46))).toEqual([{ remaining: 1_954, limit: 2_000, window: 20 }]);
    expect(shopifyCost({ body: cost(46) })).toBe(46);
    expect(shopifyCost({ body: cost(null) })).toBe(101);
  });

  test('a refusal is a 200, and costs nothing', () => {
    const body = cost(null, [{ message: 'Throttled', extensions: { code: 'THROTTLED' } }]);
    expect(isThrottled(body)).toBe(true);
    expect(shopifyCost({ body })).toBe(0);
    expect(isThrottled(cost(46))).toBe(false);
  });

  test.each([undefined, null, 'text', 5, [], { extensions: null }, { extensions: { cost: 'x' } }])(
    '%p tells nothing',
    (body) => {
      expect(read({}, 'shopify-graphql', body)).toEqual([]);
      expect(shopifyCost({ body })).toBeUndefined();
      expect(isThrottled(body)).toBe(false);
    },
  );
});

test('a plan of Shopify that leaks faster', () => {
  expect(read({ 'x-shopify-shop-api-call-limit': '1/400' }, shopifyRest(20))).toMatchObject([
    { limit: 400, window: 20 },
  ]);
});

test('a function of the user’s: what it makes of nonsense is no header', () => {
  const told = { remaining: 5, limit: 10, window: 60 };
  expect(read({}, () => [told])).toEqual([told]);
  for (const bad of [
    { remaining: NaN },
    { remaining: -1 },
    { remaining: 1, limit: 0 },
    { remaining: 1, window: Infinity },
  ])
    expect(read({}, () => [bad])).toEqual([]);
});

test('no header of any kind makes a reader throw, or tell what is no number', () => {
  const names = [
    'ratelimit',
    'ratelimit-policy',
    'ratelimit-limit',
    'ratelimit-remaining',
    'ratelimit-reset',
    'x-ratelimit-limit',
    'x-ratelimit-remaining',
    'x-ratelimit-reset',
    'x-ratelimit-group',
    'x-esi-error-limit-remain',
    'x-esi-error-limit-reset',
    'x-shopify-shop-api-call-limit',
    'date',
  ];
  const value = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9",;=/ :a-z-]{0,30}$/),
    fc.constantFrom(
      '1/0',
      '"a";r=-1',
      '"a";r=1e3',
      'r=5',
      '(1 2);q=3',
      '"a";q=1;w=0',
      '?1',
      '"a";r=5;t=99999999999',
      '100;w=1.5',
    ),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value), (headers) => {
      for (const told of read(headers)) {
        expect(told.remaining).toBeGreaterThanOrEqual(0);
        for (const number of [told.limit, told.window, told.reset])
          expect(number === undefined || Number.isFinite(number)).toBe(true);
      }
    }),
    histories(500),
  );
});
