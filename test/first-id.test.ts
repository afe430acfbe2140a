import { defineConfig, defineTracker } from '../exports';
import { eventually, Stack } from './support/stack';
import { resolveConfig } from '../config/resolve/config';

test('an added id is fetched, and its value shown', async () => {
  const stack = await Stack.start();
  try {
    const config = defineConfig({
      trackers: [
        defineTracker({
          name: 'demo',
          operations: { look: { every: '1s', run: ({ id }) => ({ value: { seen: id } }) } },
        }),
      ],
    });
    const worker = await stack.worker(config);
    const longwatch = await stack.connect();
    const demo = longwatch.tracker('demo');
    await demo.start(resolveConfig(config).trackers[0]!.options);
    await demo.add(['a'], { wait: true });
    const shown = await eventually('a value', async () => {
      const { values } = await demo.show('a');
      return values.find((value) => value.fetchedAt !== null);
    });
    expect(shown.value).toEqual({ seen: 'a' });
    await worker.shutdown();
    await worker.ended;
  } finally {
    await stack.close();
  }
});
