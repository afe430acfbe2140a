/**
 * `where`, `alive` and `count` of a tracker with a million members on two nodes, while a third one joins and pools move
 * to it: how long an answer takes.
 */
import { resolveConfig } from '../../../exports';
import type { TrackerHandle } from '../../../client/tracker/handle';
import { percentile } from '../../harness/figures';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { storeMembers } from '../../tracker/store';
import { Watch } from '../../tracker/watch';

const POOLS = 200;
const MEMBERS = 1_000_000;
const ASKED = 300;

export async function questions(bench: Bench): Promise<Reading[]> {
  const stack = await bench.stack();
  const operation = { every: '1h', stagger: { base: '30m', window: '1h' } };
  const setup = { tracker: { poolSize: MEMBERS / POOLS }, operation };
  const run = () => ({ value: null });
  const definition = { name: 'bench', ...setup.tracker, operations: { look: { ...operation, run } } };
  const { options } = resolveConfig({ trackers: [definition] }).trackers[0]!;
  bench.say(`storing ${MEMBERS.toLocaleString('en-US')} members`);
  await storeMembers(stack, { tracker: 'bench', options, pools: POOLS, members: MEMBERS });

  const watch = await Watch.on(bench, setup, stack, { nodes: 2, nodeFlags: ['--expose-gc'] });
  await bench.until('all members are loaded', () => watch.ownedMembers(MEMBERS), 300_000);
  const loaded = (performance.now() - watch.startedAt) / 1_000;
  const bytes = await memoryOf(watch);
  const tracker = (await stack.connect()).tracker('bench');
  const resting = await asked(tracker);
  const joining = watch.worker();
  const moving = await asked(tracker);
  await joining;
  const readings: Reading[] = [
    {
      measure: `${MEMBERS.toLocaleString('en-US')} members loaded by the shifts of two nodes`,
      ours: loaded,
      unit: 's',
      target: '<= 120 s',
    },
    { measure: 'memory of both workers, a member', ours: bytes / MEMBERS, unit: 'B', target: '<= 1024 B' },
  ];
  for (const [question, took] of Object.entries(moving)) {
    readings.push({
      measure: `${question} with ${MEMBERS.toLocaleString('en-US')} members, while pools move: p95`,
      ours: percentile(took, 0.95),
      unit: 'ms',
      reference: percentile(resting[question as keyof typeof resting], 0.95),
      referenceName: 'at rest',
      target: '<= 20 ms',
    });
  }
  await watch.stop();
  return readings;
}

/** All that their heaps and buffers hold after a collection, their code as well. Bytes. */
async function memoryOf({ workers }: Watch): Promise<number> {
  const uses = await Promise.all(workers.map((worker) => worker.memory()));
  return uses.reduce((sum, { heapUsed, external }) => sum + heapUsed + external, 0);
}

async function asked(tracker: TrackerHandle) {
  const took = { where: [] as number[], alive: [] as number[], count: [] as number[] };
  const time = async (list: number[], ask: () => Promise<unknown>): Promise<void> => {
    const began = performance.now();
    await ask();
    list.push(performance.now() - began);
  };
  for (let i = 0; i < ASKED; i++) {
    const id = `bench-${1 + Math.floor(Math.random() * MEMBERS)}`;
    await time(took.where, () => tracker.where(id));
    await time(took.alive, () => tracker.alive(id));
    await time(took.count, () => tracker.count());
  }
  return took;
}
