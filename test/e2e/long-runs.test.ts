/** TR-H10: runs that take longer than a shift end, are stored, and are asked of the upstream once. */
import path from 'node:path';
import { resolveConfig } from '../../exports';
import { eventually, Stack } from '../support/stack';
import config from './fixtures/long.config';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

test('an operation whose runs last three shifts brings its value, while the other one goes on', async () => {
  await stack.workerProcess(path.join(__dirname, 'fixtures/long.config.ts')).ready;
  const longwatch = await stack.connect();
  const long = longwatch.tracker('long');
  await long.start(resolveConfig(config).trackers[0]!.options);
  await long.add(['a'], { wait: true });
  const valueOf = async (operation: string) =>
    (await long.show('a')).values.find((value) => value.operation === operation);
  const slow = await eventually('the long run has ended', async () => {
    const value = await valueOf('slow');
    return value?.fetchedAt ? value : undefined;
  });
  expect(slow.value).toBe('all of it');
  expect(slow.failures).toBe(0);
  // The shift that began it lived on for it, and then there was another one.
  const before = (await valueOf('quick'))!.fetchedAt!;
  await eventually('a second long run', async () => (await valueOf('slow'))!.fetchedAt! > slow.fetchedAt!);
  expect((await valueOf('quick'))!.fetchedAt! > before).toBe(true);
  const [pool] = await long.pools();
  expect(pool!.shift).toBeGreaterThan(1);
});
