/** The simulated upstreams count as the real ones say they do, to the token; what they tell is what Longwatch reads. */
import { Esi, esiCost } from '../../examples/upstreams/esi';
import { GitHub } from '../../examples/upstreams/github';
import { serve, type Answered, type SimulatedUpstream } from '../../examples/upstreams/server';
import { Shopify } from '../../examples/upstreams/shopify';
import {
  isThrottled,
  readLimits,
  shopifyCost,
  type Format,
  type ToldLimit,
} from '../../activities/upstream/budget/headers';

class Clock {
  now = 1_760_000_000;
  readonly time: [() => number, () => number] = [() => this.now, () => 0.25];
}

interface Request {
  method?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

function ask(
  upstream: SimulatedUpstream,
  path: string,
  { method = 'GET', headers = {}, body }: Request = {},
): Answered {
  const url = new URL(path, 'http://upstream');
  const asked = { method, path: url.pathname, query: url.searchParams, header: (name: string) => headers[name], body };
  const answered = upstream.answer(asked);
  if (!answered.takes) upstream.done(asked, answered);
  return answered;
}

const told = ({ status, headers, body }: Answered, format: Format, now: number): ToldLimit[] =>
  readLimits({ status, header: (name) => headers?.[name], body }, now, format);

describe('ESI', () => {
  const location = '/characters/90000001/location/';

  test('costs by status, by group and character, and the answer that would pass the limit is refused and costs nothing', () => {
    const clock = new Clock();
    const esi = new Esi({}, ...clock.time);
    const wallet = '/characters/90000001/wallet/';
    for (let i = 0; i < 74; i++) expect(ask(esi, wallet).status).toBe(200);
    const last = ask(esi, `${wallet}?status=404`);
    expect(last).toMatchObject({ status: 429, headers: { 'retry-after': '900', 'x-ratelimit-remaining': '2' } });
    expect(ask(esi, wallet).status).toBe(200);
    expect(told(ask(esi, wallet), 'esi-group', clock.now)).toEqual([
      { name: 'char-wallet', remaining: 0, limit: 150, window: 900 },
    ]);
    // Others are not touched, and a group is one bucket for all of its routes.
    expect(ask(esi, '/characters/90000002/wallet/').status).toBe(200);
    ask(esi, location);
    expect(told(ask(esi, '/characters/90000001/ship/'), 'esi-group', clock.now)).toMatchObject([{ remaining: 1_196 }]);
  });

  test('a token comes back one window after it was spent, not sooner', () => {
    const clock = new Clock();
    const esi = new Esi({}, ...clock.time);
    const remaining = (): number => told(ask(esi, `${location}?status=500`), 'esi-group', clock.now)[0]!.remaining;
    ask(esi, location);
    clock.now += 899.9;
    expect(remaining()).toBe(1_198);
    clock.now += 0.2;
    expect(remaining()).toBe(1_200);
  });

  test.each([
    [200, 2],
    [204, 2],
    [304, 1],
    [404, 5],
    [420, 5],
    [429, 0],
    [502, 0],
  ])('%d costs %d', (status, cost) => {
    expect(esiCost(status)).toBe(cost);
  });

  test('a hundred errors of an address, and every answer of the old limiter is a 420 until its window ends', () => {
    const clock = new Clock();
    const esi = new Esi({}, ...clock.time);
    for (let i = 0; i < 99; i++) ask(esi, '/universe/types/?status=404');
    expect(told(ask(esi, '/universe/types/'), 'esi-errors', clock.now)).toMatchObject([{ remaining: 1, window: 60 }]);
    ask(esi, '/universe/types/?status=502');
    const closed = ask(esi, '/status/');
    expect(closed.status).toBe(420);
    expect(ask(esi, '/status/', { headers: { 'x-forwarded-for': '10.0.0.2' } }).status).toBe(200);
    expect(ask(esi, location).status).toBe(200);
    // The window began at a time of its own: a quarter of a minute past.
    const reset = Number(closed.headers!['x-esi-error-limit-reset']);
    expect((clock.now + reset) % 60).toBe(15);
    clock.now += reset - 0.5;
    expect(ask(esi, '/status/').status).toBe(420);
    clock.now += 0.5;
    expect(ask(esi, '/status/').status).toBe(200);
  });
});

describe('GitHub', () => {
  const headers = { authorization: 'token one' };

  test('5,000 an hour for a token, then 403; a 304 costs nothing', () => {
    const clock = new Clock();
    const github = new GitHub(...clock.time);
    // So that the secondary limit of an endpoint is not in the way.
    for (let i = 0; i < 4_999; i++) expect(ask(github, `/repos/${i % 50}`, { headers }).status).toBe(200);
    expect(ask(github, '/user', { headers: { ...headers, 'if-none-match': '"x"' } }).status).toBe(304);
    const last = ask(github, '/user', { headers });
    expect(last.status).toBe(200);
    const limits = told(last, 'github', clock.now);
    expect(limits).toMatchObject([{ name: 'core', remaining: 0, limit: 5_000, window: 3_600 }]);
    expect(ask(github, '/user', { headers })).toMatchObject({ status: 403, headers: { 'x-ratelimit-remaining': '0' } });
    expect(ask(github, '/user', { headers: { authorization: 'token two' } }).status).toBe(200);
    clock.now += limits[0]!.reset!;
    expect(ask(github, '/user', { headers }).status).toBe(200);
  });

  test('the secondary limit: 403 with Retry-After while the primary one has plenty', () => {
    const clock = new Clock();
    const github = new GitHub(...clock.time);
    for (let i = 0; i < 180; i++) expect(ask(github, '/repos', { method: 'POST', headers }).status).toBe(200);
    const refused = ask(github, '/repos', { headers });
    expect(refused).toMatchObject({ status: 403, headers: { 'retry-after': '60' } });
    expect(told(refused, 'github', clock.now)[0]!.remaining).toBeGreaterThan(4_000);
    expect(ask(github, '/user', { headers }).status).toBe(200);
    clock.now += 60;
    expect(ask(github, '/repos', { headers }).status).toBe(200);
  });

  test('a hundred at once', () => {
    const github = new GitHub(...new Clock().time);
    for (let i = 0; i < 100; i++) expect(ask(github, `/repos/${i}?takes=5`, { headers }).status).toBe(200);
    expect(ask(github, '/user', { headers }).status).toBe(403);
  });

  test('search has a minute of its own', () => {
    const clock = new Clock();
    const github = new GitHub(...clock.time);
    for (let i = 0; i < 30; i++) expect(ask(github, '/search/code', { headers }).status).toBe(200);
    expect(ask(github, '/search/code', { headers }).status).toBe(403);
    expect(told(ask(github, '/user', { headers }), 'github', clock.now)).toMatchObject([
      { name: 'core', remaining: 4_999 },
    ]);
  });
});

describe('Shopify', () => {
  const headers = { 'x-shopify-access-token': 'shop' };

  test('a bucket of forty that leaks two a second, of which somebody else has used a part', () => {
    const clock = new Clock();
    const shopify = new Shopify(...clock.time);
    const first = told(ask(shopify, '/admin/products.json', { headers }), 'shopify-rest', clock.now);
    expect(first).toEqual([{ remaining: 29, limit: 40, window: 20 }]);
    for (let i = 0; i < 29; i++) expect(ask(shopify, '/admin/products.json', { headers }).status).toBe(200);
    expect(ask(shopify, '/admin/products.json', { headers })).toMatchObject({
      status: 429,
      headers: { 'retry-after': '0.5' },
    });
    clock.now += 0.5;
    expect(ask(shopify, '/admin/products.json', { headers }).status).toBe(200);
    expect(ask(shopify, '/admin/products.json').status).toBe(401);
  });

  test('GraphQL: what it may cost has to fit, what it cost is spent, and a refusal is a 200', () => {
    const clock = new Clock();
    const shopify = new Shopify(...clock.time);
    const query = (requested: number, actual: number): Answered =>
      ask(shopify, '/admin/graphql.json', { method: 'POST', headers, body: { requested, actual } });
    const first = query(101, 46);
    expect(told(first, 'shopify-graphql', clock.now)).toEqual([{ remaining: 1_500 - 46, limit: 2_000, window: 20 }]);
    expect(shopifyCost(first)).toBe(46);
    query(1_400, 1_300);
    const refused = query(200, 1);
    expect(refused.status).toBe(200);
    expect(isThrottled(refused.body)).toBe(true);
    expect(shopifyCost(refused)).toBe(0);
    clock.now += 1;
    expect(isThrottled(query(200, 1).body)).toBe(false);
  });
});

test('over HTTP: answers, headers, and what was counted', async () => {
  const served = await serve(new Esi());
  try {
    const answer = await fetch(`${served.origin}/characters/90000001/wallet/?status=404`);
    expect(answer.status).toBe(404);
    expect(answer.headers.get('x-ratelimit-remaining')).toBe('145');
    const counts: unknown = await (await fetch(`${served.origin}/_counts`)).json();
    expect(counts).toEqual({ 'char-wallet/90000001': { asked: 1, refused: 0, tokens: 5 } });
    expect(
      (await fetch(served.origin, { method: 'POST', body: 'x'.repeat(1_100_000) }).catch(() => undefined))?.status ??
        413,
    ).toBe(413);
  } finally {
    await served.close();
  }
});
