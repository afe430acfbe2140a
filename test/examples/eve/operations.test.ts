/** The example's operations against its upstream, its config, its `dev` hook, and the runner of the examples. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { resolveConfig, type RunResult } from 'longwatch';
import { HoldError, UpstreamError } from 'longwatch/upstream';
import { connectEve, type EveConnection } from '../../../examples/eve/connection';
import config, { dev } from '../../../examples/eve/longwatch.config';
import { EveOperations, QUIET_MS, type EveContext } from '../../../examples/eve/operations';
import { readSettings } from '../../../examples/eve/settings';
import { startEveUpstream, type EveUpstream } from '../../../examples/eve/upstream/server';

const ID = '2112000001';
let server: EveUpstream;
let connection: EveConnection;
let operations: EveOperations;

beforeEach(async () => {
  server = await startEveUpstream({ settings: { refreshMs: 0 } });
  connection = connectEve(readSettings({ EVE_UPSTREAM: server.origin }, '/'));
  operations = new EveOperations(() => connection);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await connection.close();
  await server.close();
});

const context = (etag?: string, id = ID): EveContext => ({ id, etag, signal: new AbortController().signal });
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
const valueOf = (result: RunResult): unknown => ('value' in result ? result.value : undefined);

/** Lets this process believe that it is later than it believed before. */
function later(ms: number): void {
  const now = Date.now() + ms;
  jest.spyOn(Date, 'now').mockImplementation(() => now);
}

describe('operations', () => {
  test.each(['location', 'ship', 'wallet', 'info'] as const)(
    '%s: value, ETag, expiry; then unchanged',
    async (name) => {
      const first = await operations[name](context());
      expect(valueOf(first)).toBeDefined();
      expect(first.expiresAt).toBeGreaterThan(Date.now());
      const second = await operations[name](context(first.etag));
      expect(second).toMatchObject({ unchanged: true, etag: first.etag });
      expect(second.expiresAt).toBeGreaterThan(Date.now());
      expect(server.counters().routes[name]).toEqual({ 200: 1, 304: 1 });
    },
  );

  test('online: not asked again before it expires, and then conditionally', async () => {
    const first = await operations.online(context());
    expect(valueOf(first)).toMatchObject({ online: expect.any(Boolean) as boolean });
    expect(await operations.online(context(first.etag))).toEqual(first);
    expect(server.counters().routes.online).toEqual({ 200: 1 });
    // This process is 61 s ahead of the server: for that one it has not expired, and is a 304.
    later(61_000);
    const third = await operations.online(context(first.etag));
    expect(valueOf(third)).toEqual(valueOf(first));
    expect(server.counters().routes.online).toEqual({ 200: 1, 304: 1 });
  });

  test('online in a process that does not know the answer asks for all of it', async () => {
    const { etag } = await operations.online(context());
    const other = new EveOperations(() => connection);
    expect(valueOf(await other.online(context(etag)))).toBeDefined();
    expect(server.counters().routes.online).toEqual({ 200: 2 });
  });

  test('one login for all operations of a character', async () => {
    await Promise.all([operations.location(context()), operations.ship(context()), operations.wallet(context())]);
    expect(server.counters().routes.token).toEqual({ 200: 1 });
  });

  test('an access token that ended early is replaced once', async () => {
    server.set({ accessTokenSeconds: 0 });
    await expect(operations.location(context())).rejects.toThrow();
    server.set({ accessTokenSeconds: 1_200 });
    const other = connectEve(readSettings({ EVE_UPSTREAM: server.origin }, '/'));
    const token = await other.tokens.access(ID);
    const check = jest.spyOn(other.tokens, 'access').mockResolvedValueOnce('a.1.1.gone');
    expect(valueOf(await new EveOperations(() => other).location(context()))).toBeDefined();
    expect(check.mock.calls).toEqual([[ID], [ID, 'a.1.1.gone']]);
    expect(await other.tokens.access(ID)).toBe(token);
    expect(server.counters().routes.location).toMatchObject({ 200: 1 });
    await other.close();
  });

  test('the limits: a bucket holds the member, the error limit the tracker', async () => {
    for (let k = 0; k < 75; k++) await operations.wallet(context());
    const bucket = await failureOf(operations.wallet(context()));
    expect(bucket).toBeInstanceOf(HoldError);
    expect(bucket).toMatchObject({ scope: 'member' });
    server.set({ deletedIds: [7] });
    for (let k = 0; k < 100; k++) await failureOf(operations.info(context(undefined, '7')));
    expect(await failureOf(operations.info(context()))).toMatchObject({ name: 'HoldError', scope: 'tracker' });
  });

  test.each(['../../_control', 'abc', '1/2', '12345678901'])('an id that is no character: %s', async (id) => {
    const error = (await failureOf(operations.info(context(undefined, id)))) as Error;
    expect(error.message).toContain("is not a character's id");
    expect(server.counters().requests).toBe(0);
  });

  test('the signal of a run ends its request', async () => {
    await operations.location(context());
    server.set({ hangRate: 1 });
    const controller = new AbortController();
    const run = failureOf(operations.ship({ id: ID, etag: undefined, signal: controller.signal }));
    setImmediate(() => controller.abort());
    const error = await run;
    expect(error).toBeInstanceOf(UpstreamError);
    expect(error).toMatchObject({ failure: 'aborted' });
  });
});

describe('the offline check', () => {
  async function someone(online: boolean): Promise<string> {
    for (let id = 1; id < 100; id++) {
      const answer = valueOf(await operations.online(context(undefined, String(id)))) as { online: boolean };
      if (answer.online === online) return String(id);
    }
    throw new Error('nobody');
  }
  const onlineRequests = (): number => Object.values(server.counters().routes.online ?? {}).reduce((a, b) => a + b, 0);

  test('who moves is not asked about', async () => {
    const id = await someone(true);
    const before = onlineRequests();
    later(QUIET_MS - 1_000);
    expect(await operations.offlineCheck(context(undefined, id))).toEqual({ value: { online: true, confirmed: true } });
    expect(onlineRequests()).toBe(before);
  });

  test('who has not moved for five minutes is, and so is who is unknown', async () => {
    const id = await someone(true);
    const before = onlineRequests();
    later(QUIET_MS + 1_000);
    expect(await operations.offlineCheck(context(undefined, id))).toEqual({ value: { online: true, confirmed: true } });
    expect(onlineRequests()).toBe(before + 1);
    const result = await operations.offlineCheck(context(undefined, '500'));
    expect(valueOf(result)).toMatchObject({ confirmed: true });
    expect(onlineRequests()).toBe(before + 2);
  });

  test('a move counts: a changed location, not the same one again', async () => {
    const id = await someone(true);
    later(QUIET_MS - 1_000);
    const { etag } = await operations.location(context(undefined, id));
    const before = onlineRequests();
    later(QUIET_MS - 1_000);
    await operations.offlineCheck(context(undefined, id));
    expect(onlineRequests()).toBe(before);
    await operations.location(context(etag, id));
    later(4_000);
    await operations.offlineCheck(context(undefined, id));
    expect(onlineRequests()).toBe(before + 1);
  });

  test('while the server is down: offline, unconfirmed; and again once it is up', async () => {
    const id = await someone(true);
    operations.everyoneOffline(context(undefined, id));
    server.set({ downtime: true });
    expect(await operations.offlineCheck(context(undefined, id))).toEqual({
      value: { online: false, confirmed: false },
    });
    server.set({ downtime: false });
    expect(await operations.offlineCheck(context(undefined, id))).toEqual({ value: { online: true, confirmed: true } });
  });
});

describe('the gate', () => {
  const ask = (): Promise<boolean> => operations.serverIsOpen({ signal: new AbortController().signal });

  test('is open, and is not asked again before the answer expires', async () => {
    expect([await ask(), await ask()]).toEqual([true, true]);
    expect(server.counters()).toMatchObject({ routes: { status: { 200: 1 } }, early: 0 });
  });

  test('is closed for vip and in the downtime; a broken connection proves nothing', async () => {
    server.set({ vip: true });
    expect(await ask()).toBe(false);
    later(60_000);
    server.set({ vip: false, downtime: true });
    expect(await ask()).toBe(false);
    server.set({ downtime: false });
    expect(await ask()).toBe(true);
    later(60_000);
    server.set({ closeRate: 1 });
    await expect(ask()).rejects.toThrow(UpstreamError);
  });
});

test('the config resolves to the six cadences', () => {
  const [tracker] = resolveConfig(config).trackers;
  const { operations: resolved, gate } = tracker!.options;
  const every = Object.fromEntries(Object.entries(resolved).map(([name, options]) => [name, options.everyMs]));
  expect(every).toEqual({
    location: 1_000,
    ship: 2_000,
    online: 30_000,
    info: 120_000,
    wallet: 600_000,
    offlineCheck: 300_000,
  });
  expect(gate?.everyMs).toBe(30_000);
  expect(resolved.wallet!.enabled).toBe(false);
  expect(resolved.offlineCheck).toMatchObject({ gated: false, stagger: { baseMs: 300_000 }, timeoutMs: 15_000 });
  expect(resolved.ship!.skipWhile).toEqual({ operation: 'location', slowerThanMs: 1_000 });
  expect(resolved.info!.skipWhile).toEqual({ operation: 'location', slowerThanMs: 1_500 });
  expect(resolved.location!.stagger).toEqual({ baseMs: 300, windowMs: 500 });
  expect(resolved.location!.concurrency).toBe(6 * resolved.ship!.concurrency);
});

describe('the dev hook', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(path.join(tmpdir(), 'longwatch-eve-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const log = pino({ level: 'silent' });

  test('starts the upstream, tells other workers where it is, and takes all of it back', async () => {
    const folder = path.join(dir, '.longwatch');
    const running = await dev.start!({ dir: folder, log, databaseUrl: 'postgres://example' });
    const { origin } = readSettings();
    expect(running.lines).toEqual([`Upstream     ${origin}`]);
    expect((await fetch(`${origin}/status/`)).status).toBe(200);
    // Another process has not this one's environment.
    const other = readSettings({}, path.join(dir));
    expect(other).toMatchObject({ origin, databaseUrl: 'postgres://example', ownUpstream: true });
    const file = path.join(folder, 'eve-upstream.json');
    expect(statSync(file).mode & 0o077).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain(origin);
    // If an upstream is given, none is started.
    const second = await dev.start!({ dir: path.join(dir, 'second'), log });
    expect(second.lines).toEqual(running.lines);
    await second.stop();
    await running.stop();
    expect(existsSync(file)).toBe(false);
    expect(process.env.EVE_UPSTREAM).toBeUndefined();
    expect(process.env.EVE_DATABASE_URL).toBeUndefined();
    await expect(fetch(`${origin}/status/`)).rejects.toThrow();
  });

  test('two stacks at once: the second takes a free port', async () => {
    const first = await dev.start!({ dir: path.join(dir, 'a'), log });
    delete process.env.EVE_UPSTREAM;
    const second = await dev.start!({ dir: path.join(dir, 'b'), log });
    expect(second.lines).not.toEqual(first.lines);
    await second.stop();
    await first.stop();
    delete process.env.EVE_UPSTREAM;
  });

  test('two hundred characters to begin with', () => {
    const ids = dev.trackers!.characters!.ids;
    expect(new Set(ids).size).toBe(200);
    expect(ids.every((id) => /^\d{10}$/.test(id) && Number(id) < 2 ** 31)).toBe(true);
  });
});

test('settings: the real upstream has its own login server, and no players of ours', () => {
  const real = readSettings({ EVE_UPSTREAM: 'https://esi.evetech.net' }, '/');
  expect(real).toMatchObject({ ssoOrigin: 'https://login.eveonline.com', ownUpstream: false });
  const none = readSettings({}, '/');
  expect(none).toMatchObject({ origin: 'http://127.0.0.1:9410', ownUpstream: true, databaseUrl: undefined });
});

test('npm run example says which examples there are', () => {
  const run = (...names: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, ['--import', 'tsx', path.join('examples', 'run.ts'), ...names], { encoding: 'utf8' });
  const wrong = run('nonsense');
  expect(wrong.status).toBe(2);
  expect(wrong.stderr).toMatch(/^There is no example 'nonsense' to run\. There is: .+\.\n$/);
  expect(run().status).toBe(2);
});
