/** The examples that mount the dashboard, as they are: in a server of node:http, in a Hono app. No server is asked. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createDashboard } from 'longwatch/dashboard';
import { appWith } from '../../examples/dashboard/hono';
import { startServer } from '../../examples/dashboard/node-http';
import { newToken } from '../../http/who';

test('node:http: under its prefix, for who is logged in', async () => {
  const server = startServer(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const get = (path: string, cookie = '') => fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie } });
  expect(await (await get('/')).text()).toBe('your program\n');
  expect(await (await get('/longwatchers')).text()).toBe('your program\n');
  expect((await get('/longwatch/api/v1/me')).status).toBe(401);
  expect(await (await get('/longwatch/api/v1/me', 'session=of-ana')).json()).toMatchObject({ name: 'ana', role: 'operate' }); // prettier-ignore
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

test('Hono: under its prefix, for who has a token', async () => {
  const { token, line } = newToken('ana', 'read');
  const dashboard = createDashboard({ prefix: '/longwatch', tokens: line });
  const app = appWith(dashboard);
  expect(await (await app.request('/')).text()).toBe('your program');
  expect((await app.request('/longwatch')).headers.get('location')).toBe('/longwatch/');
  expect((await app.request('/longwatch/api/v1/me')).status).toBe(401);
  const headers = { authorization: `Bearer ${token}` };
  expect(await (await app.request('/longwatch/api/v1/me', { headers })).json()).toMatchObject({ name: 'ana' });
  await dashboard.close();
});
