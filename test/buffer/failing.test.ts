/** An upstream that refuses everything, wordily: what is carried of it stays small, so the shards go on and end in dead letters. */
import { defineBuffer } from '../../workers/config/buffer';
import { resolveDefinition } from '../../workers/config/resolve-buffers';
import { eventually, Stack } from '../support/stack';

const ENTRIES = 300;

const refused = defineBuffer({
  name: 'refused',
  shards: 1,
  flushInterval: '20ms',
  maxBatchSize: 200,
  maxConcurrency: 8,
  historyEvents: 200,
  bound: { entries: 500, bytes: 10_000 },
  retry: { base: '1ms', cap: '1ms', attempts: 2 },
  run: (entries: number[]) => {
    throw new Error(`${entries[0]} cannot be had: ${'because of this and that; '.repeat(20)}`);
  },
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker({ buffers: [refused] });
}, 90_000);
afterAll(() => stack.close());

test('all of them are dead, through many runs of the workflow', async () => {
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer('refused');
  await buffer.start(resolveDefinition(refused, []).options);
  await buffer.push(Array.from({ length: ENTRIES }, (_, i) => i));
  const status = await eventually(
    'all are dead',
    async () => {
      const now = await buffer.status();
      expect(now.balanced).toBe(true);
      return now.dead === ENTRIES && now;
    },
    90_000,
  );
  expect(status).toMatchObject({ accepted: ENTRIES, done: 0, pending: 0, running: 0 });
  expect(status.shards[0]!.runs).toBeGreaterThan(3);
}, 120_000);
