/** A third node joins two full ones: how soon it has its share, and how long any member waits meanwhile. */
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { partOf, started, waitedBeyond } from './parts';

const POOLS = 200;
const MEMBERS = 4_000;

export async function join(bench: Bench): Promise<Reading[]> {
  const { watch, upstream } = await started(bench, { pools: POOLS, members: MEMBERS, nodes: 2 });
  await upstream.watchWaits();
  await bench.sleep(3_000);
  const before = await tokens(watch.stack);
  const began = performance.now();
  const node = await (await watch.worker()).ready;
  const ready = performance.now();
  bench.say(`${node} joins`);
  // Within a tenth of its share nobody asks.
  await bench.until('it has its share', async () => (await partOf(watch, node)) >= 0.9 / 3, 60_000);
  const took = (performance.now() - ready) / 1_000;
  await bench.sleep(5_000);
  const moved = (await tokens(watch.stack)) - before;
  const waits = await waitedBeyond(upstream);
  await watch.stop();
  bench.say(`it was ready after ${((ready - began) / 1_000).toFixed(1)} s`);
  return [
    { measure: `a third node joins two with ${POOLS} pools: its share`, ours: took, unit: 's', target: '<= 10 s' },
    {
      measure: 'the longest wait of a member beyond its second meanwhile',
      ours: waits,
      unit: 'ms',
      target: '<= 1500 ms',
    },
    {
      measure: 'pools that were taken meanwhile',
      ours: moved,
      unit: '',
      reference: Math.round(POOLS / 3),
      referenceName: 'a third of them',
    },
  ];
}

async function tokens(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>('select coalesce(sum(token), 0)::int as n from longwatch.pool');
  return row!.n;
}
