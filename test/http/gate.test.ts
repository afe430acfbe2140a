/**
 * The gate: hosts, pages of other sites, tokens and roles, failed tries, the cookie of a browser. No server is needed:
 * `/me` asks none, and what does is answered with what it could not reach.
 */
import { pino } from 'pino';
import type { Dashboard, DashboardOptions } from '../../http/app';
import { ROUTES } from '../../http/routes/all';
import { callerOf, may, newToken, readTokens, ROLES, Tries } from '../../http/who';
import { codeOf, dashboardWith, get, ME, post, SECRET } from './alone';

describe('it must be said who may', () => {
  test.each([
    ['nothing', {}],
    ['open: false', { open: false }],
    ['two of them', { open: true, tokens: newToken('a', 'read').line }],
    ['tokens without one', { tokens: ' , ' }],
    ['a token that is not one', { tokens: 'ana:admin:123' }],
  ])('%s is refused', (_, options) => {
    expect(() => dashboardWith(options as DashboardOptions)).toThrow(TypeError);
  });

  test('what is wrong with a token is said without its hash', () => {
    const { line } = newToken('ana', 'admin');
    const hash = line.split(':')[2]!;
    expect(() => readTokens(`${line} ben:root:${hash}`)).toThrow(/^token 2 is not/);
    expect(() => readTokens(`${line} ben:root:${hash}`)).not.toThrow(hash);
  });
});

describe('hosts', () => {
  test.each([
    ['http://localhost:8765', 200],
    ['http://127.0.0.1:8765', 200],
    ['http://127.9.9.9', 200],
    ['http://[::1]:8765', 200],
    ['http://LOCALHOST', 200],
    ['http://evil.example', 421],
    ['http://localhost.evil.example', 421],
    ['http://127.0.0.1.evil.example', 421],
    ['http://192.168.1.2', 421],
  ])('an open one asked for as %s: %i', async (origin, status) => {
    const dashboard = dashboardWith({ open: true });
    expect((await get(dashboard, `${origin}/api/v1/me`)).status).toBe(status);
    // The page too: it would be the other site's own.
    expect((await get(dashboard, `${origin}/`)).status).toBe(status === 200 ? 404 : 421);
  });

  test('the header counts, not the address', async () => {
    expect((await get(dashboardWith({ open: true }), ME, { host: 'evil.example' })).status).toBe(421);
  });

  test.each([
    ['192.168.1.2:8765', 200],
    ['[fe80::1]:8765', 200],
    ['localhost:8765', 200],
    ['evil.example:8765', 421],
    ['192.168.1.2.evil.example', 421],
    ['', 421],
  ])('`addresses` has numbers, and no name that somebody may turn to us: %s, %i', async (host, status) => {
    const dashboard = dashboardWith({ open: true, hosts: 'addresses' });
    expect((await get(dashboard, ME, { host })).status).toBe(status);
  });

  test('those that are named, with their port', async () => {
    const dashboard = dashboardWith({ open: true, hosts: ['Ops.example.com:443', 'other:81'] });
    for (const [host, status] of [
      ['ops.example.com', 200],
      ['OPS.example.com', 200],
      ['ops.example.com:443', 200],
      ['ops.example.com:81', 421],
      ['other:81', 200],
      ['other', 421],
      ['localhost', 421],
    ] as const)
      // prettier-ignore
      expect([host, (await get(dashboard, ME, { host })).status]).toEqual([host, status]);
  });
});

describe('pages of other sites', () => {
  const dashboard = () => dashboardWith({ open: true });
  test.each([
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ origin: 'http://localhost:9999' }, 403],
    [{ origin: 'http://localhost:8765' }, 200],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
  ] as [Record<string, string>, number][])('%j: %i', async (headers, status) => {
    expect((await get(dashboard(), ME, headers)).status).toBe(status);
    const paused = await post(dashboard(), 'http://localhost:8765/api/v1/trackers/x/pause', {}, headers);
    expect(paused.status).toBe(status === 200 ? 503 : 403);
  });

  test('behind a proxy with a host of its own, the page comes from one that was named', async () => {
    const dashboard = dashboardWith({ open: true, hosts: ['ops.example.com', 'inner:8765'] });
    const from = (origin: string) => get(dashboard, ME, { host: 'inner:8765', origin });
    expect((await from('https://ops.example.com')).status).toBe(200);
    expect((await from('https://evil.example')).status).toBe(403);
  });

  test('where its name was not given, who has set up the proxy hears what to give', async () => {
    const dashboard = dashboardWith({ tokens: newToken('ana', 'read').line });
    const refused = await get(dashboard, ME, { host: 'inner:8765', origin: 'https://ops.example.com' });
    expect(refused.status).toBe(403);
    expect(await refused.text()).toMatch(/https:\/\/ops\.example\.com is not known as its own; .* --host-name NAME/);
  });

  test('a form can send no command, also where its browser says nothing', async () => {
    const request = new Request('http://localhost/api/v1/trackers/x/pause', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'text/plain' },
    });
    expect((await dashboard()(request)).status).toBe(415);
  });

  test('a link on another page leads to the page', async () => {
    expect((await get(dashboard(), 'http://localhost/', { 'sec-fetch-site': 'cross-site' })).status).toBe(404);
  });
});

describe('tokens', () => {
  const tokens = Object.fromEntries(ROLES.map((role) => [role, newToken(`one-${role}`, role)]));
  const known = ROLES.map((role) => tokens[role]!.line).join('\n');
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const one = () => dashboardWith({ tokens: known });

  test('a token says who it is; another one, or none, is nobody', async () => {
    const dashboard = one();
    expect(await (await get(dashboard, ME, bearer(tokens.read!.token))).json()).toMatchObject({ name: 'one-read', role: 'read' }); // prettier-ignore
    for (const headers of [
      {},
      bearer('lw_x'),
      bearer(tokens.read!.line.split(':')[2]!),
      { authorization: `Basic ${tokens.read!.token}` },
    ]) {
      // prettier-ignore
      const response = await get(dashboard, ME, headers);
      expect(response.status).toBe(401);
      expect(await codeOf(response)).toBe('Unauthorized');
    }
  });

  test('each route refuses every role below its own', async () => {
    const dashboard = one();
    for (const route of ROUTES) {
      const url = `http://localhost/api/v1${route.path.replace(/\{\w+\}/g, '1')}`;
      for (const role of ROLES) {
        const headers = { ...bearer(tokens[role]!.token), 'content-type': 'application/json' };
        if (may({ name: '', role }, route.role)) continue;
        const response = await dashboard(new Request(url, { method: route.method.toUpperCase(), headers }));
        expect([route.id, role, response.status, await codeOf(response)]).toEqual([route.id, role, 403, 'Forbidden']);
      }
    }
  });

  test('whoever may only read changes nothing', () => {
    expect(ROUTES.filter(({ method, role }) => method !== 'get' && role === 'read')).toEqual([]);
  });

  test('the stream needs one as well', async () => {
    expect((await get(one(), 'http://localhost/api/v1/stream')).status).toBe(401);
  });

  test('ten failed tries of an address, and it waits; the others do not', async () => {
    const dashboard = one();
    const tryIt = (token: string, address?: string) => get(dashboard, ME, bearer(token), { address });
    for (let i = 0; i < 9; i++) expect((await tryIt(`lw_${i}`, '10.0.0.1')).status).toBe(401);
    const last = await tryIt('lw_9', '10.0.0.1');
    expect([last.status, last.headers.get('retry-after')]).toEqual([429, '60']);
    expect((await tryIt(tokens.admin!.token, '10.0.0.1')).status).toBe(429);
    expect((await tryIt(tokens.admin!.token, '10.0.0.2')).status).toBe(200);
  });

  test('where addresses are not known, a stranger’s tries keep nobody out', async () => {
    const dashboard = one();
    for (let i = 0; i < 20; i++) await get(dashboard, ME, bearer(`lw_${i}`));
    expect((await get(dashboard, ME, bearer('lw_x'))).status).toBe(429);
    expect((await get(dashboard, ME, bearer(tokens.read!.token))).status).toBe(200);
  });

  test('a token that was taken back is one try, however often it is sent: who shares its address goes on', async () => {
    const dashboard = one();
    const tryIt = (token: string) => get(dashboard, ME, bearer(token), { address: '10.0.0.1' });
    for (let i = 0; i < 30; i++) expect((await tryIt('lw_taken-back')).status).toBe(401);
    expect((await tryIt(tokens.read!.token)).status).toBe(200);
  });

  test('tries are forgotten after a minute, and those of 10,000 addresses at most are remembered', () => {
    const tries = new Tries();
    for (let i = 0; i < 10; i++) tries.note('a', `lw_${i}`, 0);
    expect([0, 59_999, 60_000].map((now) => tries.waitMs('a', now))).toEqual([60_000, 1, 0]);
    expect(tries.waitMs('b', 0)).toBe(0);
    for (let i = 0; i < 10_000; i++) tries.note(`other ${i}`, 'x', 1);
    expect(tries.waitMs('a', 1)).toBe(0);
  });

  test('a name of the setting cannot break its line', () => {
    for (const name of ['a b', 'a,b', 'a:b', '', 'x'.repeat(101), 'a\nb']) expect(() => newToken(name, 'read')).toThrow(TypeError); // prettier-ignore
    const { token, line } = newToken('ana@laptop', 'operate');
    expect(callerOf(token, readTokens(line))).toEqual({ name: 'ana@laptop', role: 'operate' });
  });

  describe('the cookie', () => {
    const login = (dashboard: Dashboard, token: string, url = 'http://localhost') =>
      post(dashboard, `${url}/api/v1/login`, { token });

    test('stands for the token, is for the API alone, and no script reads it', async () => {
      const dashboard = one();
      const response = await login(dashboard, tokens.operate!.token, 'http://localhost:8765');
      expect(await response.json()).toEqual({ name: 'one-operate', role: 'operate' });
      const cookie = response.headers.get('set-cookie')!;
      expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/);
      expect(cookie).not.toMatch(/path=|domain=/i);
      const headers = { cookie: cookie.split(';')[0]! };
      expect((await get(dashboard, ME, headers)).status).toBe(200);
      const out = await post(dashboard, 'http://localhost:8765/api/v1/logout', {}, headers);
      expect(out.headers.get('set-cookie')).toMatch(/^longwatch-8765=; Max-Age=0;/);
    });

    test('two dashboards on ports of one host do not take each other out: browsers send cookies to all ports', async () => {
      const [ours, theirs] = [one(), one()];
      const jar = new Map<string, string>();
      const keep = (response: Response): void => {
        const [name, value] = response.headers.get('set-cookie')!.split(';')[0]!.split('=');
        jar.set(name!, value!);
      };
      keep(await login(ours, tokens.operate!.token, 'http://127.0.0.1:8765'));
      keep(await login(theirs, tokens.read!.token, 'http://127.0.0.1:8766'));
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const who = async (dashboard: Dashboard, port: number) =>
        (await get(dashboard, `http://127.0.0.1:${port}/api/v1/me`, { cookie })).json() as Promise<unknown>;
      expect(await who(ours, 8765)).toMatchObject({ role: 'operate' });
      expect(await who(theirs, 8766)).toMatchObject({ role: 'read' });
      keep(await post(theirs, 'http://127.0.0.1:8766/api/v1/logout', {}, { cookie }));
      expect(jar).toEqual(
        new Map([
          ['longwatch-8765', tokens.operate!.token],
          ['longwatch-8766', ''],
        ]),
      );
    });

    test('goes by https only where it came by it', async () => {
      const response = await login(dashboardWith({ tokens: known }), tokens.read!.token, 'https://ops.example.com');
      expect(response.headers.get('set-cookie')).toMatch(/; Secure$/);
    });

    test('a command with it must be JSON, which another site cannot send unasked', async () => {
      const dashboard = one();
      const cookie = (await login(dashboard, tokens.admin!.token)).headers.get('set-cookie')!.split(';')[0]!;
      const request = new Request('http://localhost/api/v1/trackers/x/pause', { method: 'POST', headers: { cookie } });
      expect((await dashboard(request)).status).toBe(403);
    });

    test('a wrong token makes none, and counts as a failed try', async () => {
      const dashboard = one();
      for (let i = 0; i < 9; i++) expect((await post(dashboard, 'http://localhost/api/v1/login', { token: `x${i}` }, {}, { address: 'a' })).status).toBe(401); // prettier-ignore
      expect((await post(dashboard, 'http://localhost/api/v1/login', { token: 'x' }, {}, { address: 'a' })).status).toBe(429); // prettier-ignore
      for (const body of [{}, { token: 1 }, { token: 'x'.repeat(501) }, [], null])
        expect((await post(dashboard, 'http://localhost/api/v1/login', body)).status).toBe(400);
    });

    test('who is not known yet sends four kilobytes at most', async () => {
      const response = await post(one(), 'http://localhost/api/v1/login', { token: 'x'.repeat(5_000) });
      expect([response.status, await codeOf(response)]).toEqual([413, 'TooLarge']);
    });

    test('there is nothing to log in with where there are no tokens', async () => {
      expect((await login(dashboardWith({ open: true }), 'x')).status).toBe(404);
    });
  });
});

test('what is closed by hand for a year at most is closed so by every way', async () => {
  const dashboard = dashboardWith({ open: true });
  const close = (days: number) =>
    post(dashboard, 'http://localhost/api/v1/buckets/close', { bucket: 'esi/errors', forMs: days * 86_400_000 });
  expect([(await close(366)).status, (await close(367)).status]).toEqual([503, 400]);
});

test('a name of the query that is not known is refused, and so is one where there are none', async () => {
  const dashboard = dashboardWith({ open: true });
  for (const at of ['trackers/x/members?limt=2', 'audit?subjekt=x', 'me?a=1', 'trackers/x/freshness?operation=look']) {
    const response = await get(dashboard, `http://localhost/api/v1/${at}`);
    expect([at, response.status, await codeOf(response)]).toEqual([at, 400, 'InvalidRequest']);
  }
  const paused = await post(dashboard, 'http://localhost/api/v1/trackers/x/pause?why=x', {});
  expect(paused.status).toBe(400);
});

describe('what is shown', () => {
  test('no password, whatever cannot be reached', async () => {
    const dashboard = dashboardWith({ open: true });
    for (const at of ['me', 'status', 'doctor', 'trackers/x', 'nodes', 'audit']) {
      const text = await (await get(dashboard, `http://localhost/api/v1/${at}`)).text();
      expect(text).not.toContain(SECRET);
    }
  });

  test('a failure that nobody foresaw is told to the log, and not to the caller', async () => {
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const authenticate = () => {
      throw new Error('the row is (4711, secret)');
    };
    const response = await get(dashboardWith({ authenticate, log }), ME);
    expect([response.status, await codeOf(response)]).toEqual([500, 'Internal']);
    expect(lines.join('')).toContain('the row is');
    expect(await (await get(dashboardWith({ authenticate, log }), ME)).text()).not.toContain('4711');
  });
});
