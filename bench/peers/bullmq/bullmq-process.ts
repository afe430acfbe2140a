/** BullMQ's side of the polling: a job scheduler an id, a worker that fetches and upserts. */
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';
import { serve } from '../../harness/child';
import { peerStore } from '../store';

const AT_ONCE = 200;

serve({
  start: async (port: number, databaseUrl: string, origin: string, ids: number, everyMs: number) => {
    const connect = () => new IORedis(port, '127.0.0.1', { maxRetriesPerRequest: null });
    const store = peerStore(databaseUrl, origin);
    const queue = new Queue<{ id: string }>('peer', { connection: connect() });
    const lanes = Array.from({ length: 50 }, async (_, lane) => {
      for (let id = lane + 1; id <= ids; id += 50) {
        const job = { name: 'look', data: { id: String(id) }, opts: { removeOnComplete: true, removeOnFail: true } };
        await queue.upsertJobScheduler(`look-${id}`, { every: everyMs }, job);
      }
    });
    await Promise.all(lanes);
    const worker = new Worker<{ id: string }>('peer', (job) => store.fetchIds([job.data.id]), {
      connection: connect(),
      concurrency: AT_ONCE,
    });
    worker.on('error', (error) => process.stderr.write(`BullMQ: ${error.message}\n`));
  },
});
