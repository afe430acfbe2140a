/** Many members that were never fetched, on two nodes: how long until the upstream has seen each of them once. */
import { resolveConfig } from '../../../exports';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { storeMembers } from '../../tracker/store';
import { Upstream } from '../../tracker/upstream';
import { Watch } from '../../tracker/watch';

const MEMBERS = 100_000;
const POOLS = 100;
const NODES = 2;

export async function once(bench: Bench): Promise<Reading[]> {
  const upstream = await Upstream.start(bench, 0);
  const stack = await bench.stack();
  const operation = { every: '1h', concurrency: 500, stagger: { base: '0ms', window: '0ms' } };
  const setup = { tracker: { poolSize: MEMBERS / POOLS }, operation, origin: upstream.origin, connections: 64 };
  const look = { ...operation, run: () => ({ value: null }) };
  const [resolved] = resolveConfig({
    trackers: [{ name: 'bench', ...setup.tracker, operations: { look } }],
  }).trackers;
  bench.say(`storing ${MEMBERS.toLocaleString('en-US')} members`);
  const stored = { tracker: 'bench', options: resolved!.options, pools: POOLS, members: MEMBERS, fetched: false };
  await storeMembers(stack, stored);
  await upstream.watch();
  const watch = await Watch.on(bench, setup, stack, { nodes: NODES });
  // Asked for what it has served, which is one number, until it can have seen all.
  await bench.until('all were asked for', async () => (await upstream.served()) >= MEMBERS, 300_000);
  const took = (performance.now() - watch.startedAt) / 1_000;
  const seen = (await upstream.firsts()).size;
  await watch.stop();
  return [
    {
      measure: `${MEMBERS.toLocaleString('en-US')} members over ${NODES} nodes, from the start to one fetch each`,
      ours: took,
      unit: 's',
      target: '<= 10 s',
    },
    { measure: 'of them seen by the upstream then', ours: seen, unit: '', target: `>= ${MEMBERS * 0.999}` },
  ];
}
