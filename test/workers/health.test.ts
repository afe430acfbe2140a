/** The page of a worker by itself: where it says that it is, and what its two paths of health say. */
import { hostname } from 'node:os';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { MetricsPage, type Health } from '../../workers/metrics';

const log = pino({ level: 'silent' });
const well: Health = { alive: () => true, ready: () => Promise.resolve([]) };
let server: MetricsPage | undefined;
const served = async (health: Health, options: { host?: string; port: number }): Promise<MetricsPage> => {
  const page = new MetricsPage(new Registry(), health, log, options);
  await page.start();
  return page;
};
afterEach(() => server?.stop());

test.each([
  ['0.0.0.0', hostname()],
  ['127.0.0.1', '127.0.0.1'],
])('a page on %s can be asked at the address that is shown', async (host, shown) => {
  server = await served(well, { host, port: 0 });
  const url = new URL(server.url);
  expect([url.hostname, url.pathname]).toEqual([shown.toLowerCase(), '/metrics']);
});

test('an address of version 6 stands in brackets, and all of them are the name of the machine', async () => {
  const urlOn = async (host: string) => {
    const one = await served(well, { host, port: 0 });
    const { url } = one;
    await one.stop();
    return url.replace(/:\d+\/metrics$/, '');
  };
  expect(await urlOn('::1')).toBe('http://[::1]');
  expect(await urlOn('::')).toBe(`http://${hostname()}`);
});

test('alive says nothing of what the worker needs; ready says each of it in a line', async () => {
  const problems = ['postgresql: does not answer', 'temporal: does not answer'];
  let alive = true;
  const health: Health = { alive: () => alive, ready: () => Promise.resolve(problems) };
  server = await served(health, { port: 0 });
  const ask = async (path: string) => {
    const answer = await fetch(new URL(path, server!.url));
    return [answer.status, await answer.text()];
  };
  expect(await ask('/healthz')).toEqual([200, 'ok\n']);
  expect(await ask('/readyz')).toEqual([503, `${problems.join('\n')}\n`]);
  alive = false;
  expect(await ask('/healthz')).toEqual([503, 'worker: not running\n']);
  expect((await ask('/other'))[0]).toBe(404);
});
