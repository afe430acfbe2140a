/**
 * The dashboard on a socket of its own: a stop in the middle of an answer, streams that are open. No server is asked.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createDashboard, type Dashboard, type DashboardOptions } from '../../http/app';
import { serveDashboard } from '../../http/serve';

const environment = {
  temporal: { address: '127.0.0.1:1', namespace: 'default' },
  databaseUrl: 'postgres://lw@127.0.0.1:1/longwatch',
};
const serve = (options: DashboardOptions) =>
  serveDashboard(createDashboard({ environment, page: '/nowhere', ...options }), { host: '127.0.0.1', port: 0 });

test('a request that is under way gets its answer, although the process was told to end', async () => {
  let isAsked = (): void => undefined;
  let goOn = (): void => undefined;
  const asked = new Promise<void>((resolve) => (isAsked = resolve));
  const wait = new Promise<void>((resolve) => (goOn = resolve));
  const served = await serve({
    authenticate: async () => {
      isAsked();
      await wait;
      return { name: 'ana', role: 'read' };
    },
  });
  const answered = fetch(`${served.url}api/v1/me`);
  await asked;
  const stopped = served.stop();
  // No other is taken.
  await expect(fetch(`${served.url}api/v1/me`)).rejects.toThrow();
  goOn();
  expect(await (await answered).json()).toMatchObject({ name: 'ana' });
  await stopped;
});

test('streams that are open end with it', async () => {
  const served = await serve({ open: true });
  const response = await fetch(`${served.url}api/v1/stream`);
  const text = response.text();
  await served.stop();
  expect(await text).toMatch(/^retry: 1000\n\n/);
});

test('while it ends, another request of a connection that is kept hears that it ends', async () => {
  let goOn = (): void => undefined;
  const wait = new Promise<void>((resolve) => (goOn = resolve));
  const authenticate = () => wait.then(() => ({ name: 'ana', role: 'read' as const }));
  const dashboard = createDashboard({ environment, page: '/nowhere', authenticate });
  const ask = () => dashboard(new Request('http://localhost/api/v1/me'));
  const first = ask();
  const closed = dashboard.close();
  const second = await ask();
  expect([second.status, second.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await second.json()).toMatchObject({ error: { code: 'Closing' } });
  goOn();
  expect((await first).status).toBe(200);
  await closed;
});

/** All that a server sends to a client that writes this and reads. */
const said = async (url: string, text: string): Promise<string> => {
  const socket = opened(url, text);
  let heard = '';
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  await once(socket, 'close');
  return heard;
};
const opened = (url: string, text: string): Socket => {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  // It is ended by the other side, in the middle of what it sends.
  socket.on('error', () => undefined);
  socket.write(text);
  return socket;
};

describe('on a socket', () => {
  let served: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => {
    served = await serve({ open: true });
  });
  afterAll(() => served.stop());
  const head = (line: string, ...more: string[]) => [`${line} HTTP/1.1`, 'host: localhost', 'connection: close', ...more, '', ''].join('\r\n'); // prettier-ignore
  const json = 'content-type: application/json';

  test('a body of 10 MB is refused before it is read', async () => {
    const text = head('POST /api/v1/buffers/mail/push', json, `content-length: ${10 * 2 ** 20}`);
    expect(await said(served.url, text)).toMatch(/^HTTP\/1.1 413 /);
  });

  test('a body of 10 MB in chunks as well, when 8 MB of it have come', async () => {
    const chunk = `${(2 ** 20).toString(16)}\r\n${' '.repeat(2 ** 20)}\r\n`;
    const text = head('POST /api/v1/buffers/mail/push', json, 'transfer-encoding: chunked');
    expect(await said(served.url, text + chunk.repeat(10))).toMatch(/^HTTP\/1.1 413 /);
  });

  test('HEAD has the headers of GET and no body; OPTIONS says what an address takes', async () => {
    const asked = await said(served.url, head('HEAD /api/v1/me'));
    expect(asked).toMatch(/^HTTP\/1.1 200 [\s\S]*content-type: application\/json[\s\S]*\r\n\r\n$/i);
    expect(await said(served.url, head('HEAD /api/v1/stream'))).toMatch(
      /^HTTP\/1.1 200 [\s\S]*event-stream[\s\S]*\r\n\r\n$/,
    );
    const options = await said(served.url, head('OPTIONS /api/v1/trackers/a/config'));
    expect(options).toMatch(/^HTTP\/1.1 204 [\s\S]*allow: GET, PATCH, HEAD, OPTIONS/i);
    // No other site is let in.
    expect(options).not.toMatch(/access-control/i);
  });

  test('another method than its own is refused with those that it takes', async () => {
    const put = await fetch(`${served.url}api/v1/trackers/a/pause`, { method: 'PUT' });
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
    expect(await put.json()).toMatchObject({ error: { code: 'MethodNotAllowed' } });
  });
});

test('who never reads its answer is left after a while', async () => {
  let isLeft = (): void => undefined;
  const left = new Promise<void>((resolve) => (isLeft = resolve));
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 16)),
      cancel: () => isLeft(),
    });
  const dashboard: Dashboard = Object.assign(async () => new Response(endless()), { close: async () => undefined });
  const served = await serveDashboard(dashboard, { host: '127.0.0.1', port: 0, silentMs: 300 });
  const socket = opened(served.url, 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  socket.pause();
  await left;
  socket.destroy();
  await served.stop();
});
