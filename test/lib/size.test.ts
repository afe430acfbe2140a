import fc from 'fast-check';
import { jsonBytes, utf8Bytes } from '../../workflows/lib/size';
import { histories } from '../support/simulate';

test('bytes of any text are those of its UTF-8, half surrogate pairs included', () => {
  for (const text of [
    '',
    'abc',
    'é',
    'Ж',
    '好',
    '😀',
    '\ud83d',
    '\ude00',
    '\ude00\ud83d',
    'a\ud83db',
    '\0',
    'x😀\ud800',
  ]) {
    expect([text, utf8Bytes(text)]).toEqual([text, Buffer.byteLength(text, 'utf8')]);
  }
  fc.assert(
    fc.property(fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((n) => String.fromCharCode(n)) }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text, 'utf8'));
    }),
    histories(),
  );
});

test('bytes of any value are those of its JSON, escapes included', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      expect(jsonBytes(value)).toBe(Buffer.byteLength(JSON.stringify(value), 'utf8'));
    }),
    histories(),
  );
  expect(jsonBytes('\u0000"\n\ud800')).toBe(Buffer.byteLength(JSON.stringify('\u0000"\n\ud800')));
  expect(jsonBytes([undefined, { a: undefined, b: new Date(0) }])).toBe(
    '[null,{"b":"1970-01-01T00:00:00.000Z"}]'.length,
  );
  expect(jsonBytes(undefined)).toBe(0);
  expect(() => jsonBytes(1n)).toThrow(TypeError);
});
