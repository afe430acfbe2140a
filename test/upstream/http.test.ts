/** Every answer and every failure of the HTTP helper, on real sockets. */
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { createUpstream, HoldError, UpstreamError, type Upstream, type UpstreamOptions } from 'longwatch/upstream';

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
const answering = (status: number, headers: http.OutgoingHttpHeaders = {}, body = '{}'): Handler => {
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

  test('several answers within a second place the expiry more exactly, and never early', async () => {
    const upstream = open();
    // The server's clock: ten minutes ahead. Its first answer comes late in a second, the second just after one began.
    const ahead = 600_000;
    const second = Math.floor((Date.now() + ahead) / 1_000) * 1_000;
    handler = answering(200, { Date: at(second - 1_000), Expires: at(second + 4_000) });
    const first = (await upstream.get('/a')).expiresAt!;
    handler = answering(200, { Date: at(second + 1_000), Expires: at(second + 4_000) });
    const better = (await upstream.get('/a')).expiresAt!;
    expect(first - better).toBeGreaterThan(1_900);
    handler = answering(200, { Date: at(second), Expires: at(second + 4_000) });
    expect((await upstream.get('/a')).expiresAt).toBe(better);
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

  test('503 without Retry-After is an error', async () => {
    handler = answering(503);
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'UpstreamError', status: 503, retryable: true });
  });

  test('420 holds the tracker until the error limit is reset', async () => {
    handler = answering(420, { 'X-ESI-Error-Limit-Reset': '42' });
    expect(await failure(open().get('/a'))).toMatchObject({ name: 'HoldError', afterMs: 42_000, scope: 'tracker' });
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

  test.each(['<html>', '', '{"a":'])('garbage: %j', async (body) => {
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
