/** The example's tokens: refreshed once, five at a time, stored before use, given up after three refusals. */
import { createUpstream, HoldError, type Upstream } from 'longwatch/upstream';
import {
  MemoryTokenStore,
  PostgresTokenStore,
  type StoredToken,
  type TokenStore,
} from '../../../examples/eve/token-store';
import { TokenBook, type TokenOptions } from '../../../examples/eve/tokens';
import { startEveUpstream, type EveUpstream } from '../../../examples/eve/upstream/server';
import { Stack } from '../../support/stack';

const ID = '2112000001';
let server: EveUpstream;
let sso: Upstream;

beforeEach(async () => {
  server = await startEveUpstream({ settings: { refreshMs: 10 } });
  sso = createUpstream({ origin: server.origin, connections: 20 });
});
afterEach(async () => {
  await sso.close();
  await server.close();
});

function book(store: TokenStore, options: Partial<TokenOptions> = {}): TokenBook {
  return new TokenBook({ sso, store, clientId: 'tests', codeOf: (id) => `login-${id}`, ...options });
}

const outcome = (work: Promise<string>): Promise<HoldError> =>
  work.then(
    (token) => Promise.reject(new Error(`got ${token}`)),
    (error: unknown) => {
      if (error instanceof HoldError) return error;
      throw error;
    },
  );

const tokenRequests = (): Record<string, number> => server.counters().routes.token ?? {};
const expired = (refreshToken: string): StoredToken => ({
  refreshToken,
  accessToken: 'old',
  freshUntil: 0,
  refusals: 0,
});

test('many callers at once share one refresh, and later ones its token', async () => {
  const store = new MemoryTokenStore();
  store.tokens.set(ID, expired(server.login(Number(ID))));
  const tokens = book(store);
  const all = await Promise.all(Array.from({ length: 20 }, () => tokens.access(ID)));
  expect(new Set(all).size).toBe(1);
  expect(await tokens.access(ID)).toBe(all[0]);
  expect(server.counters().refreshes).toBe(1);
});

test('forty characters are refreshed five at a time', async () => {
  const store = new MemoryTokenStore();
  const ids = Array.from({ length: 40 }, (_, k) => k + 1);
  for (const id of ids) store.tokens.set(String(id), expired(server.login(id)));
  const tokens = book(store);
  await Promise.all(ids.map((id) => tokens.access(String(id))));
  const { refreshes, mostRefreshesAtOnce } = server.counters();
  expect(refreshes).toBe(40);
  expect(mostRefreshesAtOnce).toBeLessThanOrEqual(5);
  expect(mostRefreshesAtOnce).toBeGreaterThan(1);
  expect(tokenRequests()).toEqual({ 200: 40 });
});

test('the new refresh token is stored before the access token is used', async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let inStore: () => void = () => undefined;
  const storing = new Promise<void>((resolve) => (inStore = resolve));
  const memory = new MemoryTokenStore();
  const store: TokenStore = {
    change: async (id, lane, change) => {
      const changed = await memory.change(id, lane, change);
      inStore();
      await held;
      return changed;
    },
    close: async () => undefined,
  };
  let used = false;
  const access = book(store)
    .access(ID)
    .then(() => (used = true));
  await storing;
  await new Promise((resolve) => setImmediate(resolve));
  expect(used).toBe(false);
  release();
  await access;
});

test('a token that could not be stored is not lost: the next attempt stores it', async () => {
  const memory = new MemoryTokenStore();
  memory.tokens.set(ID, expired(server.login(Number(ID))));
  let broken = true;
  const store: TokenStore = {
    change: async (id, lane, change) => {
      if (!broken) return memory.change(id, lane, change);
      await change(memory.tokens.get(id));
      throw new Error('connection to postgres://user:hunter2@host lost');
    },
    close: async () => undefined,
  };
  const tokens = book(store, { retryMs: 0 });
  const error = await outcome(tokens.access(ID));
  expect(error.message).not.toContain('hunter2');
  broken = false;
  const access = await tokens.access(ID);
  expect(memory.tokens.get(ID)?.accessToken).toBe(access);
  // One refresh: a second one with the old refresh token would have been refused.
  expect(tokenRequests()).toEqual({ 200: 1 });
});

test('an access token near its end, or one that was answered with 401, is refreshed', async () => {
  server.set({ accessTokenSeconds: 0.2 });
  const tokens = book(new MemoryTokenStore());
  const first = await tokens.access(ID);
  const second = await tokens.access(ID, first);
  expect(second).not.toBe(first);
  // Two callers got the 401 for the same token: the other one takes what is there by now.
  expect(await tokens.access(ID, first)).toBe(second);
  const end = Date.now() + 200;
  while (Date.now() < end) await new Promise((resolve) => setImmediate(resolve));
  expect(await tokens.access(ID)).not.toBe(second);
  expect(server.counters().refreshes).toBe(2);
});

test('given up after three refusals, not sooner, and asked for no more', async () => {
  const store = new MemoryTokenStore();
  store.tokens.set(ID, expired(server.login(Number(ID))));
  server.revoke(Number(ID));
  const tokens = book(store, { retryMs: 0, givenUpMs: 50_000 });
  expect(await outcome(tokens.access(ID))).toMatchObject({
    scope: 'member',
    message: expect.stringMatching(/1 of 3/) as string,
  });
  expect(await outcome(tokens.access(ID))).toMatchObject({ message: expect.stringMatching(/2 of 3/) as string });
  const last = await outcome(tokens.access(ID));
  expect(last).toMatchObject({
    scope: 'member',
    afterMs: 50_000,
    message: expect.stringMatching(/given up/) as string,
  });
  expect((await outcome(tokens.access(ID))).afterMs).toBeLessThanOrEqual(50_000);
  expect(tokenRequests()).toEqual({ 400: 3 });
  // Another worker reads it in the store, and does not ask either.
  await outcome(book(store).access(ID));
  expect(tokenRequests()).toEqual({ 400: 3 });
  // The player logs in again.
  store.tokens.set(ID, expired(server.login(Number(ID))));
  expect(await book(store).access(ID)).toMatch(/^a\./);
});

test('two refusals and then a good answer: the count begins anew', async () => {
  const store = new MemoryTokenStore();
  store.tokens.set(ID, { ...expired(server.login(Number(ID))), refusals: 2 });
  await book(store).access(ID);
  expect(store.tokens.get(ID)?.refusals).toBe(0);
});

test('a refusal holds for a while, and nothing is asked meanwhile', async () => {
  const store = new MemoryTokenStore();
  store.tokens.set(ID, expired('r.1.1.forged'));
  const tokens = book(store);
  expect((await outcome(tokens.access(ID))).afterMs).toBe(30_000);
  const again = await outcome(tokens.access(ID));
  expect(again.afterMs).toBeGreaterThan(29_000);
  expect(tokenRequests()).toEqual({ 400: 1 });
});

test.each([
  ['answers 500', { refreshesAtOnce: 0 }],
  ['answers garbage', { garbageRate: 1 }],
  ['closes the socket', { closeRate: 1 }],
])('a login server that %s refuses nobody', async (_name, settings) => {
  const store = new MemoryTokenStore();
  const refresh = server.login(Number(ID));
  store.tokens.set(ID, expired(refresh));
  server.set(settings);
  const tokens = book(store, { retryMs: 0 });
  for (let k = 0; k < 4; k++) {
    const error = await outcome(tokens.access(ID));
    expect(error).toMatchObject({ scope: 'member', message: expect.stringMatching(/just now/) as string });
    expect(error.message).not.toContain(refresh);
  }
  expect(store.tokens.get(ID)?.refusals).toBe(0);
  server.set({ refreshesAtOnce: 5, garbageRate: 0, closeRate: 0 });
  expect(await tokens.access(ID)).toMatch(/^a\./);
});

test('without a stored token and a way to log in, it says what to do', async () => {
  const error = await outcome(book(new MemoryTokenStore(), { codeOf: undefined }).access(ID));
  expect(error.message).toMatch(/no token; store one in eve\.token/);
});

describe('in PostgreSQL', () => {
  let stack: Stack;
  beforeAll(async () => (stack = await Stack.start()));
  afterAll(() => stack.close());

  test('five places for all workers together', async () => {
    server.set({ refreshMs: 100 });
    const books = [1, 2, 3].map(() => book(new PostgresTokenStore(stack.servers.databaseUrl)));
    const ids = Array.from({ length: 10 }, (_, k) => k);
    await Promise.all(books.flatMap((tokens, b) => ids.map((id) => tokens.access(String(1_000 * (b + 1) + id)))));
    expect(server.counters().mostRefreshesAtOnce).toBeLessThanOrEqual(5);
    expect(tokenRequests()).toEqual({ 200: 30 });
    await Promise.all(books.map((tokens) => tokens.close()));
  });

  test('several workers share one refresh a character', async () => {
    const stores = [1, 2, 3].map(() => new PostgresTokenStore(stack.servers.databaseUrl));
    const books = stores.map((store) => book(store));
    const ids = Array.from({ length: 30 }, (_, k) => String(k + 1));
    const got = await Promise.all(books.map((tokens) => Promise.all(ids.map((id) => tokens.access(id)))));
    expect(got[1]).toEqual(got[0]);
    expect(got[2]).toEqual(got[0]);
    expect(tokenRequests()).toEqual({ 200: 30 });
    const rows = await stack.sql<{ n: string }>(
      'SELECT count(*) AS n FROM eve.token WHERE refusals = 0 AND character_id <= 30',
    );
    expect(rows[0]!.n).toBe('30');
    await Promise.all(books.map((tokens) => tokens.close()));
  });

  test('goes on with what an earlier process stored, and with a row typed in by hand', async () => {
    const refresh = server.login(77);
    await stack.sql('INSERT INTO eve.token (character_id, refresh_token) VALUES (77, $1)', [refresh]);
    const first = book(new PostgresTokenStore(stack.servers.databaseUrl), { codeOf: undefined });
    const access = await first.access('77');
    await first.close();
    const second = book(new PostgresTokenStore(stack.servers.databaseUrl), { codeOf: undefined });
    expect(await second.access('77')).toBe(access);
    expect(server.counters().refreshes).toBe(1);
    await second.close();
  });

  test('three refusals are counted over processes', async () => {
    await stack.sql(`INSERT INTO eve.token (character_id, refresh_token) VALUES (78, 'r.78.1.forged')`);
    for (const said of [/1 of 3/, /2 of 3/, /given up/, /given up/]) {
      const tokens = book(new PostgresTokenStore(stack.servers.databaseUrl));
      expect((await outcome(tokens.access('78'))).message).toMatch(said);
      await tokens.close();
    }
    expect(tokenRequests()).toEqual({ 400: 3 });
  });
});
