/** Bodies as upstreams send them: letters, packing, sizes, whole numbers, on real sockets. */
import type http from 'node:http';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parseExact } from 'longwatch/upstream';
import { histories } from '../support/simulate';
import { answering, answeringServer, failure } from './answering-server';

const server = answeringServer();

describe('bodies', () => {
  const utf16 = (text: string, bigEndian: boolean): Buffer => {
    const bytes = Buffer.from(text, 'utf16le');
    return bigEndian ? bytes.swap16() : bytes;
  };
  const json = (charset?: string): http.OutgoingHttpHeaders =>
    charset === undefined ? {} : { 'Content-Type': `application/json; charset=${charset}` };
  const cafe = { name: 'Café' };
  const text = JSON.stringify(cafe);
  const packed = (...how: string[]): http.OutgoingHttpHeaders => ({ 'Content-Encoding': how.join(', ') });
  const mark = Buffer.from([0xef, 0xbb, 0xbf]);

  test.each<[string, http.OutgoingHttpHeaders, Buffer]>([
    ['UTF-8', {}, Buffer.from(text)],
    ['UTF-8 by name', json('UTF-8'), Buffer.from(text)],
    ['a byte order mark', {}, Buffer.concat([mark, Buffer.from(text)])],
    ['a byte order mark against the label', json('iso-8859-1'), Buffer.concat([mark, Buffer.from(text)])],
    ['Latin-1', json('iso-8859-1'), Buffer.from(text, 'latin1')],
    ['Latin-1 in quotes', json('"ISO-8859-1"'), Buffer.from(text, 'latin1')],
    ['windows-1252', json('windows-1252'), Buffer.from(text, 'latin1')],
    ['UTF-16, little end first', json('utf-16le'), utf16(text, false)],
    ['UTF-16, big end first', json('utf-16be'), utf16(text, true)],
    ['UTF-16 by its mark', json('utf-16'), utf16(`\ufeff${text}`, true)],
    ['UTF-16 by its mark alone', {}, utf16(`\ufeff${text}`, false)],
    ['UTF-16 without a mark', json('utf-16'), utf16(text, true)],
    ['gzip', packed('gzip'), gzipSync(text)],
    ['x-gzip', packed('x-GZIP'), gzipSync(text)],
    ['two gzips in a row', packed('gzip'), Buffer.concat([gzipSync(text.slice(0, 5)), gzipSync(text.slice(5))])],
    ['br', packed('br'), brotliCompressSync(text)],
    ['deflate', packed('deflate'), deflateSync(text)],
    ['deflate without its header', packed('deflate'), deflateRawSync(text)],
    ['identity', packed('identity'), Buffer.from(text)],
    ['one in the other', packed('gzip', 'br'), brotliCompressSync(gzipSync(text))],
    ['packed, in Latin-1', { ...packed('gzip'), ...json('iso-8859-1') }, gzipSync(Buffer.from(text, 'latin1'))],
  ])('%s', async (_what, headers, bytes) => {
    server.handler = answering(200, headers, bytes);
    const answer = await server.open().get('/a');
    expect(answer.body).toEqual(cafe);
    expect(answer.text).toBe(text);
  });

  test('the letters of windows-1252 that Latin-1 has not', async () => {
    server.handler = answering(200, json('windows-1252'), Buffer.from([0x22, 0x80, 0x81, 0x92, 0x9f, 0xe9, 0x22]));
    expect((await server.open().get('/a')).body).toBe('€\x81’Ÿé');
  });

  test.each<[string, http.OutgoingHttpHeaders, Buffer, RegExp]>([
    ['Latin-1 that does not say so', {}, Buffer.from(text, 'latin1'), /not UTF-8 and names no charset$/],
    ['Latin-1 that says UTF-8', json('utf-8'), Buffer.from(text, 'latin1'), /not the UTF-8 it says$/],
    ['an unknown charset', json('klingon'), Buffer.from(text), /charset "klingon" that is not known$/],
    ['half a character of UTF-16', json('utf-16le'), Buffer.from('{}x'), /not in its charset utf-16le$/],
    ['an unknown packing', packed('zstd'), Buffer.from(text), /packed \(zstd\); gzip, br and deflate can be read$/],
    ['gzip that is none', packed('gzip'), Buffer.from(text), /cannot be unpacked \(gzip\)$/],
    ['gzip that ends early', packed('gzip'), gzipSync(text).subarray(0, 20), /cannot be unpacked \(gzip\)$/],
    ['four layers', packed('gzip', 'gzip', 'gzip', 'gzip'), Buffer.from(text), /packed 4 times$/],
  ])('%s is an error that says so', async (_what, headers, bytes, message) => {
    server.handler = answering(200, headers, bytes);
    const error = await failure(server.open().get('/a'));
    expect(error).toMatchObject({ failure: 'garbage', status: 200, retryable: true });
    expect(error.message).toMatch(message);
  });

  test.each([
    ['gzip', gzipSync],
    ['br', (text: Buffer) => brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
  ])('a bomb in %s is not unpacked past the limit', async (how, pack) => {
    // Packed before there is a connection, which would be closed where that takes long.
    const bomb = pack(Buffer.alloc(50_000_000, ' '));
    const upstream = server.open({ maxBodyBytes: 100_000 });
    server.handler = answering(200, packed(how), pack(Buffer.from(`"${' '.repeat(99_998)}"`)));
    expect((await upstream.get<string>('/a')).body).toHaveLength(99_998);
    server.handler = answering(200, packed(how), bomb);
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'too large', status: 200, retryable: false });
    expect(server.connections).toBe(1);
  });

  test.each([
    ['200', 200, {}, ''],
    ['202', 202, {}, ''],
    ['204', 204, {}, ''],
    ['a packed nothing', 200, { 'Content-Encoding': 'gzip' }, ''],
    ['a packed nothing, packed', 200, { 'Content-Encoding': 'gzip' }, gzipSync('')],
    ['a line', 200, {}, '\r\n'],
    ['a mark', 200, {}, mark],
  ])('an empty body is null: %s', async (_what, status, headers, body) => {
    server.handler = answering(status, headers, body);
    expect((await server.open().get('/a')).body).toBeNull();
  });

  test('whole numbers beyond 2^53, in the text or exactly', async () => {
    const ids =
      '{"id":9007199254740993,"n":[-9007199254740993, 9007199254740991,1e20,1.2345678901234567],"t":"9007199254740993\\""}';
    server.handler = answering(200, {}, ids);
    expect((await server.open().get('/a')).text).toBe(ids);
    const exact = await server.open({ exactIntegers: true }).get('/a');
    expect(exact.body).toEqual({
      id: '9007199254740993',
      n: ['-9007199254740993', 9007199254740991, 1e20, 1.2345678901234567],
      t: '9007199254740993"',
    });
    const own = await server.open().get('/a', { parse: (body) => body.length });
    expect(own.body).toBe(ids.length);
    server.handler = answering(200, {}, '<a/>');
    expect((await server.open().get('/a', { parse: (body) => body })).body).toBe('<a/>');
  });

  test('exact reading is JSON.parse but for long integers', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const short = (_key: string, one: unknown): unknown =>
          Number.isInteger(one) && !Number.isSafeInteger(one) ? 0 : one;
        const plain = JSON.stringify(value, short);
        expect(parseExact(plain)).toEqual(JSON.parse(plain));
        const mixed = `[${plain},{"a":12345678901234567890123},${JSON.stringify(plain)}]`;
        expect(parseExact(mixed)).toEqual([JSON.parse(plain), { a: '12345678901234567890123' }, plain]);
      }),
      histories(500),
    );
    expect(() => parseExact('[0123456789012345678]')).toThrow(SyntaxError);
    expect(() => parseExact('["a 12345678901234567]')).toThrow(SyntaxError);
    const long = `["${'x\\"'.repeat(2_000_000)}",12345678901234567]`;
    expect((parseExact(long) as string[])[1]).toBe('12345678901234567');
    // Megabytes of text, with escapes and without.
    for (const letters of ['a', '\\n', '\\\\']) {
      const much = `{"text":"${letters.repeat(12_000_000)}\\"","id":12345678901234567}`;
      expect((parseExact(much) as { id: string }).id).toBe('12345678901234567');
    }
  });
});
