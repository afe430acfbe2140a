/** Code that asks an upstream with limits which nothing in its config names, on real servers: it sends nothing. */
import { Esi } from '../../examples/upstreams/esi';
import { serve, type Served } from '../../examples/upstreams/server';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import { defineUpstream } from '../../exports/upstream';
import { eventually, Stack } from '../support/stack';

const upstream = new Esi();
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

test('a worker that would count none of its requests sends none, and says what to write', async () => {
  const limits = { all: { key: 'address', tokens: 100, window: '1m' } } as const;
  const weather = defineUpstream({ name: 'weather', origin: served.origin, limits });
  const config = defineConfig({
    trackers: [
      defineTracker({
        name: 'stations',
        operations: {
          // Its `upstream: weather` was forgotten.
          temperature: { every: '200ms', run: async ({ id }) => ({ value: (await weather.get(`/${id}`)).body }) },
        },
      }),
    ],
  });
  await stack.worker(config);
  const tracker = (await stack.connect()).tracker('stations');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  await tracker.add(['a'], { wait: true });
  const value = await eventually('its run has failed', async () => {
    const [stored] = (await tracker.show('a')).values;
    return stored?.error ? stored : undefined;
  });
  expect(value.error).toMatch(/upstream 'weather' has limits, .* write `upstream: …` at what asks it/);
  expect(upstream.counts.size).toBe(0);
});
