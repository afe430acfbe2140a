/** The memory monitor: whom it asks, and that a worker under a real heap limit outlives what is pushed to it. */
import path from 'node:path';
import { pino } from 'pino';
import { MemoryMonitor } from '../../activities/buffer';
import { resolveConfig } from '../../client';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';
import config from './memory.config';

test('above 80 % the largest shards shrink one by one, those at their minimum are let be, below 70 % they grow again', async () => {
  let use = 0.5;
  const told: string[] = [];
  const monitor = new MemoryMonitor({
    use: () => use,
    tell: async (buffer, shard, wish) => void told.push(`${wish} ${buffer}/${shard}`),
    log: pino({ level: 'silent' }),
  });
  for (const [shard, bytes] of [10, 30, 20, 1].entries()) {
    monitor.note({ buffer: 'b', shard, bytes, shrunk: false, atMinimum: bytes === 1 });
  }
  await monitor.look();
  expect(told).toEqual([]);
  use = 0.85;
  for (let i = 0; i < 6; i++) await monitor.look();
  expect(told).toEqual(['shrink b/1', 'shrink b/2', 'shrink b/0']);
  use = 0.75;
  for (let i = 0; i < 50; i++) await monitor.look();
  expect(told).toHaveLength(3);
  use = 0.6;
  for (let i = 0; i < 10; i++) await monitor.look();
  expect(told.slice(3)).toEqual(['grow b/0']);
  for (let i = 0; i < 40; i++) await monitor.look();
  expect(told.slice(4)).toEqual(['grow b/2', 'grow b/1']);
});

test('a worker with a heap of 192 MB takes in 100 MB of entries that nobody handles yet', async () => {
  const stack = await Stack.start();
  try {
    const worker = stack.workerProcess(path.join(__dirname, 'memory.config.ts'), {
      NODE_OPTIONS: '--max-old-space-size=192',
    });
    await worker.ready;
    const died = new Promise<never>((_, reject) =>
      worker.process.once('exit', (code, signal) => reject(new Error(`the worker ended: ${code ?? signal}`))),
    );
    died.catch(() => undefined);
    await Promise.race([hoard(await stack.connect()), died]);
  } finally {
    await stack.close();
  }
}, 330_000);

async function hoard(longwatch: Longwatch): Promise<void> {
  const buffer = longwatch.buffer('hoard');
  await buffer.start(resolveConfig(config).buffers[0]!.options);
  await buffer.pause();
  const entries = 100_000;
  let shrunk = 0;
  const looking = setInterval(() => {
    void longwatch.status().then((status) => (shrunk = Math.max(shrunk, status.buffers[0]!.shrunk)));
  }, 300);
  await buffer.push(
    Array.from({ length: entries }, (_, n) => ({ n, text: 'x'.repeat(1_000) })),
    { timeoutMs: 60_000 },
  );
  clearInterval(looking);
  expect(
    await eventually(
      'all are in',
      async () => {
        const status = await buffer.status();
        return status.accepted === entries && status;
      },
      60_000,
    ),
  ).toMatchObject({ balanced: true, pending: entries });
  await eventually('shards were asked to shrink', async () => {
    shrunk = Math.max(shrunk, (await buffer.status()).shrunk);
    return shrunk > 0;
  });
  await eventually('it goes on', () => buffer.resume().then(() => true), 60_000);
  await eventually('all are handled', async () => (await buffer.status()).done === entries, 180_000);
}
