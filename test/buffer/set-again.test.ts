/** A change of options whose answer was lost: the attempt that follows finds it made, and the shards hear of it. */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { storeBufferChanges } from '../../activities/buffer/store/buffers';
import { defineBuffer, defineConfig, resolveConfig } from '../../exports';
import { eventually, Stack } from '../support/stack';

const ran: unknown[][] = [];
const held = defineBuffer({
  name: 'held',
  shards: 1,
  poll: false,
  maxBatchSize: 100,
  flushInterval: 'never',
  run: (entries: number[]) => {
    ran.push(entries);
  },
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

test('the shards hear of it', async () => {
  const config = defineConfig({ buffers: [held] });
  await stack.worker(config);
  const buffer = (await stack.connect()).buffer(held);
  await buffer.start(resolveConfig(config).buffers[0]!.options);
  await buffer.push([1, 2, 3]);

  // The first attempt has committed, and its worker has died.
  const database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  const change = { path: 'maxBatchSize', value: 3 };
  expect(await database.transaction((db) => storeBufferChanges(db, 'held', [change]))).toBe(true);
  await database.close();
  expect(ran).toEqual([]);

  await buffer.set({ maxBatchSize: 3 });
  await eventually('a batch of three', () => ran.length === 1);
  expect(ran).toEqual([[1, 2, 3]]);
});
