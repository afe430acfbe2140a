/** The metrics page's paths, as probes and people write them. */
import { pino } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { MetricsPage } from '../../workers/metrics';

let problems: string[] = [];
let page: MetricsPage;
const registry = new Registry();
beforeAll(async () => {
  const health = { alive: () => problems.length === 0, ready: () => Promise.resolve(problems) };
  page = new MetricsPage(registry, health, pino({ level: 'silent' }), { port: 0 });
  await page.start();
});
afterAll(() => page.stop());

const ask = async (path: string, method = 'GET') => {
  const answer = await fetch(new URL(path, page.url), { method });
  return `${answer.status} ${(await answer.text()).trim()}`.trim();
};

test.each(['/healthz', '/readyz'])('%s answers the same with a query, and with a slash at its end', async (path) => {
  const written = [path, `${path}?x`, `${path}?verbose=1&exclude=a/b`, `${path}/`, `${path}//?x`];
  problems = [];
  for (const one of written) expect([one, await ask(one), await ask(one, 'HEAD')]).toEqual([one, '200 ok', '200']);
  problems = ['temporal: does not answer'];
  for (const one of written) {
    expect([one, (await ask(one)).slice(0, 4), await ask(one, 'HEAD')]).toEqual([one, '503 ', '503']);
  }
});

test('the metrics too; what is no path of it is not found', async () => {
  for (const one of ['/metrics', '/metrics/', '/metrics?name[]=a', '/', '/?x']) {
    expect([one, (await fetch(new URL(one, page.url))).status]).toEqual([one, 200]);
  }
  for (const one of ['/healthzz', '/healthz/x', '/metrics.json']) expect([one, await ask(one)]).toEqual([one, '404']);
});

test('why they cannot be read is nobody’s business who reaches the port', async () => {
  const collect = () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.5:5432'));
  new Gauge({ name: 'broken', help: 'broken', registers: [registry], collect });
  expect(await ask('/metrics')).toBe("500 the metrics could not be read; the worker's log says why");
  registry.clear();
});
