/** The memory monitor: whom it asks, and that a worker under a real heap limit outlives what is pushed to it. */
import path from 'node:path';
import { pino } from 'pino';
import { MemoryMonitor } from '../../activities/buffer';
import { resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './memory.config';

const GIB = 1024 ** 3;

test('above 80 % the largest shards shrink one by one, those at their minimum are let be, below 70 % they grow again', async () => {
  let use = 0.5;
  const told: string[] = [];
  const monitor = new MemoryMonitor({
    heap: () => ({ bytes: use * GIB, limit: GIB }),
    tell: async (buffer, shard, wish) => void told.push(`${wish} ${buffer}/${shard}`),
    log: pino({ level: 'silent' }),
  });
  for (const [shard, bytes] of [10, 30, 20, 1].entries()) {
    monitor.note({ buffer: 'b', shard, bytes, shrunk: false, atMinimum: bytes === 1 });
  }
  await monitor.look();
  expect(told).toEqual([]);
  use = 0.85;
  await monitor.look();
  // That of the largest would do: the others are let be until it is seen not to.
  expect(told).toEqual(['shrink b/1']);
  for (let i = 0; i < 5; i++) await monitor.look();
  expect(told).toEqual(['shrink b/1', 'shrink b/2', 'shrink b/0']);
  use = 0.75;
  for (let i = 0; i < 50; i++) await monitor.look();
  expect(told).toHaveLength(3);
  use = 0.6;
  for (let i = 0; i < 20; i++) await monitor.look();
  expect(told.slice(3)).toEqual(['grow b/0', 'grow b/2']);
  for (let i = 0; i < 60; i++) await monitor.look();
  expect(told.slice(5)).toEqual(['grow b/1']);
});

test('as many shards at once are asked as would bring it to 70 %', async () => {
  const told: number[] = [];
  const monitor = new MemoryMonitor({
    heap: () => ({ bytes: 0.9 * GIB, limit: GIB }),
    tell: async (_buffer, shard) => void told.push(shard),
    log: pino({ level: 'silent' }),
  });
  for (let shard = 0; shard < 10; shard++) {
    monitor.note({ buffer: 'b', shard, bytes: 100 + shard, shrunk: false, atMinimum: false });
  }
  await monitor.look();
  expect(told).toEqual([9, 8, 7]);
  await monitor.look();
  expect(told).toEqual([9, 8, 7, 6, 5]);
});

test('a shard that a node which is gone has asked to shrink may grow again where it is now', async () => {
  const told: string[] = [];
  const monitor = new MemoryMonitor({
    heap: () => ({ bytes: 0.5 * GIB, limit: GIB }),
    tell: async (buffer, shard, wish) => void told.push(`${wish} ${buffer}/${shard}`),
    log: pino({ level: 'silent' }),
  });
  monitor.note({ buffer: 'b', shard: 0, bytes: 10, shrunk: true, atMinimum: true });
  for (let i = 0; i < 20; i++) await monitor.look();
  expect(told).toEqual(['grow b/0']);
});

test('a shard that has not been heard of for ten minutes is on another node, and is asked for nothing', async () => {
  const now = jest.spyOn(Date, 'now');
  const told: string[] = [];
  const monitor = new MemoryMonitor({
    heap: () => ({ bytes: 0.9 * GIB, limit: GIB }),
    tell: async (buffer, shard, wish) => void told.push(`${wish} ${buffer}/${shard}`),
    log: pino({ level: 'silent' }),
  });
  const began = Date.now();
  monitor.note({ buffer: 'b', shard: 0, bytes: 100, shrunk: false, atMinimum: false });
  now.mockReturnValue(began + 9 * 60_000);
  monitor.note({ buffer: 'b', shard: 1, bytes: 10, shrunk: false, atMinimum: false });
  now.mockReturnValue(began + 11 * 60_000);
  await monitor.look();
  now.mockRestore();
  expect(told).toEqual(['shrink b/1']);
});

test('a small heap keeps 64 MB free', async () => {
  const limit = GIB / 8;
  let bytes = limit / 2;
  const told: string[] = [];
  const monitor = new MemoryMonitor({
    heap: () => ({ bytes, limit }),
    tell: async (_buffer, _shard, wish) => void told.push(wish),
    log: pino({ level: 'silent' }),
  });
  monitor.note({ buffer: 'b', shard: 0, bytes: 1, shrunk: false, atMinimum: false });
  await monitor.look();
  expect(told).toEqual([]);
  bytes += 1;
  await monitor.look();
  expect(told).toEqual(['shrink']);
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
    await Promise.race([hoard(await stack.connect(), worker), died]);
  } finally {
    await stack.close();
  }
});

async function hoard(longwatch: Longwatch, worker: WorkerProcess): Promise<void> {
  const buffer = longwatch.buffer('hoard');
  await buffer.start(resolveConfig(config).buffers[0]!.options);
  await buffer.pause();
  const entries = 100_000;
  // The shards' reports: each shard that is asked itself may have to be loaded first.
  const told = async () => (await longwatch.status()).buffers[0]!;
  const shrunk = async (): Promise<number> =>
    Number(/^longwatch_buffer_shards_shrunk (\d+)$/m.exec(await worker.metrics())?.[1]);
  let most = 0;
  const looking = setInterval(() => {
    void shrunk().then(
      (count) => (most = Math.max(most, count)),
      () => undefined,
    );
  }, 300);
  // So short of memory, a shard may take minutes where the others take seconds.
  const withinMs = 600_000;
  try {
    await buffer.push(
      Array.from({ length: entries }, (_, n) => ({ n, text: 'x'.repeat(1_000) })),
      { timeoutMs: 240_000 },
    );
    const all = await eventually(
      'all are in',
      async () => {
        const status = await told();
        return status.accepted === entries && status;
      },
      withinMs,
    );
    expect(all).toMatchObject({ balanced: true, pending: entries });
    await eventually('it goes on', () => buffer.resume().then(() => true));
    await eventually('all are handled', async () => (await told()).done === entries, withinMs);
  } finally {
    clearInterval(looking);
  }
  expect(most).toBeGreaterThan(0);
  // V8 frees nothing while nothing happens.
  const more = Array.from({ length: 1_000 }, (_, n) => ({ n, text: 'y'.repeat(1_000) }));
  await eventually('they grow again', () => buffer.push(more).then(async () => (await shrunk()) === 0), withinMs);
  await eventually('the shards know it', async () => (await buffer.status()).shrunk === 0, withinMs);
}
