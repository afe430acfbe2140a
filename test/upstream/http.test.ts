/** Every answer and every failure of the HTTP helper, on real sockets. */
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  createUpstream,
  HoldError,
  parseExact,
  UpstreamError,
  type Upstream,
  type UpstreamOptions,
} from 'longwatch/upstream';
import { histories } from '../support/simulate';

type Handler = (req: http.IncomingMessage, res: http.ServerResponse) => void;

let handler: Handler;
let server: http.Server;
let origin: string;
let connections = 0;
const upstreams: Upstream[] = [];

beforeAll(async () => {
  server = http.createServer((req, res) => handler(req, res));
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => (connections = 0));
afterEach(async () => {
  await Promise.all(upstreams.splice(0).map((upstream) => upstream.close()));
});
afterAll(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});

function open(options: Partial<UpstreamOptions> = {}): Upstream {
  const upstream = createUpstream({ origin, connections: 1, ...options });
  upstreams.push(upstream);
  return upstream;
}

/** Answers with a status, headers and a body. */
const answering = (status: number, headers: http.OutgoingHttpHeaders = {}, body: string | Buffer = '{}'): Handler => {
  return (req, res) => {
    req.resume();
    res.writeHead(status, headers);
    res.end(body);
  };
};

async function failure(work: Promise<unknown>): Promise<UpstreamError | HoldError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof UpstreamError) && !(error instanceof HoldError)) throw new Error(`got ${inspect(error)}`);
  return error;
}

const at = (ms: number): string => new Date(ms).toUTCString();

describe('answers', () => {
  test('JSON, the ETag, any header by name', async () => {
    handler = answering(200, { ETag: '"v1"', 'X-Ratelimit-Remaining': '12' }, '{"name":"Zoë"}');
    const answer = await open().get('/a');
    expect(answer).toMatchObject({ status: 200, notModified: false, body: { name: 'Zoë' }, etag: '"v1"' });
    expect(answer.header('x-ratelimit-remaining')).toBe('12');
    expect(answer.header('x-ratelimit-used')).toBeUndefined();
  });

  test('a body in many pieces, cut within a character', async () => {
    const bytes = Buffer.from(JSON.stringify({ text: 'é'.repeat(1_000) }));
    handler = (_req, res) => {
      res.writeHead(200);
      res.write(bytes.subarray(0, 12));
      setImmediate(() => res.end(bytes.subarray(12)));
    };
    const { body } = await open().get<{ text: string }>('/a');
    expect(body.text).toBe('é'.repeat(1_000));
  });

  test('a 304 for the ETag that was sent', async () => {
    handler = (req, res) => answering(req.headers['if-none-match'] === '"v1"' ? 304 : 200, { ETag: '"v1"' })(req, res);
    const answer = await open().get('/a', { etag: '"v1"' });
    expect(answer).toMatchObject({ status: 304, notModified: true, body: undefined, etag: '"v1"' });
  });

  test('a 204 is null', async () => {
    handler = answering(204, {}, '');
    expect((await open().get('/a')).body).toBeNull();
  });

  test('headers of the upstream and of the request', async () => {
    let seen: http.IncomingHttpHeaders = {};
    handler = (req, res) => {
      seen = req.headers;
      answering(200)(req, res);
    };
    await open({ headers: { 'user-agent': 'tests' } }).get('/a', { headers: { authorization: 'Bearer x' } });
    expect(seen).toMatchObject({ 'user-agent': 'tests', authorization: 'Bearer x' });
  });

  test('post sends JSON, or a form', async () => {
    handler = (req, res) => {
      let text = '';
      req.on('data', (chunk: Buffer) => (text += chunk.toString()));
      req.on('end', () => answering(200, {}, JSON.stringify([req.headers['content-type'], text]))(req, res));
    };
    const upstream = open();
    expect((await upstream.post('/a', [1, 2])).body).toEqual(['application/json', '[1,2]']);
    const form = new URLSearchParams({ grant_type: 'refresh_token' });
    const type = 'application/x-www-form-urlencoded';
    expect((await upstream.post('/a', form)).body).toEqual([type, 'grant_type=refresh_token']);
  });
});

describe('expiry', () => {
  test('Expires is read by the server clock, however wrong that is', async () => {
    const serverNow = Date.now() - 3_600_000;
    handler = answering(200, { Date: at(serverNow), Expires: at(serverNow + 5_000) });
    const before = Date.now();
    const { expiresAt } = await open().get('/a');
    expect(expiresAt).toBeGreaterThanOrEqual(before + 5_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 6_000);
  });

  test('an answer with another clock, of another edge, changes nothing for the next', async () => {
    const upstream = open();
    handler = answering(200, { Date: 'Thu, 01 Jan 2099 00:00:00 GMT', Expires: 'Thu, 01 Jan 2099 00:00:05 GMT' });
    expect((await upstream.get('/a')).expiresAt).toBeLessThanOrEqual(Date.now() + 5_000);
    const before = Date.now();
    handler = answering(200, { Date: at(before), Expires: at(before + 60_000) });
    const { expiresAt } = await upstream.get('/a');
    expect(expiresAt).toBeGreaterThanOrEqual(before + 60_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  test('headers in any case, on several lines', async () => {
    handler = (_req, res) => {
      res.writeHead(200, ['CACHE-CONTROL', 'private', 'cache-Control', 'max-age=30', 'AGE', '10', 'Age', '29']);
      res.end('{}');
    };
    const before = Date.now();
    const { expiresAt } = await open().get('/a');
    expect(expiresAt! - before).toBeGreaterThanOrEqual(20_000);
    expect(expiresAt! - Date.now()).toBeLessThanOrEqual(20_000);
  });

  test('max-age where there is no Expires', async () => {
    handler = answering(200, { 'Cache-Control': 'private, max-age=30' });
    const before = Date.now();
    const { expiresAt } = await open().get('/a');
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
    handler = answering(200, headers);
    expect((await open().get('/a')).expiresAt).toBeUndefined();
  });
});

describe('holds', () => {
  test('429 with Retry-After in seconds', async () => {
    handler = answering(429, { 'Retry-After': '17' });
    const error = await failure(open().get('/a'));
    expect(error).toBeInstanceOf(HoldError);
    expect(error).toMatchObject({ afterMs: 17_000, scope: 'operation' });
  });

  test('503 with Retry-After as a date, by the server clock', async () => {
    const serverNow = Date.now() + 86_400_000;
    handler = answering(503, { Date: at(serverNow), 'Retry-After': at(serverNow + 20_000) });
    const error = await failure(open().get('/a'));
    expect(error).toBeInstanceOf(HoldError);
    expect((error as HoldError).afterMs).toBeGreaterThan(18_900);
    expect((error as HoldError).afterMs).toBeLessThan(22_000);
  });

  test.each([403, 502, 503, 504])('%i with Retry-After in seconds', async (status) => {
    handler = answering(status, { 'Retry-After': '20' });
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 20_000, scope: 'operation' });
  });

  test('503 without Retry-After is an error', async () => {
    handler = answering(503);
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'UpstreamError', status: 503, retryable: true });
  });

  test('420 holds the tracker until the error limit is reset', async () => {
    handler = answering(420, { 'X-ESI-Error-Limit-Reset': '42' });
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 42_000, scope: 'tracker' });
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
    handler = answering(429, { 'Retry-After': value });
    const upstream = open({ defaultHoldMs: 7_000 });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 7_000 });
    handler = answering(503, { 'Retry-After': value });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 7_000 });
  });

  test.each([
    ['0.2', 1_000],
    ['1', 1_000],
    [' 90 ', 90_000],
    ['99999999999', 7 * 86_400_000],
    ['9'.repeat(400), 7 * 86_400_000],
  ])('a Retry-After of %s is %i ms: a second at least, and a bounded time', async (value, afterMs) => {
    handler = answering(429, { 'Retry-After': value });
    expect(await failure(open({ defaultHoldMs: 0 }).get('/a'))).toMatchObject({ afterMs });
    handler = answering(429);
    expect(await failure(open({ defaultHoldMs: 0 }).get('/a'))).toMatchObject({ afterMs: 1_000 });
  });

  test.each([
    ['seconds', 1_000],
    ['milliseconds', 1],
  ])('a Retry-After in epoch %s', async (_unit, unit) => {
    const serverNow = Math.floor(Date.now() / 1_000) * 1_000 + 86_400_000;
    handler = answering(429, { Date: at(serverNow), 'Retry-After': String((serverNow + 60_000) / unit) });
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 60_000 });
  });

  test('403 with Retry-After, as GitHub says it, or of a limit that has nothing left', async () => {
    const upstream = open();
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    handler = answering(403, { 'Retry-After': '60' }, '{"message":"secondary rate limit"}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 60_000, scope: 'operation' });
    for (const [remaining, reset] of [
      ['X-RateLimit-Remaining', 'X-RateLimit-Reset'],
      ['x-rate-limit-remaining', 'x-rate-limit-reset'],
      ['RateLimit-Remaining', 'RateLimit-Reset'],
    ] as const) {
      for (const status of [403, 429]) {
        handler = answering(status, { Date: at(now), [remaining]: '0', [reset]: String(now / 1_000 + 40) });
        expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 40_000 });
        handler = answering(status, { [remaining]: '0', [reset]: '50' });
        expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 50_000 });
      }
      // There is something left: it is refused for another reason.
      handler = answering(403, { [remaining]: '7', [reset]: '50' });
      expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 403 });
    }
    handler = answering(403);
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 403, retryable: false });
  });

  test('429 that does not say how long', async () => {
    handler = answering(429);
    expect(await failure(open({ defaultHoldMs: 7_000 }).get('/a'))).toMatchObject({ afterMs: 7_000 });
  });

  test('the scope is the caller’s to choose', async () => {
    handler = answering(429, { 'Retry-After': '1' });
    expect(await failure(open({ holdScope: 'member' }).get('/a'))).toMatchObject({ scope: 'member' });
    const asked: unknown[] = [];
    const holdScope = (answer: { status: number; path: string }): HoldError['scope'] => {
      asked.push(answer);
      return 'tracker';
    };
    expect(await failure(open({ holdScope }).get('/b?x=1'))).toMatchObject({ scope: 'tracker' });
    expect(asked).toEqual([{ status: 429, path: '/b?x=1' }]);
  });

  test('a hold of another copy of the package is one too', () => {
    jest.isolateModules(() => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      const copy = require('longwatch/upstream') as { HoldError: typeof HoldError };
      expect(copy.HoldError).not.toBe(HoldError);
      expect(new copy.HoldError('x', { afterMs: 1 })).toBeInstanceOf(HoldError);
    });
    expect(new UpstreamError('x', { failure: 'closed', retryable: true })).not.toBeInstanceOf(HoldError);
  });
});

describe('failures', () => {
  test.each([
    [500, true],
    [502, true],
    [408, true],
    [404, false],
    [401, false],
    [302, false],
  ])('status %i', async (status, retryable) => {
    handler = answering(status, { Location: '/b' });
    const error = await failure(open().get('/a'));
    expect(error).toMatchObject({ failure: 'status', status, retryable, message: `GET /a: answered ${status}` });
  });

  test.each(['<html>', '{"a":'])('garbage: %j', async (body) => {
    handler = answering(200, {}, body);
    expect(await failure(open().get('/a'))).toMatchObject({ failure: 'garbage', status: 200, retryable: true });
  });

  test('10 MB are not read to the end', async () => {
    let closed: Promise<number> = Promise.reject(new Error('not asked'));
    closed.catch(() => undefined);
    handler = (req, res) => {
      closed = new Promise((resolve) => req.socket.once('close', () => resolve(req.socket.bytesWritten)));
      res.writeHead(200);
      const piece = Buffer.alloc(64 * 1024, ' ');
      let left = 160;
      const write = (): void => {
        while (left-- > 0) if (!res.write(piece)) return void res.once('drain', write);
        res.end();
      };
      write();
    };
    const error = await failure(open({ maxBodyBytes: 100_000 }).get('/a'));
    expect(error).toMatchObject({ failure: 'too large', retryable: false });
    expect(await closed).toBeLessThan(9 * 1024 * 1024);
  });

  test('a body of exactly the limit is taken', async () => {
    handler = answering(200, {}, '"12345678"');
    expect((await open({ maxBodyBytes: 10 }).get('/a')).body).toBe('12345678');
    expect(await failure(open({ maxBodyBytes: 9 }).get('/a'))).toMatchObject({ failure: 'too large' });
  });

  test('a hang ends at the time-out and closes its connection', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    handler = (req) => {
      closed = new Promise((resolve) => req.socket.once('close', resolve));
    };
    const began = performance.now();
    expect(await failure(open({ timeoutMs: 100 }).get('/a'))).toMatchObject({ failure: 'timeout', retryable: true });
    expect(performance.now() - began).toBeGreaterThanOrEqual(100);
    expect(performance.now() - began).toBeLessThan(1_000);
    await closed;
  });

  test('a drip that never ends is no answer', async () => {
    let timer: NodeJS.Timeout | undefined;
    handler = (_req, res) => {
      res.writeHead(200);
      timer = setInterval(() => res.write(' '), 20);
    };
    expect(await failure(open().get('/a', { timeoutMs: 150 }))).toMatchObject({ failure: 'timeout' });
    clearInterval(timer);
  });

  test('waiting for a connection counts, and what timed out there is never sent', async () => {
    const paths: string[] = [];
    handler = (req) => void paths.push(req.url!);
    const upstream = open();
    const first = failure(upstream.get('/first', { timeoutMs: 300 }));
    expect(await failure(upstream.get('/second', { timeoutMs: 100 }))).toMatchObject({ failure: 'timeout' });
    await first;
    handler = (req, res) => {
      paths.push(req.url!);
      answering(200)(req, res);
    };
    await upstream.get('/third');
    expect(paths).toEqual(['/first', '/third']);
  });

  test('a closed socket, before and within the answer', async () => {
    handler = (req) => req.socket.destroy();
    const upstream = open();
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'closed', status: 0, retryable: true });
    handler = (req, res) => {
      res.writeHead(200, { 'Content-Length': '100' });
      res.write('{');
      setImmediate(() => req.socket.destroy());
    };
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'closed', retryable: true });
    handler = answering(200);
    expect((await upstream.get('/a')).status).toBe(200);
  });

  test('what is no HTTP', async () => {
    const sockets: net.Socket[] = [];
    const raw = net.createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.end('SSH-2.0-OpenSSH_9\r\n\r\n');
    });
    await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
    const upstream = open({ origin: `http://127.0.0.1:${(raw.address() as AddressInfo).port}` });
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'closed', retryable: true });
    const closed = new Promise((resolve) => raw.close(resolve));
    await upstream.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });

  test('nobody there', async () => {
    const gone = http.createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const error = await failure(open({ origin: `http://127.0.0.1:${port}` }).get('/a'));
    expect(error).toMatchObject({ failure: 'closed', retryable: true });
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('the caller aborts, before or while it runs', async () => {
    const asked = new Promise<void>((resolve) => (handler = () => resolve()));
    const upstream = open();
    const controller = new AbortController();
    const request = failure(upstream.get('/a', { signal: controller.signal }));
    await asked;
    controller.abort(new Error('enough'));
    expect(await request).toMatchObject({ failure: 'aborted', retryable: true });
    expect(await failure(upstream.get('/a', { signal: controller.signal }))).toMatchObject({ failure: 'aborted' });
  });

  test('closing ends what is under way', async () => {
    const asked = new Promise<void>((resolve) => (handler = () => resolve()));
    const upstream = open();
    const request = failure(upstream.get('/a'));
    await asked;
    await upstream.close();
    expect(await request).toMatchObject({ failure: 'aborted' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'aborted' });
  });

  test('a request that cannot be sent', async () => {
    const upstream = open();
    for (const path of ['a', 'http://user:hunter2@example.org/', '/a b']) {
      const error = await failure(upstream.get(path));
      expect(error).toMatchObject({ failure: 'request', retryable: false });
      expect(error.message).not.toContain('hunter2');
    }
    const wrong: Record<string, string>[] = [
      { authorization: 'Bearer hun\nter2' },
      { 'bad name': '1' },
      { Connection: 'close' },
    ];
    for (const headers of wrong) {
      expect(await failure(upstream.get('/a', { headers }))).toMatchObject({ failure: 'request' });
    }
    expect(await failure(upstream.get('/a', { etag: '"\r\n"' }))).toMatchObject({ failure: 'request' });
    expect(() => open({ headers: { authorization: 'hun\nter2' } })).toThrow(/^headers hold one that cannot be sent$/);
    // The one connection is still there to be used.
    handler = answering(200);
    expect((await upstream.get('/a')).status).toBe(200);
  });

  test.each(['nonsense', 'ftp://example.org', 'http://user:hunter2@example.org', 'http://example.org/path'])(
    'an origin that is none: %s',
    (wrong) => {
      expect(() => createUpstream({ origin: wrong })).toThrow(/^origin must/);
    },
  );
});

describe('judge', () => {
  test('makes a hold of any answer: by its status, its headers or its body', async () => {
    const upstream = open({
      judge: (answer) => {
        if (answer.status === 400 && answer.header('x-limit') === 'hit') return { afterMs: 5_000, scope: 'member' };
        if (answer.status === 200 && /rate limit/.test(answer.text)) return {};
        if ((answer.body as { code?: number } | undefined)?.code === 31) return { afterMs: NaN };
        return answer.status === 429 ? false : undefined;
      },
    });
    handler = answering(400, { 'X-Limit': 'hit' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 5_000, scope: 'member' });
    handler = answering(200, {}, '{"error":"rate limit"}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000, scope: 'operation' });
    handler = answering(200, {}, '<h1>rate limit</h1>');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000 });
    handler = answering(500, {}, '{"code":31}');
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 15_000 });
    handler = answering(429, { 'Retry-After': '5' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 429, retryable: true });
    // An answer that it says nothing about is as it was.
    handler = answering(503, { 'Retry-After': '5' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 5_000 });
    handler = answering(404);
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'status', status: 404 });
    handler = answering(200, {}, '{"a":1}');
    expect((await upstream.get('/a')).body).toEqual({ a: 1 });
    expect(connections).toBe(1);
  });

  test('what it throws is the request’s error, and the connection lives on', async () => {
    const upstream = open({
      judge: () => {
        throw new RangeError('judge is wrong');
      },
    });
    for (const status of [200, 429, 500]) {
      handler = answering(status);
      await expect(upstream.get('/a')).rejects.toThrow(new RangeError('judge is wrong'));
    }
    expect(connections).toBe(1);
  });

  test('a refusal can be asked for its headers and its body, packed or not', async () => {
    const body = '{"error":{"code":-32005,"message":"batch too large"}}';
    const upstream = open();
    for (const [headers, bytes] of [
      [{}, body],
      [{ 'Content-Encoding': 'gzip' }, gzipSync(body)],
    ] as const) {
      handler = answering(400, { ...headers, 'X-Trace': 'abc' }, bytes);
      const error = (await failure(upstream.get('/a'))) as UpstreamError;
      expect([error.header('x-trace'), error.text, error.body]).toEqual(['abc', body, JSON.parse(body)]);
    }
    handler = answering(404, {}, 'x'.repeat(300_000));
    const long = (await failure(upstream.get('/a'))) as UpstreamError;
    expect(long.text.length).toBeGreaterThanOrEqual(64 * 1024);
    expect(long.text.length).toBeLessThan(200_000);
    expect(long.body).toBeUndefined();
    expect(connections).toBe(1);
  });
});

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
    handler = answering(200, headers, bytes);
    const answer = await open().get('/a');
    expect(answer.body).toEqual(cafe);
    expect(answer.text).toBe(text);
  });

  test('the letters of windows-1252 that Latin-1 has not', async () => {
    handler = answering(200, json('windows-1252'), Buffer.from([0x22, 0x80, 0x81, 0x92, 0x9f, 0xe9, 0x22]));
    expect((await open().get('/a')).body).toBe('€\x81’Ÿé');
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
    handler = answering(200, headers, bytes);
    const error = await failure(open().get('/a'));
    expect(error).toMatchObject({ failure: 'garbage', status: 200, retryable: true });
    expect(error.message).toMatch(message);
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
  ])('a bomb in %s is not unpacked past the limit', async (how, pack) => {
    const upstream = open({ maxBodyBytes: 100_000 });
    handler = answering(200, packed(how), pack(Buffer.from(`"${' '.repeat(99_998)}"`)));
    expect((await upstream.get<string>('/a')).body).toHaveLength(99_998);
    handler = answering(200, packed(how), pack(Buffer.alloc(50_000_000, ' ')));
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'too large', status: 200, retryable: false });
    expect(connections).toBe(1);
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
    handler = answering(status, headers, body);
    expect((await open().get('/a')).body).toBeNull();
  });

  test('whole numbers beyond 2^53, in the text or exactly', async () => {
    const ids =
      '{"id":9007199254740993,"n":[-9007199254740993, 9007199254740991,1e20,1.2345678901234567],"t":"9007199254740993\\""}';
    handler = answering(200, {}, ids);
    expect((await open().get('/a')).text).toBe(ids);
    const exact = await open({ exactIntegers: true }).get('/a');
    expect(exact.body).toEqual({
      id: '9007199254740993',
      n: ['-9007199254740993', 9007199254740991, 1e20, 1.2345678901234567],
      t: '9007199254740993"',
    });
    const own = await open().get('/a', { parse: (body) => body.length });
    expect(own.body).toBe(ids.length);
    handler = answering(200, {}, '<a/>');
    expect((await open().get('/a', { parse: (body) => body })).body).toBe('<a/>');
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

test('a connection is used again after every kind of complete answer', async () => {
  const upstream = open();
  for (const [status, body] of [
    [200, '{}'],
    [200, 'garbage'],
    [404, 'x'.repeat(10_000)],
    [500, 'x'.repeat(10_000)],
    [429, 'x'.repeat(10_000)],
    [304, ''],
    [204, ''],
  ] as const) {
    handler = answering(status, {}, body);
    await upstream.get('/a').catch(() => undefined);
  }
  expect(connections).toBe(1);
});

test('no secret is in any error', async () => {
  const secrets = ['hunter2', 'sk_live_0123456789abcdefghij', 'Bearer'];
  const path = '/v3/sk_live_0123456789abcdefghij/wallet?token=hunter2#hunter2';
  const upstream = open({ timeoutMs: 100, maxBodyBytes: 1_000, headers: { 'x-api-key': 'hunter2' } });
  const aborted = AbortSignal.abort(new Error('hunter2'));
  const handlers: Handler[] = [
    answering(500, {}, 'hunter2'),
    answering(429, { 'Set-Cookie': 'hunter2' }, 'hunter2'),
    answering(200, {}, 'hunter2 is no JSON'),
    answering(200, {}, `"${'hunter2'.repeat(1_000)}"`),
    (req) => req.socket.destroy(),
    () => undefined,
  ];
  const headers = { authorization: 'Bearer hunter2' };
  const errors: Error[] = [await failure(upstream.get(path, { headers, signal: aborted }))];
  handler = answering(500);
  errors.push(await failure(upstream.get('/a?t=hunter2')), await failure(upstream.get('/a#hunter2')));
  for (handler of handlers) errors.push(await failure(upstream.post(path, { secret: 'hunter2' }, { headers })));
  await upstream.close();
  errors.push(await failure(upstream.get(path, { headers })));
  expect(errors).toHaveLength(handlers.length + 4);
  for (const error of errors) {
    const all = `${inspect(error, { depth: 10, showHidden: true })} ${JSON.stringify(error)}`;
    for (const secret of secrets) expect(all).not.toContain(secret);
  }
});
