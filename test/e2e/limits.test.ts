/**
 * An upstream's limits on real servers: a simulated ESI that counts to the token, a worker that learns its buckets from
 * headers, members that wait for theirs while others go on.
 */
import { Esi } from '../../examples/upstreams/esi';
import { serve, type Served } from '../../examples/upstreams/server';
import { defineConfig, defineTracker, resolveConfig, type RunContext } from '../../exports';
import { defineUpstream } from '../../exports/upstream';
import { eventually, Stack } from '../support/stack';

/** 24 tokens a character and group in a quarter of an hour: twelve fetches. */
const upstream = new Esi({ share: 0.02 });
let served: Served;
let stack: Stack;

beforeAll(async () => {
  served = await serve(upstream);
  stack = await Stack.start();
});
afterAll(async () => {
  await stack?.close();
  await served?.close();
});

const tokensOf = (key: string) => upstream.counts.get(key)?.tokens ?? 0;
const refused = () => [...upstream.counts.values()].reduce((sum, counts) => sum + counts.refused, 0);

test('a member whose bucket is empty waits, nothing is refused, and another route of the same member goes on', async () => {
  const esi = defineUpstream({
    name: 'esi',
    origin: served.origin,
    limits: {
      errors: {
        key: ({ address, header }) => (header('x-esi-error-limit-remain') === undefined ? undefined : address),
        tokens: 100,
        window: '1m',
        shape: 'fixed',
        closesAtEnd: true,
        learn: 'esi-errors',
        cost: ({ status }) => (status >= 400 ? 1 : 0),
      },
      group: {
        key: ({ id, header }) => `${header('x-ratelimit-group')}:${id}`,
        learn: 'esi-group',
        cost: { 200: 2, 304: 1, '4xx': 5, 429: 0, '5xx': 0 },
      },
    },
  });
  const get = (route: string) => async (context: RunContext) => {
    const answer = await esi.get(`/characters/${context.id}/${route}/`);
    return { value: answer.body };
  };
  const characters = defineTracker({
    name: 'characters',
    operations: {
      location: { every: '100ms', upstream: esi, run: get('location') },
      assets: { every: '100ms', upstream: esi, run: get('assets') },
    },
  });
  const config = defineConfig({ trackers: [characters] });
  await stack.worker(config);
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker('characters');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  await tracker.add(['90000001', '90000002', '90000003'], { wait: true });
  await eventually('the buckets are spent', () => tokensOf('char-location/90000003') >= 18);
  const before = upstream.counts.get('errors/here')?.asked ?? 0;
  await eventually('the other route goes on', () => (upstream.counts.get('errors/here')?.asked ?? 0) > before + 60);
  expect(refused()).toBe(0);
  for (const id of [1, 2, 3]) {
    expect(tokensOf(`char-location/9000000${id}`)).toBeGreaterThanOrEqual(18);
    expect(tokensOf(`char-location/9000000${id}`)).toBeLessThanOrEqual(24);
  }
});

test('status names the bucket that holds members back, show says until when, and limits change while it runs', async () => {
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker('characters');
  const [held] = await eventually('status says it', async () => {
    const { heldBack } = await tracker.status();
    return heldBack[0]?.members === 3 && heldBack;
  });
  expect(held).toMatchObject({ operation: 'location', upstream: 'esi', limit: 'group', buckets: 3, closed: false });
  expect(held!.bucket).toMatch(/^esi\/group:char-location:9000000\d$/);
  const shown = await tracker.show('90000002');
  expect(shown.waits).toEqual([
    expect.objectContaining({ operation: 'location', bucket: 'esi/group:char-location:90000002' }),
  ]);
  const { until } = shown.waits[0]!;
  // Its first tokens come back a quarter of an hour after they were spent.
  expect(Date.parse(until!) - Date.now()).toBeGreaterThan(60_000);
  expect(shown.values.find(({ operation }) => operation === 'location')!.nextAt).toBe(until);

  await expect(longwatch.upstream('esj').config()).rejects.toThrow("did you mean 'esi'");
  await expect(longwatch.upstream('esi').set({ 'limits.group.cost': '3' })).rejects.toThrow('it is code');
  const set = { 'limits.errors.tokens': '50' };
  expect(await longwatch.upstream('esi').set(set, { why: 'a quiet day' })).toEqual({ upstream: 'esi', changed: true });
  expect(await longwatch.upstream('esi').set(set)).toMatchObject({ changed: false });
  const settings = await longwatch.upstream('esi').config();
  expect(settings.find(({ path }) => path === 'limits.errors.tokens')).toMatchObject({
    value: '50',
    source: 'set',
    configured: '100',
  });
  await eventually('the ledger goes by it', async () => {
    const [row] = await stack.sql<{ tokens: number }>(
      `select tokens from longwatch.budget where limit_name = 'errors'`,
    );
    return row!.tokens === 50;
  });
  const [audited] = await longwatch.audit({ subject: 'upstream/esi' });
  expect(audited).toMatchObject({ what: 'set', outcome: 'unchanged' });
});
