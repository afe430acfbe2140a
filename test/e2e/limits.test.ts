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
