/** A program's own `authenticate`: all that it may give, and throw. No server is asked. */
import type { DashboardOptions } from '../../http/app';
import { codeOf, dashboardWith, get, ME } from './alone';

test('a program’s own `authenticate`: who it is, nobody, or where to log in', async () => {
  const dashboard = dashboardWith({
    authenticate: (request) => {
      const user = request.headers.get('x-user');
      if (user === 'redirect') return new Response(null, { status: 302, headers: { location: '/login' } });
      return user === null ? undefined : { name: user, role: 'read' };
    },
  });
  expect(await (await get(dashboard, ME, { 'x-user': 'ana' })).json()).toMatchObject({ name: 'ana', role: 'read' });
  expect((await get(dashboard, ME)).status).toBe(401);
  expect((await get(dashboard, ME, { 'x-user': 'redirect' })).headers.get('location')).toBe('/login');
});

describe('what a program’s own `authenticate` may give', () => {
  const asked = (authenticate: unknown, url = ME) => get(dashboardWith({ authenticate } as DashboardOptions), url);

  test('a redirect, whose headers nobody can change', async () => {
    const response = await asked(() => Response.redirect('http://localhost/login'));
    expect([response.status, response.headers.get('location')]).toEqual([302, 'http://localhost/login']);
    expect(response.headers.get('x-frame-options')).toBe('DENY');
  });

  test.each([[undefined], [null], ['']])('%j is nobody', async (nobody) => {
    const response = await asked(() => nobody);
    expect([response.status, await codeOf(response)]).toEqual([401, 'Unauthorized']);
  });

  test.each([
    { name: '', role: 'admin' },
    { name: ' ', role: 'admin' },
    { role: 'admin' },
    { name: 'ana' },
    { name: 'ana', role: 'root' },
  ])('%j is a fault of the program: nobody is listed under another name', async (caller) => {
    const response = await asked(() => caller);
    expect([response.status, await codeOf(response)]).toEqual([500, 'Internal']);
  });

  test.each([['a text'], [undefined], [Object.freeze({})]])('thrown: %j', async (thrown) => {
    const response = await asked(() => {
      throw thrown as Error;
    });
    expect([response.status, await codeOf(response)]).toEqual([500, 'Internal']);
    expect(response.headers.get('x-frame-options')).toBe('DENY');
  });
});
