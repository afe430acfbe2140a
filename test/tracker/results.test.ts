/** Values that a run may return, and the words for those it may not. `store.test.ts` writes the extremes. */
import fc from 'fast-check';
import { readResult } from '../../activities/tracker/shift/results';
import { MAX_VALUE_LENGTH } from '../../activities/tracker/shift/stored-value';

const read = (result: unknown) => readResult(result, 'operation look');

test.each([
  ['nothing', undefined, /operation look returned undefined; return \{ value \}/],
  ['null', null, /returned null/],
  ['a number', 7, /returned 7/],
  ['a string', 'ok', /returned ok/],
  ['an object without a value', {}, /returned no value/],
  ['a value of undefined', { value: undefined }, /returned no value/],
  ['a function as value', { value: () => 1 }, /returned no value/],
  ['a symbol as value', { value: Symbol('x') }, /returned no value/],
  ['unchanged that is not true', { unchanged: 'yes' }, /returned no value/],
  ['a value that JSON cannot say', { value: 1n }, /BigInt/],
  ['a value that contains itself', { value: circle() }, /circular/],
  ['a value whose toJSON throws', { value: { toJSON: () => fail('no') } }, /no/],
  [
    'a getter that throws',
    {
      get value() {
        return fail('gone');
      },
    },
    /gone/,
  ],
  ['an expiry that is no time', { value: 1, expiresAt: 'soon' }, /expiresAt that is not a time/],
  ['a value past the limit', { value: 'x'.repeat(MAX_VALUE_LENGTH) }, /at most 4194304 are stored/],
])('%s fails as a run, with a reason', (_what, result, message) => {
  expect(() => read(result)).toThrow(message);
});

test.each([
  ['a value', { value: { a: [1, null] } }, { json: '{"a":[1,null]}', etag: null, expiresAt: null }],
  ['null as value', { value: null }, { json: 'null', etag: null, expiresAt: null }],
  ['false as value', { value: false }, { json: 'false', etag: null, expiresAt: null }],
  ['unchanged', { unchanged: true, etag: 'e' }, { json: null, etag: 'e', expiresAt: null }],
  ['unchanged, whatever the value says', { unchanged: true, value: 3 }, { json: null, etag: null, expiresAt: null }],
  ['a date', { value: 1, expiresAt: new Date(5_000) }, { json: '1', etag: null, expiresAt: 5_000 }],
])('%s is read', (_what, result, expected) => {
  expect(read(result)).toEqual({ ...expected, oddExpiry: false });
});

// One odd time of an upstream must not throw away what it sent.
test.each([
  ['that never comes is the end of the calendar', Infinity, 8.64e15, false],
  ['that no calendar holds (nanoseconds) too', 1.7e18, 8.64e15, false],
  ['below zero is over', -5, 0, false],
  ['of an invalid date is none', new Date('x'), null, true],
  ['of a date past the calendar is none', new Date(9e15), null, true],
  ['that is no number is none', NaN, null, true],
])('an expiry %s, and the value is kept', (_what, expiresAt, expected, oddExpiry) => {
  expect(read({ value: 1, expiresAt })).toEqual({ json: '1', etag: null, expiresAt: expected, oddExpiry });
  expect(read({ unchanged: true, expiresAt })).toMatchObject({ expiresAt: expected, oddExpiry });
});

test('what PostgreSQL can store is stored as it was; only NUL and half surrogates are replaced', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const { json } = read({ value: { text } });
      expect(JSON.parse(json!)).toEqual({ text: text.replaceAll('\0', '\ufffd') });
    }),
  );
  expect(JSON.parse(read({ value: 'a\0b' }).json!)).toBe('a\ufffdb');
  expect(JSON.parse(read({ value: 'a\ud800b\udc00' }).json!)).toBe('a\ufffdb\ufffd');
  // Six characters that look like an escape are not one.
  expect(JSON.parse(read({ value: '\\u0000 \\ud800' }).json!)).toBe('\\u0000 \\ud800');
});

function fail(message: string): never {
  throw new Error(message);
}
function circle(): unknown {
  const value: { self?: unknown } = {};
  value.self = value;
  return value;
}
