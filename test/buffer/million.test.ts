/** A push of a million small entries, with the defaults: each of them is handled once. */
import { defineBuffer } from '../../exports';
import { resolveDefinition } from '../../config/resolve/buffer';
import { eventually, Stack } from '../support/stack';

const ENTRIES = 1_000_000;
const times = new Uint8Array(ENTRIES);
const many = defineBuffer({ name: 'many', run: (entries: number[]) => entries.forEach((n) => times[n]!++) });

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker({ buffers: [many] });
});
afterAll(() => stack.close());

test('a million at once', async () => {
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer('many');
  await buffer.start(resolveDefinition(many, []).options);
  function* entries(): Generator<number> {
    for (let n = 0; n < ENTRIES; n++) yield n;
  }
  expect(await buffer.push(entries(), { timeoutMs: 240_000 })).toMatchObject({ accepted: ENTRIES });
  const status = await eventually(
    'all are handled',
    async () => {
      const now = await buffer.status();
      expect(now.balanced).toBe(true);
      return now.ageMs === 0 && now.pending + now.running === 0 && now;
    },
    180_000,
  );
  expect(status).toMatchObject({ accepted: ENTRIES, done: ENTRIES, dead: 0 });
  expect(times.every((count) => count === 1)).toBe(true);
});
