/** Answers and failures of the HTTP helper, on real sockets. */
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { createUpstream } from 'longwatch/upstream';
import { answering, answeringServer, failure, type Handler } from './answering-server';
import { stopwatch } from '../support/stopwatch';

const server = answeringServer();

describe('answers', () => {
  test('JSON, the ETag, any header by name', async () => {
    server.handler = answering(200, { ETag: '"v1"', 'X-Ratelimit-Remaining': '12' }, '{"name":"Zoë"}');
    const answer = await server.open().get('/a');
    expect(answer).toMatchObject({ status: 200, notModified: false, body: { name: 'Zoë' }, etag: '"v1"' });
    expect(answer.header('x-ratelimit-remaining')).toBe('12');
    expect(answer.header('x-ratelimit-used')).toBeUndefined();
  });

  test('a body in many pieces, cut within a character', async () => {
    const bytes = Buffer.from(JSON.stringify({ text: 'é'.repeat(1_000) }));
    server.handler = (_req, res) => {
      res.writeHead(200);
      res.write(bytes.subarray(0, 12));
      setImmediate(() => res.end(bytes.subarray(12)));
    };
    const { body } = await server.open().get<{ text: string }>('/a');
    expect(body.text).toBe('é'.repeat(1_000));
  });

  test('a 304 for the ETag that was sent', async () => {
    server.handler = (req, res) =>
      answering(req.headers['if-none-match'] === '"v1"' ? 304 : 200, { ETag: '"v1"' })(req, res);
    const answer = await server.open().get('/a', { etag: '"v1"' });
    expect(answer).toMatchObject({ status: 304, notModified: true, body: undefined, etag: '"v1"' });
  });

  test('a 204 is null', async () => {
    server.handler = answering(204, {}, '');
    expect((await server.open().get('/a')).body).toBeNull();
  });

  test('headers of the upstream and of the request', async () => {
    let seen: http.IncomingHttpHeaders = {};
    server.handler = (req, res) => {
      seen = req.headers;
      answering(200)(req, res);
    };
    await server.open({ headers: { 'user-agent': 'tests' } }).get('/a', { headers: { authorization: 'Bearer x' } });
    expect(seen).toMatchObject({ 'user-agent': 'tests', authorization: 'Bearer x' });
  });

  test('post sends JSON, or a form', async () => {
    server.handler = (req, res) => {
      let text = '';
      req.on('data', (chunk: Buffer) => (text += chunk.toString()));
      req.on('end', () => answering(200, {}, JSON.stringify([req.headers['content-type'], text]))(req, res));
    };
    const upstream = server.open();
    expect((await upstream.post('/a', [1, 2])).body).toEqual(['application/json', '[1,2]']);
    const form = new URLSearchParams({ grant_type: 'refresh_token' });
    const type = 'application/x-www-form-urlencoded';
    expect((await upstream.post('/a', form)).body).toEqual([type, 'grant_type=refresh_token']);
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
    server.handler = answering(status, { Location: '/b' });
    const error = await failure(server.open().get('/a'));
    expect(error).toMatchObject({ failure: 'status', status, retryable, message: `GET /a: answered ${status}` });
  });

  test.each(['<html>', '{"a":'])('garbage: %j', async (body) => {
    server.handler = answering(200, {}, body);
    expect(await failure(server.open().get('/a'))).toMatchObject({ failure: 'garbage', status: 200, retryable: true });
  });

  test('10 MB are not read to the end', async () => {
    let closed: Promise<number> = Promise.reject(new Error('not asked'));
    closed.catch(() => undefined);
    server.handler = (req, res) => {
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
    const error = await failure(server.open({ maxBodyBytes: 100_000 }).get('/a'));
    expect(error).toMatchObject({ failure: 'too large', retryable: false });
    expect(await closed).toBeLessThan(9 * 1024 * 1024);
  });

  test('a body of exactly the limit is taken', async () => {
    server.handler = answering(200, {}, '"12345678"');
    expect((await server.open({ maxBodyBytes: 10 }).get('/a')).body).toBe('12345678');
    expect(await failure(server.open({ maxBodyBytes: 9 }).get('/a'))).toMatchObject({ failure: 'too large' });
  });

  test('a hang ends at the time-out and closes its connection', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    server.handler = (req) => {
      closed = new Promise((resolve) => req.socket.once('close', resolve));
    };
    const [began, took] = [performance.now(), stopwatch()];
    expect(await failure(server.open({ timeoutMs: 100 }).get('/a'))).toMatchObject({
      failure: 'timeout',
      retryable: true,
    });
    expect(performance.now() - began).toBeGreaterThanOrEqual(100);
    expect(took()).toBeLessThan(1_000);
    await closed;
  });

  test('a drip that never ends is no answer', async () => {
    let timer: NodeJS.Timeout | undefined;
    server.handler = (_req, res) => {
      res.writeHead(200);
      timer = setInterval(() => res.write(' '), 20);
    };
    expect(await failure(server.open().get('/a', { timeoutMs: 150 }))).toMatchObject({ failure: 'timeout' });
    clearInterval(timer);
  });

  test('waiting for a connection counts, and what timed out there is never sent', async () => {
    const paths: string[] = [];
    let came!: (first: http.ServerResponse) => void;
    const firstCame = new Promise<http.ServerResponse>((resolve) => (came = resolve));
    server.handler = (req, res) => {
      paths.push(req.url!);
      came(res);
    };
    const upstream = server.open();
    const first = upstream.get('/first');
    const held = await firstCame;
    expect(await failure(upstream.get('/second', { timeoutMs: 100 }))).toMatchObject({ failure: 'timeout' });
    held.end('1');
    await first;
    server.handler = (req, res) => {
      paths.push(req.url!);
      answering(200)(req, res);
    };
    await upstream.get('/third');
    expect(paths).toEqual(['/first', '/third']);
  });

  test('a closed socket, before and within the answer', async () => {
    server.handler = (req) => req.socket.destroy();
    const upstream = server.open();
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'closed', status: 0, retryable: true });
    server.handler = (req, res) => {
      res.writeHead(200, { 'Content-Length': '100' });
      res.write('{');
      setImmediate(() => req.socket.destroy());
    };
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'closed', retryable: true });
    server.handler = answering(200);
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
    const upstream = server.open({ origin: `http://127.0.0.1:${(raw.address() as AddressInfo).port}` });
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
    const error = await failure(server.open({ origin: `http://127.0.0.1:${port}` }).get('/a'));
    expect(error).toMatchObject({ failure: 'closed', retryable: true });
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('the caller aborts, before or while it runs', async () => {
    const asked = new Promise<void>((resolve) => (server.handler = () => resolve()));
    const upstream = server.open();
    const controller = new AbortController();
    const request = failure(upstream.get('/a', { signal: controller.signal }));
    await asked;
    controller.abort(new Error('enough'));
    expect(await request).toMatchObject({ failure: 'aborted', retryable: true });
    expect(await failure(upstream.get('/a', { signal: controller.signal }))).toMatchObject({ failure: 'aborted' });
  });

  test('closing ends what is under way', async () => {
    const asked = new Promise<void>((resolve) => (server.handler = () => resolve()));
    const upstream = server.open();
    const request = failure(upstream.get('/a'));
    await asked;
    await upstream.close();
    expect(await request).toMatchObject({ failure: 'aborted' });
    expect(await failure(upstream.get('/a'))).toMatchObject({ failure: 'aborted' });
  });

  test('a request that cannot be sent', async () => {
    const upstream = server.open();
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
    expect(() => server.open({ headers: { authorization: 'hun\nter2' } })).toThrow(
      /^headers hold one that cannot be sent$/,
    );
    // The one connection is still there to be used.
    server.handler = answering(200);
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
  const upstream = server.open();
  for (const [status, body] of [
    [200, '{}'],
    [200, 'garbage'],
    [404, 'x'.repeat(10_000)],
    [500, 'x'.repeat(10_000)],
    [429, 'x'.repeat(10_000)],
    [304, ''],
    [204, ''],
  ] as const) {
    server.handler = answering(status, {}, body);
    await upstream.get('/a').catch(() => undefined);
  }
  expect(server.connections).toBe(1);
});

test('no secret is in any error', async () => {
  const secrets = ['hunter2', 'sk_live_0123456789abcdefghij', 'Bearer'];
  const path = '/v3/sk_live_0123456789abcdefghij/wallet?token=hunter2#hunter2';
  const upstream = server.open({ timeoutMs: 100, maxBodyBytes: 1_000, headers: { 'x-api-key': 'hunter2' } });
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
  server.handler = answering(500);
  errors.push(await failure(upstream.get('/a?t=hunter2')), await failure(upstream.get('/a#hunter2')));
  for (server.handler of handlers) errors.push(await failure(upstream.post(path, { secret: 'hunter2' }, { headers })));
  await upstream.close();
  errors.push(await failure(upstream.get(path, { headers })));
  expect(errors).toHaveLength(handlers.length + 4);
  for (const error of errors) {
    const all = `${inspect(error, { depth: 10, showHidden: true })} ${JSON.stringify(error)}`;
    for (const secret of secrets) expect(all).not.toContain(secret);
  }
});
