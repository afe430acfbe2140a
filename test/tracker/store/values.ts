/** Part of `store.test.ts`: values and failures are stored whatever is in them, and say what has changed. */
import fc from 'fast-check';
import { readResult, type Failure, type Success } from '../../../activities/tracker/shift/results';
import { freshnessOf } from '../../../activities/tracker/store/members';
import { errorText } from '../../../workflows/lib/text';
import { writeFailures, writeSuccesses } from '../../../activities/tracker/store/values';
import { HoldError } from '../../../exports';
import { stack, database, success, write, stored } from './database';

async function members(count: number): Promise<number[]> {
  const rows = await stack.sql<{ key: number }>(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select 't', 'm' || i, 0, 1, 1 from generate_series(1, $1) i returning key::int`,
    [count],
  );
  return rows.map((row) => row.key);
}

const failed = (key: number, over: Partial<Failure> = {}): Failure => ({
  key,
  failedAt: 2_000,
  error: 'Error: x',
  heldUntil: null,
  inARow: 1,
  ...over,
});

const writeFailed = (rows: Failure[], operation = 'look') =>
  database.transaction((db) => writeFailures(db, [{ operation, rows }]));

describe('array literals', () => {
  const NASTY = [
    '',
    '"',
    '\\',
    '\\"',
    '{}',
    'NULL',
    'null',
    ',',
    "'",
    '{"a"}',
    ' x ',
    '\n\t\r',
    'é漢🚀',
    '$1',
    '\u2028',
  ];

  test('every text comes back as it was sent, and null as null', async () => {
    const keys = await members(NASTY.length + 1);
    await write([
      ...NASTY.map((text, i) => success(keys[i]!, { json: JSON.stringify({ [text]: text }), etag: text })),
      success(keys[NASTY.length]!, { etag: null }),
    ]);
    const rows = await stored();
    expect(rows.map((row) => row.etag)).toEqual([...NASTY, null]);
    expect(rows.slice(0, -1).map((row) => row.value)).toEqual(NASTY.map((text) => ({ [text]: text })));
  });

  test('random texts in one statement keep their order and their neighbours', async () => {
    const keys = await members(20);
    const text = fc.string({ unit: 'binary' }).filter((one) => !one.includes('\0'));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(text), { minLength: 1, maxLength: 20 }), async (texts) => {
        await writeFailed(texts.map((one, i) => failed(keys[i]!, { error: one ?? '' })));
        await write(texts.map((one, i) => success(keys[i]!, { json: JSON.stringify(one), etag: one })));
        const rows = await stored();
        expect(rows.slice(0, texts.length).map((row) => row.etag)).toEqual(texts);
        expect(rows.slice(0, texts.length).map((row) => row.value)).toEqual(texts);
      }),
      { numRuns: 40 },
    );
  });

  test('any number of operations and more rows than one statement holds', async () => {
    const keys = await members(6_000);
    await database.transaction((db) =>
      writeSuccesses(db, [
        { operation: 'a', rows: keys.map((key) => success(key, { json: String(key) })) },
        { operation: 'b', rows: keys.slice(0, 3_000).map((key) => success(key, { json: `"${key}"` })) },
      ]),
    );
    const [sums] = await stack.sql(
      `select count(*) filter (where operation = 'a' and value = to_jsonb(member))::int as a,
              count(*) filter (where operation = 'b' and value = to_jsonb(member::text))::int as b from longwatch.value`,
    );
    expect(sums).toEqual({ a: 6_000, b: 3_000 });
  });
});

describe('nothing that an operation can return or throw keeps the others from being written', () => {
  test.each([
    ['NUL', { value: { a: '\0', '\0': 1 } }],
    ['half a surrogate pair', { value: ['\ud800', { '\udc00x': 1 }] }],
    ['numbers at the ends', { value: [Number.MAX_VALUE, -Number.MIN_VALUE, -0] }],
    ['deep nesting', { value: nested(3_000) }],
    ['an ETag with NUL', { value: 1, etag: 'a\0b' }],
    ['an ETag that is no text', { value: 1, etag: { weak: true } }],
    ['an ETag that cannot be text', { value: 1, etag: Symbol('etag') }],
    ['the last day of the calendar', { value: 1, expiresAt: new Date(8.64e15) }],
    ['a day before all days', { value: 1, expiresAt: -8.64e15 }],
  ])('a result with %s is stored, or fails as that run alone', async (_what, result) => {
    const [key] = await members(1);
    let read;
    try {
      read = readResult(result, 'operation look');
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
      return;
    }
    await write([success(key!, read)]);
    expect(await stored()).toHaveLength(1);
  });
});

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

describe('the latest value', () => {
  test('an unchanged value keeps changed_at, its freshness moves', async () => {
    const [key] = await members(1);
    await write([success(key!, { json: '{"a":1,"b":2}', fetchedAt: 1_000 })]);
    await write([success(key!, { json: '{"b":2,"a":1}', fetchedAt: 2_000 })]);
    expect(await stored()).toMatchObject([{ changed: 1_000, fetched: 2_000 }]);
    await write([success(key!, { json: '{"a":3}', fetchedAt: 3_000 })]);
    expect(await stored()).toMatchObject([{ changed: 3_000, fetched: 3_000, value: { a: 3 } }]);
  });

  test('unchanged (304) keeps value and changed_at and takes the new expiry', async () => {
    const [key] = await members(1);
    await write([success(key!, { json: '7', etag: 'e1', fetchedAt: 1_000, expiresAt: 6_000 })]);
    await write([success(key!, { json: null, etag: 'e1', fetchedAt: 7_000, expiresAt: 12_000 })]);
    expect(await stored()).toMatchObject([{ value: 7, etag: 'e1', changed: 1_000, fetched: 7_000, expires: 12_000 }]);
  });

  test('has the codec that has encoded it: the same text by another one is another value', async () => {
    const [key] = await members(1);
    const codecs = () =>
      stack.sql(`select value, codec, extract(epoch from changed_at)::int as at from longwatch.value`);
    await write([success(key!, { json: '"x"', codec: 'gzip', fetchedAt: 1_000 })]);
    await write([success(key!, { json: '"x"', codec: 'gzip', fetchedAt: 2_000 })]);
    await write([success(key!, { json: null, fetchedAt: 3_000 })]);
    expect(await codecs()).toEqual([{ value: 'x', codec: 'gzip', at: 1 }]);
    await write([success(key!, { json: '"x"', codec: 'other', fetchedAt: 4_000 })]);
    expect(await codecs()).toEqual([{ value: 'x', codec: 'other', at: 4 }]);
    await write([success(key!, { json: '"x"', fetchedAt: 5_000 })]);
    expect(await codecs()).toEqual([{ value: 'x', codec: null, at: 5 }]);
    await writeFailed([failed(key!, { inARow: 1 })]);
    expect(await codecs()).toEqual([{ value: 'x', codec: null, at: 5 }]);
  });

  test('TR-M18: a result that is written again changes nothing, and is not told as changed again', async () => {
    const [key] = await members(1);
    const told: number[] = [];
    const flush = (rows: Success[]) =>
      database.transaction((db) =>
        writeSuccesses(db, [{ operation: 'look', rows }], { onChanged: (member) => void told.push(member) }),
      );
    await flush([success(key!, { json: '1', fetchedAt: 1_000 })]);
    await flush([success(key!, { json: '1', fetchedAt: 1_000 })]);
    expect(told).toEqual([key]);
    await flush([success(key!, { json: '2', fetchedAt: 2_000 })]);
    await writeFailed([failed(key!, { inARow: 1 })]);
    await flush([success(key!, { json: '2', fetchedAt: 2_000 })]);
    await writeFailed([failed(key!, { inARow: 1 })]);
    expect(told).toEqual([key, key]);
    expect(await stored()).toMatchObject([{ value: 2, failures: 1, error: 'Error: x', changed: 2_000 }]);
  });

  test('OP-B1: a flush of more values than one text can hold is written, statement by statement', async () => {
    const keys = await members(40);
    // Written as one text of 160 MB before; cut by bytes now, whatever the number of rows.
    const sizes: number[] = [];
    await database.transaction((db) =>
      writeSuccesses(
        {
          query: (statement) => {
            const values = statement.values[2] as (string | null)[];
            sizes.push(values.reduce((sum, value) => sum + Buffer.byteLength(value ?? ''), 0));
            return db.query(statement);
          },
        },
        [{ operation: 'look', rows: keys.map((key) => success(key, { json: JSON.stringify('ж'.repeat(500_000)) })) }],
      ),
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * 2 ** 20);
    expect(await stored()).toHaveLength(40);
  });

  test('an operation may have any name that a definition may have', async () => {
    const [key] = await members(1);
    for (const name of ['null', 'NULL', 'Null']) await write([success(key!)], name);
    expect((await stored()).map((row) => row.operation).sort()).toEqual(['NULL', 'Null', 'null']);
  });

  test('what a shift reads of a failure says whether the upstream asked to be left alone', async () => {
    const keys = await members(3);
    await writeFailed([
      failed(keys[0]!, { error: errorText(new HoldError('slow down', { afterMs: 1_000 })), heldUntil: 9_000 }),
      failed(keys[1]!, { error: 'Error: HoldError: said another', heldUntil: 9_000 }),
    ]);
    await write([success(keys[2]!)]);
    const rows = await database.transaction((db) => freshnessOf(db, keys));
    expect(rows.sort((a, b) => a.member - b.member).map(({ byHold }) => byHold)).toEqual([true, false, false]);
  });

  test('failures are counted beside the value and cleared by a success', async () => {
    const [key] = await members(1);
    await write([success(key!, { json: '7' })]);
    await writeFailed([failed(key!, { error: 'Error: first' })]);
    await writeFailed([failed(key!, { error: 'Error: second', heldUntil: 9_000, inARow: 2 })]);
    expect(await stored()).toMatchObject([
      { value: 7, failures: 2, error: 'Error: second', held: 9_000, fetched: 1_000 },
    ]);
    await write([success(key!, { json: '8' })]);
    expect(await stored()).toMatchObject([{ value: 8, failures: 0, error: null, held: null }]);
  });
});
