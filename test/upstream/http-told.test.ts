/** The HTTP helper hears what an upstream says of time and of limits: expiries, holds, `judge`. */
import type http from 'node:http';
import { gzipSync } from 'node:zlib';
import { HoldError, UpstreamError } from 'longwatch/upstream';
import { answering, answeringServer, at, failure } from './answering-server';

const server = answeringServer();

describe('expiry', () => {
  test('Expires is read by the server clock, however wrong that is', async () => {
    const serverNow = Date.now() - 3_600_000;
    server.handler = answering(200, { Date: at(serverNow), Expires: at(serverNow + 5_000) });
    const before = Date.now();
    const { expiresAt } = await server.open().get('/a');
    expect(expiresAt).toBeGreaterThanOrEqual(before + 5_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 6_000);
  });

  test('an answer with another clock, of another edge, changes nothing for the next', async () => {
    const upstream = server.open();
    server.handler = answering(200, {
      Date: 'Thu, 01 Jan 2099 00:00:00 GMT',
      Expires: 'Thu, 01 Jan 2099 00:00:05 GMT',
    });
    expect((await upstream.get('/a')).expiresAt).toBeLessThanOrEqual(Date.now() + 5_000);
    const before = Date.now();
    server.handler = answering(200, { Date: at(before), Expires: at(before + 60_000) });
    const { expiresAt } = await upstream.get('/a');
    expect(expiresAt).toBeGreaterThanOrEqual(before + 60_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  test('headers in any case, on several lines', async () => {
    server.handler = (_req, res) => {
      res.writeHead(200, ['CACHE-CONTROL', 'private', 'cache-Control', 'max-age=30', 'AGE', '10', 'Age', '29']);
      res.end('{}');
    };
    const before = Date.now();
    const { expiresAt } = await server.open().get('/a');
    expect(expiresAt! - before).toBeGreaterThanOrEqual(20_000);
    expect(expiresAt! - Date.now()).toBeLessThanOrEqual(20_000);
  });

  test('max-age where there is no Expires', async () => {
    server.handler = answering(200, { 'Cache-Control': 'private, max-age=30' });
    const before = Date.now();
    const { expiresAt } = await server.open().get('/a');
    expect(expiresAt).toBeGreaterThanOrEqual(before + 30_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 30_000);
  });

  test.each([
    ['none', {}],
    ['Expires: 0', { Expires: '0' }],
    ['one that is over', { Date: at(Date.now()), Expires: at(Date.now() - 60_000) }],
    ['s-maxage only', { 'Cache-Control': 's-maxage=30' }],
    ['an answer that no other request matches', { 'Cache-Control': 'max-age=30', Vary: ['accept', '*'] }],
  ])('no expiry: %s', async (_name, headers: http.OutgoingHttpHeaders) => {
    server.handler = answering(200, headers);
    expect((await server.open().get('/a')).expiresAt).toBeUndefined();
  });
});

describe('holds', () => {
  test('429 with Retry-After in seconds', async () => {
    server.handler = answering(429, { 'Retry-After': '17' });
    const error = await failure(server.open().get('/a'));
    expect(error).toBeInstanceOf(HoldError);
    expect(error).toMatchObject({ afterMs: 17_000, scope: 'operation' });
  });

  test('503 with Retry-After as a date, by the server clock', async () => {
    const serverNow = Date.now() + 86_400_000;
    server.handler = answering(503, { Date: at(serverNow), 'Retry-After': at(serverNow + 20_000) });
    const error = await failure(server.open().get('/a'));
    expect(error).toBeInstanceOf(HoldError);
    expect((error as HoldError).afterMs).toBeGreaterThan(18_900);
    expect((error as HoldError).afterMs).toBeLessThan(22_000);
  });

  test.each([403, 502, 503, 504])('%i with Retry-After in seconds', async (status) => {
    server.handler = answering(status, { 'Retry-After': '20' });
    expect(await failure(server.open().get('/a'))).toMatchObject({
      name: 'HoldError',
      afterMs: 20_000,
      scope: 'operation',
    });
  });

  test('503 without Retry-After is an error', async () => {
    server.handler = answering(503);
    expect(await failure(server.open().get('/a'))).toMatchObject({
      name: 'UpstreamError',
      status: 503,
      retryable: true,
    });
  });

  test('420 holds the tracker until the error limit is reset', async () => {
    server.handler = answering(420, { 'X-ESI-Error-Limit-Reset': '42' });
    expect(await failure(server.open().get('/a'))).toMatchObject({
      name: 'HoldError',
      afterMs: 42_000,
      scope: 'tracker',
    });
  });

  test.each([
    '-1',
    '120;',
    '10, 20',
    '0',
    '',
    'soon',
    'NaN',
    'Mon, 01 Jan 2024 00:00:00 GMT',
    '1700000000',
    '-Infinity',
  ])('a Retry-After of %j is the default', async (value) => {
    server.handler = answering(429, { 'Retry-After': value });
    const upstream = server.open({ defaultHoldMs: 7_000 });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 7_000 });
    server.handler = answering(503, { 'Retry-After': value });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 7_000 });
  });

  test.each([
    ['0.2', 1_000],
    ['1', 1_000],
    [' 90 ', 90_000],
    ['99999999999', 7 * 86_400_000],
    ['9'.repeat(400), 7 * 86_400_000],
  ])('a Retry-After of %s is %i ms: a second at least, and a bounded time', async (value, afterMs) => {
    server.handler = answering(429, { 'Retry-After': value });
    expect(await failure(server.open({ defaultHoldMs: 0 }).get('/a'))).toMatchObject({ afterMs });
    server.handler = answering(429);
    expect(await failure(server.open({ defaultHoldMs: 0 }).get('/a'))).toMatchObject({ afterMs: 1_000 });
  });

  test.each([
    ['seconds', 1_000],
    ['milliseconds', 1],
  ])('a Retry-After in epoch %s', async (_unit, unit) => {
    const serverNow = Math.floor(Date.now() / 1_000) * 1_000 + 86_400_000;
    server.handler = answering(429, { Date: at(serverNow), 'Retry-After': String((serverNow + 60_000) / unit) });
    expect(await failure(server.open().get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 60_000 });
  });

  test('403 with Retry-After, as GitHub says it, or of a limit that has nothing left', async () => {
    const upstream = server.open();
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    server.handler = answering(403, { 'Retry-After': '60' }, '{"message":"secondary rate limit"}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 60_000, scope: 'operation' });
    for (const [remaining, reset] of [
      ['X-RateLimit-Remaining', 'X-RateLimit-Reset'],
      ['x-rate-limit-remaining', 'x-rate-limit-reset'],
      ['RateLimit-Remaining', 'RateLimit-Reset'],
    ] as const) {
      for (const status of [403, 429]) {
        server.handler = answering(status, { Date: at(now), [remaining]: '0', [reset]: String(now / 1_000 + 40) });
        expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 40_000 });
        server.handler = answering(status, { [remaining]: '0', [reset]: '50' });
        expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 50_000 });
      }
      // There is something left: it is refused for another reason.
      server.handler = answering(403, { [remaining]: '7', [reset]: '50' });
      expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 403 });
    }
    server.handler = answering(403);
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 403, retryable: false });
  });

  test('429 that does not say how long', async () => {
    server.handler = answering(429);
    expect(await failure(server.open({ defaultHoldMs: 7_000 }).get('/a'))).toMatchObject({ afterMs: 7_000 });
  });

  test('the scope is the caller’s to choose', async () => {
    server.handler = answering(429, { 'Retry-After': '1' });
    expect(await failure(server.open({ holdScope: 'member' }).get('/a'))).toMatchObject({ scope: 'member' });
    const asked: unknown[] = [];
    const holdScope = (answer: { status: number; path: string }): HoldError['scope'] => {
      asked.push(answer);
      return 'tracker';
    };
    expect(await failure(server.open({ holdScope }).get('/b?x=1'))).toMatchObject({ scope: 'tracker' });
    expect(asked).toEqual([{ status: 429, path: '/b?x=1' }]);
  });

  test('a hold of another copy of the package is one too', () => {
    jest.isolateModules(() => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- only a require has a copy of its own here
      const copy = require('longwatch/upstream') as { HoldError: typeof HoldError };
      expect(copy.HoldError).not.toBe(HoldError);
      expect(new copy.HoldError('x', { afterMs: 1 })).toBeInstanceOf(HoldError);
    });
    expect(new UpstreamError('x', { failure: 'closed', retryable: true })).not.toBeInstanceOf(HoldError);
  });
});

describe('judge', () => {
  test('makes a hold of any answer: by its status, its headers or its body', async () => {
    const upstream = server.open({
      judge: (answer) => {
        if (answer.status === 400 && answer.header('x-limit') === 'hit') return { afterMs: 5_000, scope: 'member' };
        if (answer.status === 200 && /rate limit/.test(answer.text)) return {};
        if ((answer.body as { code?: number } | undefined)?.code === 31) return { afterMs: NaN };
        return answer.status === 429 ? false : undefined;
      },
    });
    server.handler = answering(400, { 'X-Limit': 'hit' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 5_000, scope: 'member' });
    server.handler = answering(200, {}, '{"error":"rate limit"}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000, scope: 'operation' });
    server.handler = answering(200, {}, '<h1>rate limit</h1>');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000 });
    server.handler = answering(500, {}, '{"code":31}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000 });
    server.handler = answering(429, { 'Retry-After': '5' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 429, retryable: true });
    // An answer that it says nothing about is as it was.
    server.handler = answering(503, { 'Retry-After': '5' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 5_000 });
    server.handler = answering(404);
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 404 });
    server.handler = answering(200, {}, '{"a":1}');
    expect((await upstream.get('/a')).body).toEqual({ a: 1 });
    expect(server.connections).toBe(1);
  });

  test('what it throws is the request’s error, and the connection lives on', async () => {
    const upstream = server.open({
      judge: () => {
        throw new RangeError('judge is wrong');
      },
    });
    for (const status of [200, 429, 500]) {
      server.handler = answering(status);
      await expect(upstream.get('/a')).rejects.toThrow(new RangeError('judge is wrong'));
    }
    expect(server.connections).toBe(1);
  });

  test('a refusal can be asked for its headers and its body, packed or not', async () => {
    const body = '{"error":{"code":-32005,"message":"batch too large"}}';
    const upstream = server.open();
    for (const [headers, bytes] of [
      [{}, body],
      [{ 'Content-Encoding': 'gzip' }, gzipSync(body)],
    ] as const) {
      server.handler = answering(400, { ...headers, 'X-Trace': 'abc' }, bytes);
      const error = (await failure(upstream.get('/a'))) as UpstreamError;
      expect([error.header('x-trace'), error.text, error.body]).toEqual(['abc', body, JSON.parse(body)]);
    }
    server.handler = answering(404, {}, 'x'.repeat(300_000));
    const long = (await failure(upstream.get('/a'))) as UpstreamError;
    expect(long.text.length).toBeGreaterThanOrEqual(64 * 1024);
    expect(long.text.length).toBeLessThan(200_000);
    expect(long.body).toBeUndefined();
    expect(server.connections).toBe(1);
  });
});
