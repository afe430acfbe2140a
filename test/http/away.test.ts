/**
 * Servers that are away, and come back: each address answers, 503 with `retry-after` where it needs the one that is not
 * there, and works again by itself. A network that swallows everything is heard of on the stream.
 */
import { createDashboard, type Dashboard } from '../../http/app';
import { eventually } from '../support/stack';
import { Proxy } from '../support/proxy';
import { ask, Desk } from './desk';
import { listen } from './listener';

let desk: Desk;
let database: Proxy;
let temporal: Proxy;
let dashboard: Dashboard;
beforeAll(async () => {
  desk = await Desk.start();
  const { databaseUrl, temporalAddress, namespace } = desk.stack.servers;
  database = await Proxy.start(databaseUrl);
  temporal = await Proxy.start(`postgres://${temporalAddress}`);
  const address = new URL(temporal.url).host;
  dashboard = createDashboard({
    environment: { temporal: { address, namespace }, databaseUrl: database.url },
    open: true,
  });
  expect(await ask(dashboard, '/trackers/things/resume', { method: 'POST', body: {} })).toMatchObject({ status: 200 });
});
afterAll(async () => {
  await dashboard?.close();
  database?.close();
  temporal?.close();
  await desk?.close();
});

const pause = () => ask(dashboard, '/trackers/things/pause', { method: 'POST', body: {} });

test('without the database nothing is known; it is back when the database is', async () => {
  database.refuse();
  for (const path of [
    '/status',
    '/trackers',
    '/trackers/things',
    '/trackers/things/members',
    '/audit',
    '/nodes',
    '/buffers/mail',
  ]) {
    // prettier-ignore
    const { status, body, headers } = await ask(dashboard, path);
    expect({ path, status, body, again: headers.get('retry-after') }).toMatchObject({ status: 503, body: { error: { code: 'DatabaseUnavailable' } }, again: '5' }); // prettier-ignore
  }
  expect(await pause()).toMatchObject({ status: 503, body: { error: { code: 'DatabaseUnavailable' } } });
  // The doctor never fails: what it cannot look at is not known.
  expect(await ask(dashboard, '/doctor')).toMatchObject({ status: 200 });
  database.pass();
  await eventually('the status', async () => (await ask(dashboard, '/status')).status === 200);
});

test('without Temporal everything is shown, and a command says that nothing was done', async () => {
  temporal.refuse();
  for (const path of ['/status', '/trackers/things/members', '/nodes', '/buffers/mail', '/audit'])
    expect({ path, ...(await ask(dashboard, path)) }).toMatchObject({ path, status: 200 });
  const { status, body, headers } = await pause();
  expect({ status, body, again: headers.get('retry-after') }).toMatchObject({ status: 503, body: { error: { code: 'TemporalUnavailable' } }, again: '5' }); // prettier-ignore
  temporal.pass();
  await eventually('a pause', async () => (await pause()).status === 200);
});

test('a network that swallows everything: the stream says so, and goes on when it passes again', async () => {
  const { next, leave } = await listen(dashboard);
  expect((await next()).event).toBe('snapshot');
  database.swallow();
  await eventually('the problem', async () => {
    const { event, data } = await next();
    if (event === 'delta') return false;
    expect({ event, data }).toMatchObject({ event: 'problem', data: { error: { code: 'DatabaseUnavailable' } } });
    return true;
  });
  database.pass();
  await eventually('a delta', async () => (await next()).event === 'delta');
  await leave();
});
