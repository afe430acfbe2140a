/**
 * The job queues that people use, each in its best settings for many small jobs: pushed in bulk, taken in bulk, a
 * handler that does nothing. Each call pushes `entries` and answers how many milliseconds it took until all were
 * handled.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';
import PgBoss from 'pg-boss';
import { serve } from '../harness/child';

const payload = (n: number) => ({ n, pad: 'x'.repeat(40) });
const bulk = 1_000;

async function inBulk(entries: number, lanes: number, push: (numbers: number[]) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < entries) {
      const from = next;
      next += bulk;
      await push(Array.from({ length: Math.min(bulk, entries - from) }, (_, i) => from + i));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Counts to `entries`, then resolves. */
function counter(entries: number): { done: Promise<void>; add: (count: number) => void } {
  let left = entries;
  let end: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (end = resolve));
  return { done, add: (count) => (left -= count) <= 0 && end() };
}

serve({
  pgBoss: async (databaseUrl: string, entries: number) => {
    const boss = new PgBoss({ connectionString: databaseUrl, max: 8 });
    boss.on('error', () => undefined);
    await boss.start();
    await boss.createQueue('bench');
    const { done, add } = counter(entries);
    let over = false;
    const began = performance.now();
    const takers = Promise.all(
      Array.from({ length: 2 }, async () => {
        while (!over) {
          const jobs = await boss.fetch('bench', { batchSize: 2_000 });
          if (jobs.length > 0) {
            await boss.complete('bench', jobs.map((job) => job.id)); // prettier-ignore
            add(jobs.length);
          } else await delay(2);
        }
      }),
    );
    await inBulk(entries, 4, (numbers) => boss.insert(numbers.map((n) => ({ name: 'bench', data: payload(n) }))));
    await done;
    const took = performance.now() - began;
    over = true;
    await takers;
    await boss.stop({ graceful: false });
    return took;
  },

  graphileWorker: async (databaseUrl: string, entries: number) => {
    const { Logger, makeWorkerUtils, run } = await import('graphile-worker');
    const utils = await makeWorkerUtils({ connectionString: databaseUrl });
    await utils.migrate();
    const { done, add } = counter(entries);
    const runner = await run({
      connectionString: databaseUrl,
      noHandleSignals: true,
      logger: new Logger(() => () => undefined),
      taskList: { bench: () => add(1) },
      preset: {
        worker: {
          concurrentJobs: 24,
          pollInterval: 2_000,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    const began = performance.now();
    await inBulk(entries, 4, (numbers) =>
      utils.addJobs(numbers.map((n) => ({ identifier: 'bench', payload: payload(n) }))),
    );
    await done;
    const took = performance.now() - began;
    await runner.stop();
    await utils.release();
    return took;
  },

  bullmq: async (port: number, entries: number) => {
    const connections: IORedis[] = [];
    const connect = (): IORedis => {
      const connection = new IORedis(port, '127.0.0.1', { maxRetriesPerRequest: null });
      connections.push(connection);
      return connection;
    };
    const queue = new Queue('bench', { connection: connect() });
    const { done, add } = counter(entries);
    const workers = Array.from({ length: 4 }, () => {
      const worker = new Worker('bench', async () => add(1), { connection: connect(), concurrency: 200 });
      worker.on('error', () => undefined);
      return worker;
    });
    await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    const began = performance.now();
    await inBulk(entries, 4, (numbers) =>
      queue.addBulk(
        numbers.map((n) => ({
          name: 'bench',
          data: payload(n),
          opts: { removeOnComplete: true, removeOnFail: true },
        })),
      ),
    );
    await done;
    const took = performance.now() - began;
    await Promise.all(workers.map((worker) => worker.close(true)));
    await queue.close();
    // They leave open the connections that were given to them.
    for (const connection of connections) connection.disconnect();
    return took;
  },
});
