/**
 * A buffer, from push to handled: 50,000 entries of 60 bytes with default options beside the job queues that people
 * use, and 1,000,000 to see that an entry costs the same. Temporal's SQLite syncs each commit (`synchronous=FULL`), as
 * PostgreSQL and the peers' stores do.
 */
import path from 'node:path';
import type { BufferHandle } from '../../client/buffer/handle';
import type { Bench } from '../harness/bench';
import type { Child } from '../harness/child';
import { defineScenario, type Reading } from '../harness/scenario';
import { startRedis } from '../peers/bullmq/redis';
import { benched } from '../buffer/definition';

const SMALL = 50_000;
const LARGE = 1_000_000;
/** The median of so many pushes of the small size. */
const TIMES = 5;

export const scenario = defineScenario({
  title: `a buffer from push to handled: ${SMALL.toLocaleString('en-US')} entries, and ${LARGE.toLocaleString('en-US')}`,
  async run(bench) {
    const stack = await bench.stack({ synchronous: 'FULL' });
    const { temporalAddress, namespace, databaseUrl } = stack.servers;
    const worker = await bench.child(path.join(__dirname, '../buffer/worker-process.ts'));
    await worker.call('start', temporalAddress, namespace, databaseUrl);
    const longwatch = await stack.connect();
    const buffer = longwatch.buffer('bench');
    await buffer.start(benched.buffers[0]!.options);
    const pushed = (entries: number): Promise<number> => pushAll(buffer, worker, entries);

    bench.say('warming up');
    await pushed(SMALL);
    const small: number[] = [];
    for (let i = 0; i < TIMES; i++) {
      await bench.sleep(1_000);
      small.push(await pushed(SMALL));
      bench.say(`${SMALL} entries: ${Math.round(SMALL / (small[i]! / 1_000))} a second`);
    }
    const ours = SMALL / (median(small) / 1_000);
    const before = await memory(worker.process.pid!);
    bench.say(`pushing ${LARGE}`);
    const large = await pushed(LARGE);
    const grown = (await memory(worker.process.pid!)) - before;
    expectBalanced(await buffer.status());
    await worker.kill();

    const measure = `${SMALL} entries, push to handled`;
    const readings: Reading[] = bench.peers
      ? await besidePeers(bench, databaseUrl, measure, ours)
      : [{ measure, ours, unit: '/s', target: '>= 40,000 /s' }];
    return [
      ...readings,
      {
        measure: `${LARGE} entries, time an entry`,
        ours: (large * 1e6) / LARGE,
        unit: 'ns',
        reference: (median(small) * 1e6) / SMALL,
        referenceName: `${SMALL} entries`,
        target: 'ratio <= 1.20',
      },
      { measure: `memory that the worker has grown by`, ours: grown / 2 ** 20, unit: 'MB', target: '<= 600 MB' },
    ];
  },
});

/** Milliseconds from the push's first byte until the handler has had the last entry. */
async function pushAll(buffer: BufferHandle, worker: Child, entries: number): Promise<number> {
  function* numbers() {
    for (let n = 0; n < entries; n++) yield { n, pad: 'x'.repeat(40) };
  }
  const began = performance.now();
  const handled = worker.call('handled', entries);
  await buffer.push(numbers(), { timeoutMs: 60_000 });
  await handled;
  return performance.now() - began;
}

function expectBalanced(status: { balanced: boolean; accepted: number }): void {
  if (!status.balanced) throw new Error('the counts of the buffer do not add up');
}

async function besidePeers(bench: Bench, databaseUrl: string, measure: string, ours: number): Promise<Reading[]> {
  const peers = await bench.child(path.join(__dirname, '../buffer/peers-process.ts'));
  const rates: { name: string; rate: number }[] = [];
  const read = async (name: string, call: () => Promise<number>): Promise<void> => {
    bench.say(`the same by ${name}`);
    try {
      await call();
      const took = [await call(), await call(), await call()];
      rates.push({ name, rate: SMALL / (median(took) / 1_000) });
    } catch (error) {
      bench.say(`${name} is skipped: ${(error as Error).message}`);
    }
  };
  await read('pg-boss', () => peers.call<number>('pgBoss', databaseUrl, SMALL));
  await read('Graphile Worker', () => peers.call<number>('graphileWorker', databaseUrl, SMALL));
  const redis = await startRedis(bench, ['--appendonly', 'yes', '--appendfsync', 'everysec']);
  if ('missing' in redis) bench.say(`BullMQ is skipped: ${redis.missing}`);
  else await read('BullMQ', () => peers.call<number>('bullmq', redis.port, SMALL));
  const best = Math.max(...rates.map(({ rate }) => rate));
  return rates.map(({ name, rate }) => ({
    measure: `${measure}, beside ${name}`,
    ours,
    unit: '/s',
    reference: rate,
    referenceName: name,
    // The best of them is what counts.
    ...(rate === best ? { target: 'ratio >= 3.00' } : {}),
  }));
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Resident memory of a process, bytes. */
async function memory(pid: number): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) * 1_024;
}
