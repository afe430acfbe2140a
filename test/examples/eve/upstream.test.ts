/** The rules of the example's upstream: caches, both limiters, tokens and the other routes. */
import { Pool } from 'undici';
import { anewForEachTest, ask, clock, ID, pool, type Reply, restart, START, upstream } from './upstream-kit';

anewForEachTest();

const form = (fields: Record<string, string>): { body: string } => ({ body: new URLSearchParams(fields).toString() });

interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

async function login(id = ID): Promise<Record<string, string>> {
  const reply = await ask('/v2/oauth/token', {}, form({ grant_type: 'authorization_code', code: `login-${id}` }));
  return { authorization: `Bearer ${reply.json<Tokens>().access_token}` };
}

const seconds = (header: unknown): number => Date.parse(String(header)) / 1_000;

describe('caches', () => {
  test.each([
    ['location', 5],
    ['ship', 5],
    ['online', 60],
    ['wallet', 120],
  ])('%s is cached for %i s: Date, Expires, Last-Modified, the same answer', async (route, cached) => {
    const token = await login();
    const first = await ask(`/characters/${ID}/${route}/`, token);
    expect(first.status).toBe(200);
    expect(seconds(first.headers.date)).toBe(Math.floor(START / 1_000));
    expect(seconds(first.headers.expires) - seconds(first.headers.date)).toBe(cached);
    expect(first.headers['last-modified']).toBe(first.headers.date);
    clock.now += cached * 1_000 - 401;
    const second = await ask(`/characters/${ID}/${route}/`, token);
    expect(second.headers.expires).toBe(first.headers.expires);
    expect(second.text).toBe(first.text);
    clock.now += 1;
    const third = await ask(`/characters/${ID}/${route}/`, token);
    expect(seconds(third.headers.expires)).toBe(seconds(first.headers.expires) + cached);
  });

  test('304 for the ETag that holds, 200 and another once the value changed', async () => {
    const token = await login();
    const first = await ask(`/characters/${ID}/wallet/`, token);
    const etag = String(first.headers.etag);
    const same = await ask(`/characters/${ID}/wallet/`, { ...token, 'if-none-match': etag });
    expect([same.status, same.text]).toEqual([304, '']);
    expect(same.headers).toMatchObject({ etag, expires: first.headers.expires });
    const weak = await ask(`/characters/${ID}/wallet/`, { ...token, 'if-none-match': `W/${etag}` });
    expect(weak.status).toBe(304);
    clock.now += 15 * 60_000;
    const changed = await ask(`/characters/${ID}/wallet/`, { ...token, 'if-none-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  test('requests before Expires are counted by id and route', async () => {
    const token = await login();
    await ask(`/characters/${ID}/location/`, token);
    clock.now += 4_500;
    await ask(`/characters/${ID}/location/`, token);
    await ask(`/characters/${ID}/ship/`, token);
    clock.now += 500;
    await ask(`/characters/${ID}/location/`, token);
    expect(upstream.counters()).toMatchObject({ early: 1, earlyBy: { [`location ${ID}`]: 1 } });
  });
});

describe('the old limiter', () => {
  test('after 100 errors in a minute, 420 on every route until the window ends', async () => {
    clock.now = Date.UTC(2026, 0, 1, 12, 0, 20);
    const token = await login();
    for (let k = 0; k < 99; k++) await ask('/nonsense/');
    const last = await ask('/characters/0/');
    expect(last.status).toBe(404);
    expect(last.headers).toMatchObject({ 'x-esi-error-limit-remain': '0', 'x-esi-error-limit-reset': '40' });
    clock.now += 10_000;
    for (const path of ['/status/', `/characters/${ID}/`, `/characters/${ID}/location/`]) {
      const reply = await ask(path, token);
      expect(reply.status).toBe(420);
      expect(reply.headers).toMatchObject({ 'x-esi-error-limit-remain': '0', 'x-esi-error-limit-reset': '30' });
    }
    clock.now += 29_999;
    expect((await ask('/status/')).status).toBe(420);
    clock.now += 1;
    const after = await ask('/status/');
    expect(after.status).toBe(200);
    expect(after.headers['x-esi-error-limit-remain']).toBe('100');
  });

  test('2xx and 3xx cost nothing, and the errors of the other limiter’s routes do not count', async () => {
    const status = await ask('/status/');
    await ask('/status/', { 'if-none-match': String(status.headers.etag) });
    expect((await ask(`/characters/${ID}/location/`)).status).toBe(401);
    expect((await ask('/status/')).headers['x-esi-error-limit-remain']).toBe('100');
  });

  test('an address of its own each', async () => {
    for (let k = 0; k < 100; k++) await ask('/nonsense/');
    const other = new Pool(upstream.origin, { localAddress: '127.0.0.2' });
    const { statusCode, body } = await other.request({ path: '/status/', method: 'GET' });
    await body.dump();
    await other.destroy();
    expect(statusCode).toBe(200);
    expect((await ask('/status/')).status).toBe(420);
  });
});

describe('the new limiter', () => {
  test('2 for a 2xx, 1 for a 304, 5 for a 4xx, nothing for a 5xx, in the headers', async () => {
    const token = await login();
    const path = `/characters/${ID}/location/`;
    const first = await ask(path, token);
    expect(first.headers).toMatchObject({
      'x-ratelimit-group': 'char-location',
      'x-ratelimit-limit': '1200/15m',
      'x-ratelimit-used': '2',
      'x-ratelimit-remaining': '1198',
    });
    const same = await ask(path, { ...token, 'if-none-match': String(first.headers.etag) });
    expect(same.headers['x-ratelimit-used']).toBe('3');
    upstream.set({ deletedIds: [ID] });
    expect((await ask(path, token)).headers['x-ratelimit-used']).toBe('8');
    upstream.set({ downtime: true });
    const down = await ask(path, token);
    expect([down.status, down.headers['x-ratelimit-used']]).toEqual([503, '8']);
  });

  test('429 with Retry-After when the bucket is empty, at no cost; it comes back after the window', async () => {
    const token = await login();
    const path = `/characters/${ID}/wallet/`;
    for (let k = 0; k < 75; k++) expect((await ask(path, token)).status).toBe(200);
    clock.now += 60_000;
    const refused = await ask(path, token);
    expect(refused.status).toBe(429);
    const wait = Number(refused.headers['retry-after']);
    expect(wait).toBeGreaterThanOrEqual(840);
    expect(wait).toBeLessThanOrEqual(870);
    // Another group and another character have their own.
    expect((await ask(`/characters/${ID}/location/`, token)).status).toBe(200);
    expect((await ask(`/characters/${ID + 1}/wallet/`, await login(ID + 1))).status).toBe(200);
    clock.now += wait * 1_000 - 1_000;
    expect((await ask(path, token)).status).toBe(429);
    clock.now += 1_000;
    const again = await ask(path, await login());
    expect([again.status, again.headers['x-ratelimit-used']]).toEqual([200, '2']);
  });

  test('limits can be turned off', async () => {
    upstream.set({ limits: false, auth: false });
    for (let k = 0; k < 80; k++) await ask(`/characters/${ID}/wallet/`);
    for (let k = 0; k < 110; k++) await ask('/nonsense/');
    const reply = await ask(`/characters/${ID}/wallet/`);
    expect(reply.status).toBe(200);
    expect(reply.headers['x-ratelimit-used']).toBeUndefined();
  });
});

describe('tokens', () => {
  test('a route of a character wants its token, for as long as that lives', async () => {
    const path = `/characters/${ID}/location/`;
    expect((await ask(path)).status).toBe(401);
    expect((await ask(path, { authorization: 'Bearer a.2112000001.99999999999999.forged' })).status).toBe(401);
    const token = await login();
    expect((await ask(path, token)).status).toBe(200);
    expect((await ask(`/characters/${ID + 1}/location/`, token)).status).toBe(403);
    clock.now += 1_200_000 - 1;
    expect((await ask(path, token)).status).toBe(200);
    clock.now += 1;
    const late = await ask(path, token);
    expect([late.status, late.text]).toEqual([401, '{"error":"token is expired"}']);
  });

  test('a refresh changes the refresh token, and the old one is no longer good', async () => {
    upstream.set({ accessTokenSeconds: 60 });
    const first = upstream.login(ID);
    const renew = (token: string): Promise<Reply> =>
      ask('/v2/oauth/token', {}, form({ grant_type: 'refresh_token', refresh_token: token }));
    const reply = await renew(first);
    expect(reply.status).toBe(200);
    const tokens = reply.json<Tokens>();
    expect(tokens.expires_in).toBe(60);
    expect(tokens.refresh_token).not.toBe(first);
    const old = await renew(first);
    expect([old.status, old.text]).toEqual([400, '{"error":"invalid_grant"}']);
    expect((await renew(tokens.refresh_token)).status).toBe(200);
    expect((await renew('r.1.1.forged')).status).toBe(400);
    expect(upstream.counters().refreshes).toBe(2);
  });

  test('a player who takes the permission back', async () => {
    const token = upstream.login(ID);
    upstream.revoke(ID);
    const reply = await ask('/v2/oauth/token', {}, form({ grant_type: 'refresh_token', refresh_token: token }));
    expect(reply.status).toBe(400);
  });

  test('a restarted upstream still knows its tokens', async () => {
    const refresh = upstream.login(ID);
    const access = await login(ID + 1);
    await pool.destroy();
    await upstream.close();
    await restart();
    expect((await ask(`/characters/${ID + 1}/ship/`, access)).status).toBe(200);
    const reply = await ask('/v2/oauth/token', {}, form({ grant_type: 'refresh_token', refresh_token: refresh }));
    expect(reply.status).toBe(200);
  });

  test('more than five refreshes at once: 500', async () => {
    upstream.set({ refreshMs: 200 });
    const replies = await Promise.all(
      Array.from({ length: 8 }, (_, k) =>
        ask('/v2/oauth/token', {}, form({ grant_type: 'refresh_token', refresh_token: upstream.login(ID + k) })),
      ),
    );
    const statuses = replies.map((reply) => reply.status).sort();
    expect(statuses).toEqual([200, 200, 200, 200, 200, 500, 500, 500]);
    expect(upstream.counters().mostRefreshesAtOnce).toBeGreaterThan(5);
  });
});

describe('other routes', () => {
  test('status says players and start, for 30 s; vip at once', async () => {
    const open = await ask('/status/');
    const body = open.json<{ players: number; start_time: string; vip?: boolean }>();
    expect(body.players).toBeGreaterThan(0);
    expect(body).toMatchObject({ start_time: '2026-01-01T12:00:00Z' });
    expect(body.vip).toBeUndefined();
    expect(seconds(open.headers.expires) - seconds(open.headers.date)).toBe(30);
    upstream.set({ vip: true });
    expect((await ask('/status/')).json()).toMatchObject({ vip: true });
  });

  test('downtime: 503 everywhere but at the login server', async () => {
    upstream.set({ downtime: true });
    expect((await ask('/status/')).status).toBe(503);
    expect((await ask(`/characters/${ID}/`)).status).toBe(503);
    expect((await login()).authorization).toMatch(/^Bearer a\./);
    upstream.set({ downtime: false });
    expect((await ask('/status/')).status).toBe(200);
  });

  test('public info needs no token; who is deleted or cannot be is 404', async () => {
    upstream.set({ deletedIds: [ID] });
    expect((await ask(`/characters/${ID + 1}/`)).json()).toMatchObject({ name: `Pilot ${ID + 1}` });
    for (const id of [ID, 0, -1, 2 ** 31, 'x']) expect((await ask(`/characters/${id}/`)).status).toBe(404);
  });

  test('affiliations: up to 1000 ids, all of them or none', async () => {
    const ids = Array.from({ length: 1_000 }, (_, k) => ID + k);
    const post = (body: unknown): Promise<Reply> =>
      ask('/characters/affiliation/', {}, { body: typeof body === 'string' ? body : JSON.stringify(body) });
    const all = await post(ids);
    expect(all.status).toBe(200);
    const rows = all.json<{ character_id: number; corporation_id: number }[]>();
    expect(rows.map((row) => row.character_id)).toEqual(ids);
    expect((await ask(`/characters/${ID}/`)).json()).toMatchObject({ corporation_id: rows[0]!.corporation_id });
    expect(seconds(all.headers.expires) - seconds(all.headers.date)).toBe(3_600);
    upstream.set({ deletedIds: [ID + 500] });
    expect((await post(ids)).status).toBe(404);
    expect((await post([ID, 0])).status).toBe(404);
    for (const wrong of [[...ids, 7], [], [ID, ID], 'garbage', '{}']) expect((await post(wrong)).status).toBe(400);
    expect((await ask('/characters/affiliation/')).status).toBe(405);
  });

  test('a query and the last slash do not matter', async () => {
    expect((await ask(`/characters/${ID}?datasource=tranquility`)).status).toBe(200);
    expect((await ask('/status')).status).toBe(200);
  });
});
