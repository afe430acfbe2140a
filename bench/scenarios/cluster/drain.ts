/** A node with many members is drained: how soon it keeps nothing, and how long any member waits meanwhile. */
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { poolsOf, started, waitedBeyond } from './parts';

/** They are on two nodes, so that the one that is drained has half of them. */
const MEMBERS = 20_000;
const POOLS = 40;

export async function drain(bench: Bench): Promise<Reading[]> {
  const { watch, upstream, names } = await started(bench, { pools: POOLS, members: MEMBERS, nodes: 2 });
  const node = names[1]!;
  const longwatch = await watch.stack.connect();
  const kept = (await watch.membersOf(node)).length;
  await upstream.watchWaits();
  await bench.sleep(3_000);
  const before = await waitedBeyond(upstream);
  await upstream.watchWaits();
  await bench.sleep(1_500);
  const began = performance.now();
  await longwatch.node(node).drain();
  await bench.until('it keeps nothing', async () => (await poolsOf(watch, node)) === 0);
  const took = (performance.now() - began) / 1_000;
  await bench.sleep(3_000);
  const waits = await waitedBeyond(upstream);
  await watch.stop();
  return [
    {
      measure: `drain of a node with ${kept.toLocaleString('en-US')} members at 1 s`,
      ours: took,
      unit: 's',
      target: '<= 5 s',
    },
    {
      measure: 'drain: the longest wait of a member beyond its second',
      ours: waits,
      unit: 'ms',
      reference: before,
      referenceName: 'in the seconds before',
      target: '<= 1500 ms',
    },
  ];
}
