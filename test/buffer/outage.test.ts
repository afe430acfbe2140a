/**
 * PostgreSQL is away for longer than the shards can bridge: their senders are told to wait, and nothing is lost or out
 * of order.
 */
import { defineBuffer } from '../../exports';
import { resolveDefinition } from '../../config/resolve/buffer';
import { eventually, Stack } from '../support/stack';

const handled: number[] = [];
const patient = defineBuffer({
  name: 'patient',
  shards: 1,
  maxConcurrency: 1,
  flushInterval: '20ms',
  bound: { entries: 1_000, bytes: 100_000 },
  run: (entries: { n: number; text: string }[]) => entries.forEach(({ n }) => handled.push(n)),
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
  await stack.worker({ buffers: [patient] });
});
afterAll(() => stack.close());

test('past what a shard holds without PostgreSQL its senders wait, by signal as by update', async () => {
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer('patient');
  await buffer.start(resolveDefinition(patient, []).options);
  await buffer.pause();
  const text = 'x'.repeat(2_000);
  let next = 0;
  const push = async (options: { wait?: boolean; timeoutMs?: number }): Promise<void> => {
    const entries = Array.from({ length: 200 }, (_, i) => ({ n: next + i, text }));
    await buffer.push(entries, options).catch((error: unknown) => {
      next += (error as { acceptedSoFar?: number }).acceptedSoFar ?? 0;
      throw error;
    });
    next += entries.length;
  };
  await push({});
  await stack.servers.kill('postgres');

  const pushUntilFull = async (wait: boolean): Promise<unknown> => {
    // Ten times what is held; without a limit it would all be taken.
    while (next < 50_000) {
      // One that a busy machine leaves without an answer would be neither taken nor refused.
      const error = await push({ wait, timeoutMs: 20_000 }).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error) return error;
    }
    return 'never full';
  };
  expect(await pushUntilFull(false)).toMatchObject({ name: 'BufferFullError', accepted: false });
  expect(await pushUntilFull(true)).toMatchObject({ name: 'BufferFullError', accepted: false });
  // The next run of the shard can carry so much, and some was under way before the outage was known.
  expect(next * text.length).toBeGreaterThan(800_000);
  expect(next * text.length).toBeLessThan(6_000_000);

  const waiting = push({ timeoutMs: 60_000 });
  await stack.servers.start('postgres');
  await waiting;
  await eventually('it is resumed', () => buffer.resume().then(() => true));
  await eventually('all are handled', async () => {
    const status = await buffer.status();
    expect(status.balanced).toBe(true);
    return status.ageMs === 0 && status.accepted === next && status.done === next;
  });
  expect(handled).toEqual(Array.from({ length: next }, (_, n) => n));
});
