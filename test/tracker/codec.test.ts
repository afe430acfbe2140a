/** Values that a codec encodes: what is stored, fed and merged, what fails with it, and how they are read again. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { decoded } from '../../client/tracker/decode';
import { PendingResults } from '../../activities/tracker/shift/pending';
import { readResult } from '../../activities/tracker/shift/results';
import { EncodedResult, encodedInThread, MAX_VALUE_LENGTH } from '../../activities/tracker/shift/stored-value';
import { defineOperation, defineTracker, resolveConfig, type Json, type ValueCodec } from '../../exports';
import { freshness, looking, member, shiftOf, T0 } from './shift-kit';

const gzip: ValueCodec = {
  name: 'gzip',
  encode: (value) => gzipSync(JSON.stringify(value)).toString('base64'),
  decode: (stored) => JSON.parse(gunzipSync(Buffer.from(stored as string, 'base64')).toString()) as Json,
};
const dates: ValueCodec<{ at: Date }> = {
  name: 'dates',
  encode: ({ at }) => ({ at: at.getTime() }),
  decode: (stored) => ({ at: new Date((stored as { at: number }).at) }),
};
const broken = (encode: unknown): ValueCodec => ({ ...gzip, encode: encode as ValueCodec['encode'] });
const run = () => ({ value: 1 });
const read = (value: unknown, coding: Parameters<typeof readResult>[2]) =>
  readResult({ value, etag: 'e' }, 'operation look', coding);

describe('a result', () => {
  test('is stored as its codec makes it, and a buffer that it feeds gets it in clear', () => {
    const value = { long: 'x'.repeat(1_000) };
    const { json, codec, fed, etag } = read(value, { codec: gzip });
    expect({ codec, fed, etag }).toEqual({ codec: 'gzip', fed: undefined, etag: 'e' });
    expect(json!.length).toBeLessThan(200);
    expect(gzip.decode(JSON.parse(json!) as Json)).toEqual(value);
    expect(read(value, { codec: gzip, buffer: 'b' }).fed).toBe(JSON.stringify(value));
  });

  test('without one is stored as it is', () => {
    expect(read({ a: 1 }, {})).toEqual({ json: '{"a":1}', etag: 'e', expiresAt: null, oddExpiry: false });
  });

  test('that is unchanged is not encoded', () => {
    const encode = jest.fn();
    const result = readResult({ unchanged: true }, 'operation look', { codec: broken(encode) });
    expect(result).toMatchObject({ json: null });
    expect(encode).not.toHaveBeenCalled();
  });

  test.each<[string, unknown, unknown, RegExp]>([
    [
      'throws',
      () => JSON.parse('{') as unknown,
      1,
      /^codec 'gzip' could not encode the value of operation look: .*JSON/,
    ],
    [
      'answers later',
      () => Promise.reject(new Error('later')),
      1,
      /codec 'gzip' of operation look must encode at once/,
    ],
    ['makes nothing', () => undefined, 1, /codec 'gzip' of operation look returned no value/],
    ['makes too much', () => 'x'.repeat(MAX_VALUE_LENGTH), 1, /codec 'gzip' of operation look returned a value of/],
    ['is given nothing', () => 1, undefined, /operation look returned no value; return \{ value \}/],
  ])('of which the codec %s has failed', (_what, encode, value, message) => {
    expect(() => read(value, { codec: broken(encode) })).toThrow(message);
  });

  test('that is small only when encoded is not fed to a buffer', () => {
    const value = 'x'.repeat(MAX_VALUE_LENGTH);
    expect(read(value, { codec: gzip }).json!.length).toBeLessThan(10_000);
    expect(() => read(value, { codec: gzip, buffer: 'b' })).toThrow(/at most 4194304 are stored/);
  });

  test('has text that PostgreSQL refuses made storable, in both forms', () => {
    const plain = { ...gzip, encode: (value: Json) => value };
    expect(read('a\0b', { codec: plain, buffer: 'b' })).toMatchObject({ json: '"a\\ufffdb"', fed: '"a\\ufffdb"' });
  });
});

test('a run whose codec fails is a failure of its member, and of nobody else', async () => {
  const codec = broken((value: Json) => {
    if (value === 'bad') throw new Error('no key');
    return value;
  });
  const kit = shiftOf(looking(({ id }) => ({ value: id }), { codec, stagger: { window: 0 } }));
  kit.shift.loadAll([member('bad'), member('good')], []);
  await kit.pass(100);
  expect(kit.errors).toMatchObject([{ id: 'bad', error: { message: expect.stringContaining('no key') as string } }]);
  const [taken] = [...kit.shift.harvest().values()];
  expect([...taken!.successes.values()]).toMatchObject([{ json: '"good"', codec: 'gzip' }]);
  expect([...taken!.failures.values()]).toHaveLength(1);
});

test('results that meet keep the codec of the value that stays', () => {
  const pending = new PendingResults();
  const common = { key: 1, etag: null, expiresAt: null };
  pending.succeed(0, { ...common, json: '"x"', codec: 'gzip', fed: '1', fetchedAt: 1 });
  pending.succeed(0, { ...common, json: null, fetchedAt: 2 });
  const room = { rows: 10, bytes: 1_000 };
  expect(pending.take(room).successes.get(0)).toEqual({
    ...common,
    json: '"x"',
    codec: 'gzip',
    fed: '1',
    fetchedAt: 2,
  });
});

describe('an isolated run', () => {
  test('is encoded in its thread, and what comes out of it is not encoded again', () => {
    const end = encodedInThread({ value: { at: new Date(5) }, etag: 'e' }, { codec: dates as never }, 'operation look');
    const crossed = structuredClone(end);
    expect(crossed).toEqual({ result: { etag: 'e' }, stored: { json: '{"at":5}', codec: 'dates' } });
    const result = new EncodedResult(crossed.result as object, crossed.stored!);
    expect(readResult(result, 'operation look', { codec: broken(() => 'twice') })).toMatchObject({
      json: '{"at":5}',
      codec: 'dates',
      etag: 'e',
    });
  });

  test.each([[{ unchanged: true }], [undefined], ['text'], [{}]])('that returns %j is left as it is', (result) => {
    expect(encodedInThread(result, { codec: gzip }, 'operation look')).toEqual({ result });
  });
});

test.each<[string, string | undefined, string | undefined, string | undefined]>([
  ['the same codec', 'gzip', 'gzip', 'e9'],
  ['another codec than is declared', 'other', 'gzip', undefined],
  ['a codec that is not declared', undefined, 'gzip', undefined],
  ['none where one is declared', 'gzip', undefined, undefined],
])('code with %s uses ETags of before: %#', async (_what, declared, own, expected) => {
  const etags: (string | undefined)[] = [];
  const definition = looking((context) => (etags.push(context.etag), { value: 1 }), own ? { codec: gzip } : {});
  const { options } = resolveConfig({ trackers: [definition] }).trackers[0]!;
  options.operations.look!.codec = declared;
  const kit = shiftOf(definition, { options });
  const a = member('a');
  kit.shift.loadAll([a], [freshness(a, { fetchedAt: T0 - 60_000, etag: 'e9' })]);
  await kit.pass(2_000);
  expect(etags[0]).toBe(expected);
  expect(etags.length).toBeGreaterThan(0);
});

describe('a stored value', () => {
  const stored = { tracker: 't', id: 'a', operation: 'look', value: gzip.encode({ a: 1 }), codec: 'gzip' };
  const definition = (codec?: ValueCodec) => looking(run, { codec });

  test('is shown as it was returned where its codec is known', () => {
    expect(decoded(stored, definition(gzip))).toEqual({ value: { a: 1 }, encodedBy: null, decodeError: null });
    const plain = { ...stored, value: 7, codec: null };
    expect(decoded(plain, definition(gzip))).toEqual({ value: 7, encodedBy: null, decodeError: null });
  });

  test.each([
    ['no definition', undefined],
    ['a definition without one', definition()],
    ['a codec of another name', definition({ ...gzip, name: 'other' })],
  ])('stays as it is stored with %s, and says by what it is encoded', (_what, given) => {
    expect(decoded(stored, given)).toEqual({ value: stored.value, encodedBy: 'gzip', decodeError: null });
  });

  test.each<[string, unknown, string]>([
    ['throws', () => JSON.parse('{') as unknown, 'JSON'],
    ['answers later', () => Promise.reject(new Error('later')), 'it returned a promise'],
    ['makes what is not JSON', () => 1n, 'BigInt'],
    ['makes nothing', () => undefined, 'nothing that is JSON'],
  ])('whose codec %s is shown all the same, with tracker, operation and id', (_what, decode, words) => {
    const found = decoded(stored, definition({ ...gzip, decode: decode as ValueCodec['decode'] }));
    expect(found).toMatchObject({ value: stored.value, encodedBy: 'gzip' });
    expect(found.decodeError).toMatch(/^codec 'gzip' could not decode look of a in t: /);
    expect(found.decodeError).toContain(words);
  });
});

describe('a definition', () => {
  test('has its codec by name among its options, and one of defaults for all operations', () => {
    const operations = { a: { every: '1s', run }, b: { every: '1s', run, codec: { ...gzip, name: 'own' } } };
    const { definition, options } = resolveConfig({
      trackers: [{ name: 't', operations }],
      defaults: { operation: { codec: gzip } },
    }).trackers[0]!;
    expect([options.operations.a!.codec, options.operations.b!.codec]).toEqual(['gzip', 'own']);
    expect(definition.operations.a!.codec).toBe(gzip);
    const plain = resolveConfig({ trackers: [{ name: 't', operations: { a: operations.a } }] }).trackers[0]!;
    expect(plain.options.operations.a).not.toHaveProperty('codec');
  });

  test.each<[string, unknown, RegExp]>([
    ['a function', () => 1, /operations\.a\.codec must be \{ name: 'gzip', encode/],
    ['without decode', { name: 'gzip', encode: run }, /operations\.a\.codec must be \{ name: 'gzip', encode/],
    ['without a name', { ...gzip, name: undefined }, /operations\.a\.codec\.name must be a name/],
    ['with something else', { ...gzip, level: 9 }, /operations\.a\.codec\.level is not an option/],
  ])('with a codec that is %s is refused', (_what, codec, message) => {
    const operations = { a: { every: '1s', run, codec: codec as ValueCodec } };
    expect(() => resolveConfig({ trackers: [{ name: 't', operations }] })).toThrow(message);
  });

  test('may return what its codec takes', () => {
    const definition = defineTracker({
      name: 't',
      operations: {
        seen: defineOperation({ every: '1s', codec: dates, run: () => ({ value: { at: new Date(5) } }) }),
        other: defineOperation({
          every: '1s',
          codec: dates,
          skipWhile: { operation: 'seen' },
          run: () => ({ value: { at: new Date(6) } }),
        }),
      },
    });
    // @ts-expect-error -- a number is not what its codec takes
    defineOperation({ every: '1s', codec: dates, run: () => ({ value: 7 }) });
    expect(read({ at: new Date(5) }, definition.operations.seen).json).toBe('{"at":5}');
  });
});
