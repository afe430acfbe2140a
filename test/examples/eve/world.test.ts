/** The world behind the example's upstream: the lives of its players, and its bad days. */
import type { Settings } from '../../../examples/eve/upstream/control';
import { anewForEachTest, ask, clock, ID, pool, type Reply, restart, upstream } from './upstream-kit';

anewForEachTest();

describe('the world', () => {
  /** Everything that can be seen of some players over an hour. */
  async function history(seed: number, ids: number[]): Promise<string[]> {
    await pool.destroy();
    await upstream.close();
    await restart({ auth: false, limits: false }, seed);
    const seen: string[] = [];
    for (let minute = 0; minute < 60; minute++) {
      for (const id of ids) {
        for (const route of ['location', 'ship', 'online', 'wallet']) {
          seen.push(`${route} ${(await ask(`/characters/${id}/${route}/`)).text}`);
        }
      }
      clock.now += 120_000;
    }
    return seen;
  }

  test('lives, and lives the same life again from the same seed', async () => {
    const one = await history(1, [1, 2]);
    const values = (route: string): Set<string> => new Set(one.filter((text) => text.startsWith(route)));
    expect(values('location').size).toBeGreaterThan(4);
    expect([...values('location')].some((text) => text.includes('station_id'))).toBe(true);
    expect([...values('location')].some((text) => !text.includes('station_id'))).toBe(true);
    expect(values('ship').size).toBeGreaterThan(2);
    expect(values('wallet').size).toBeGreaterThan(4);
    const online = [...values('online')];
    expect(online.some((text) => text.endsWith('"online":true}'))).toBe(true);
    expect(online.some((text) => text.endsWith('"online":false}'))).toBe(true);
    expect(await history(1, [1, 2])).toEqual(one);
    expect(await history(2, [1, 2])).not.toEqual(one);
  });

  test('a life does not depend on how often somebody looks', async () => {
    const seldom = async (steps: number): Promise<string> => {
      await pool.destroy();
      await upstream.close();
      await restart({ auth: false, limits: false });
      for (let k = 0; k < steps; k++) {
        await ask('/characters/5/wallet/');
        clock.now += 3_600_000 / steps;
      }
      return (await ask('/characters/5/wallet/')).text;
    };
    expect(await seldom(1)).toBe(await seldom(20));
  });
});

describe('bad days', () => {
  beforeEach(() => upstream.set({ auth: false }));

  test('errors, garbage, 10 MB', async () => {
    upstream.set({ errorRate: 1 });
    expect((await ask('/status/')).status).toBe(502);
    upstream.set({ errorRate: 0, garbageRate: 1 });
    const garbage = await ask('/status/');
    expect(garbage.status).toBe(200);
    expect(() => garbage.json()).toThrow(SyntaxError);
    upstream.set({ garbageRate: 0, hugeRate: 1 });
    expect((await ask('/status/')).text).toHaveLength(10 * 1024 * 1024);
  });

  test('a closed socket, and no answer at all', async () => {
    upstream.set({ closeRate: 1 });
    await expect(ask('/status/')).rejects.toThrow('other side closed');
    upstream.set({ closeRate: 0, hangRate: 1 });
    const hanging = pool.request({ path: '/status/', method: 'GET', headersTimeout: 100 });
    await expect(hanging).rejects.toThrow('Headers Timeout');
    expect(upstream.counters().routes).toMatchObject({ status: { closed: 1, hang: 1 } });
  });

  test('for some ids and routes only, at a rate', async () => {
    upstream.set({ errorRate: 1, onlyIds: [ID], onlyRoutes: ['ship'] });
    const statuses = async (...paths: string[]): Promise<number[]> =>
      Promise.all(paths.map(async (path) => (await ask(path)).status));
    expect(await statuses(`/characters/${ID}/ship`, `/characters/${ID}/location`, '/characters/7/ship')).toEqual([
      502, 200, 200,
    ]);
    upstream.set({ errorRate: 0.5, onlyIds: [], onlyRoutes: [], limits: false });
    const many = await statuses(...Array.from({ length: 200 }, () => '/status/'));
    const failed = many.filter((status) => status === 502).length;
    expect(failed).toBeGreaterThan(60);
    expect(failed).toBeLessThan(140);
  });

  test('latency', async () => {
    upstream.set({ latencyMs: 60, jitterMs: 20 });
    const began = performance.now();
    await ask('/status/');
    expect(performance.now() - began).toBeGreaterThanOrEqual(58);
  });

  test('is set and read over HTTP while it runs; what is no setting is refused', async () => {
    const set = (change: unknown): Promise<Reply> => ask('/_control', {}, { body: JSON.stringify(change) });
    expect((await set({ downtime: true, latencyMs: 1 })).status).toBe(200);
    expect(upstream.settings).toMatchObject({ downtime: true, latencyMs: 1 });
    expect((await ask('/status/')).status).toBe(503);
    for (const wrong of [{ latency: 1 }, { latencyMs: -1 }, { errorRate: 2 }, { vip: 1 }, { onlyIds: ['x'] }, [], 7]) {
      const reply = await set(wrong);
      expect(reply.status).toBe(400);
      expect(reply.json<{ error: string }>().error).toMatch(/must be|there is no setting/);
    }
    const told = (await ask('/_control')).json<{
      settings: Settings;
      counters: { requests: number; routes: unknown };
    }>();
    expect(told.settings.downtime).toBe(true);
    expect(told.counters).toMatchObject({ requests: 1, routes: { status: { 503: 1 } } });
    await ask('/_control', {}, { body: '', method: 'DELETE' });
    expect(upstream.counters().requests).toBe(0);
  });
});
