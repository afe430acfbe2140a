/**
 * Many large pools come to a worker at once, as when another one dies: how fast it loads them, and how late the runs of
 * what it keeps already are meanwhile. The pools and their values are put into the store beforehand; then their tracker
 * is started.
 */
import { once } from 'node:events';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { resolveConfig } from '../../exports';
import type { Stack, WorkerProcess } from '../../test/support/stack';
import { percentile } from '../harness/figures';
import { defineScenario } from '../harness/scenario';
import { busy, large } from '../tracker/takeover.config';
import { storeMembers } from '../tracker/store';
import { numbered } from '../tracker/watch';

const POOLS = 100;
const MEMBERS = 500_000;
const BUSY = 5_000;

export const scenario = defineScenario({
  title: `${POOLS} pools of ${MEMBERS / POOLS} members come to a busy worker at once: how fast it loads them, and how late its own runs are`,
  async run(bench) {
    const stack = await bench.stack();
    const longwatch = await stack.connect();
    const worker = stack.workerProcess(path.join(__dirname, '..', 'tracker', 'takeover.config.ts'));
    await worker.ready;
    const [own, other] = resolveConfig({ trackers: [busy, large] }).trackers;
    await longwatch.tracker('busy').start(own!.options);
    await longwatch.tracker('busy').add(numbered(BUSY), { wait: true });
    bench.say(`storing ${MEMBERS.toLocaleString('en-US')} members`);
    await storeMembers(stack, { tracker: 'large', options: other!.options, pools: POOLS, members: MEMBERS });
    await bench.sleep(5_000);
    const alone = await lateOf(worker, () => bench.sleep(10_000));

    bench.say('the pools come');
    const before = await endings(stack);
    let began = 0;
    let took = 0;
    const meanwhile = await lateOf(worker, async () => {
      await longwatch.tracker('large').start(other!.options);
      await bench.until('the first pool is taken', async () => (await taken(stack)) > 0);
      began = performance.now();
      await bench.until('all pools are taken', async () => (await taken(stack)) === POOLS, 120_000);
      await bench.until('all members are loaded', async () => (await kept(worker)) >= MEMBERS + BUSY, 120_000);
      took = (performance.now() - began) / 1_000;
    });
    return [
      { measure: 'members loaded', ours: MEMBERS / took, unit: '/s', target: '>= 40000 /s' },
      {
        measure: 'lateness of its own runs meanwhile, p99',
        ours: percentile(meanwhile, 0.99),
        unit: 'ms',
        reference: percentile(alone, 0.99),
        referenceName: 'before',
        target: '<= 250 ms',
      },
      { measure: 'shifts of its own that ended', ours: (await endings(stack)) - before, unit: '', target: '<= 0' },
    ];
  },
});

/** The lateness of its runs while something went on. */
async function lateOf(worker: WorkerProcess, during: () => Promise<void>): Promise<number[]> {
  await noted(worker);
  await during();
  return noted(worker);
}

async function noted({ process: child }: WorkerProcess): Promise<number[]> {
  child.send('late');
  for (;;) {
    const [message] = (await once(child, 'message')) as [{ late?: number[] }];
    if (message.late) return message.late;
  }
}

async function taken(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from longwatch.pool where tracker = 'large' and node is not null`,
  );
  return row!.n;
}

async function kept(worker: WorkerProcess): Promise<number> {
  const page = await worker.metrics();
  return [...page.matchAll(/^longwatch_pool_members\{.*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}

/** How often a pool of the busy tracker was taken again. */
async function endings(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(
    `select coalesce(sum(token - 1), 0)::int as n from longwatch.pool where tracker = 'busy'`,
  );
  return row!.n;
}
