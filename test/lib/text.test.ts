/** Text that cannot be kept is made keepable, or said: held against PostgreSQL itself. */
import fc from 'fast-check';
import { errorText, storable, storableJson, unstorable } from '../../workflows/lib/text';
import { histories } from '../support/simulate';
import { Stack } from '../support/stack';

const NASTY = [
  '\0',
  'a\0b',
  '\ud800',
  'x\udc00y',
  '\udc00\ud800',
  '\ud83d',
  'fine',
  'Ünï 漢字 😀',
  '',
  '\\u0000',
  '\\',
  '\x1b[31m',
  '\u2028',
];
/** Any units of UTF-16, halves of pairs and NUL among them. */
const anyText = fc.oneof(
  fc.constantFrom(...NASTY),
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.constantFrom('\0', '\ud800', '\udc00', '\ud83d\ude00', 'a', '漢', 'é'), { maxLength: 60 })
    .map((parts) => parts.join('')),
);

test('what is kept as it is has nothing wrong with it, and the other way round', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const fine = unstorable(text) === undefined;
      expect(storable(text) === text).toBe(
        fine || !/\0|[\ud800-\udfff]/.test(text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '')),
      );
      expect(unstorable(storable(text))).toBeUndefined();
      // As many characters as before: it still tells the same.
      expect(storable(text)).toHaveLength(text.length);
    }),
    histories(),
  );
});

test('a limit is one of bytes, and no character is cut in two', () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 0, max: 40 }), (text, limit) => {
      const kept = storable(text, limit);
      expect(Buffer.byteLength(kept, 'utf8')).toBeLessThanOrEqual(limit);
      expect(unstorable(kept, limit)).toBeUndefined();
      if (Buffer.byteLength(storable(text), 'utf8') <= limit) expect(kept).toBe(storable(text));
    }),
    histories(),
  );
  expect(storable('漢字漢字', 9)).toBe('漢字…');
  expect(storable('x'.repeat(5_000_000), 4_000)).toHaveLength(3_998);
});

test('what is wrong is said', () => {
  expect(unstorable('a\0b')).toBe('has a NUL character');
  expect(unstorable('a\ud800b')).toMatch(/half of a surrogate pair/);
  expect(unstorable('漢字', 5)).toBe('has 6 bytes; at most 5 can be used');
  expect(unstorable('漢字', 6)).toBeUndefined();
});

test('an error is put into words, whatever was thrown', () => {
  expect(errorText(new TypeError('a\0b'))).toBe('TypeError: a\ufffdb');
  expect(errorText(new Error('漢'.repeat(1_000)))).toHaveLength(7 + 163 + 1);
  expect(errorText(Object.freeze(new Error('frozen')))).toBe('Error: frozen');
  expect(errorText(undefined)).toBe('something was thrown that is not an error: undefined');
  expect(errorText(Object.create(null))).toBe('an error that cannot be put into words');
  expect(errorText(Object.assign(new Error(), { message: { a: 1 } }))).toBe('Error: [object Object]');
  const { proxy, revoke } = Proxy.revocable(new Error('x'), {});
  revoke();
  expect(errorText(proxy)).toBe('an error that cannot be put into words');
});

describe('PostgreSQL', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start();
    await stack.sql('create table kept (at int, t text, j json, b jsonb)');
  });
  afterAll(() => stack.close());

  test('keeps what is storable, as text and as jsonb, and refuses what is not', async () => {
    const texts = [...NASTY, ...fc.sample(anyText, 300)];
    for (const [index, text] of texts.entries()) {
      const json = storableJson(JSON.stringify({ text }));
      await stack.sql('insert into kept values ($1, $2, $3, $4)', [index, storable(text), json, json]);
    }
    const rows = await stack.sql<{ t: string; b: { text: string } }>('select t, b from kept order by at');
    expect(rows.map(({ t }) => t)).toEqual(texts.map((text) => storable(text)));
    expect(rows.map(({ b }) => b.text)).toEqual(texts.map((text) => storable(text)));
    await expect(stack.sql('insert into kept (t) values ($1)', ['a\0b'])).rejects.toThrow();
    await expect(stack.sql('insert into kept (b) values ($1)', [JSON.stringify('\ud800')])).rejects.toThrow();
  });
});
