/**
 * A process that stands still in the middle of a transaction, with the locks it holds: at points that the code names.
 */
import assert from 'node:assert/strict';
import type { Point } from '../../activities/lib/points';
import { eventually } from '../support/stack';
import { pause, type Cluster } from './cluster';
import type { ChaosScenario } from './scenarios';

/**
 * The time that a frozen process may keep others waiting: three seconds until PostgreSQL ends its transaction, two
 * until Temporal misses it, and some.
 */
const TAKEN_OVER_MS = 20_000;

interface Frozen {
  point: Point;
  where: string;
  /** Makes some worker come to that point. */
  provoke(cluster: Cluster, round: number): Promise<void>;
}

const FROZEN: readonly Frozen[] = [
  { point: 'flush.locked', where: 'a flush, with the fences of its pools', provoke: () => Promise.resolve() },
  { point: 'flush.written', where: 'a flush, before its commit', provoke: () => Promise.resolve() },
  {
    point: 'apply.locked',
    where: 'a change of a roster, with its pools',
    provoke: (cluster, round) => cluster.insistOnAdding(`while-frozen-${round}`),
  },
  {
    point: 'split.locked',
    where: 'the growth of a tracker, with its row',
    provoke: async (cluster, round) => {
      // More than the pools there are may hold: the tracker grows first.
      const ids = Array.from({ length: 60 }, (_, i) => `growth-${round}-${i}`);
      await eventually('they are accepted', () => cluster.tracker.add(ids).then(() => true));
      for (const id of ids) cluster.expected.add(id);
    },
  },
  {
    point: 'open.read',
    where: 'the opening of a pool',
    provoke: async (cluster) => {
      await cluster.tracker.stop();
      await eventually('it is started again', () => cluster.restart());
    },
  },
];

export const frozenScenarios: readonly ChaosScenario[] = FROZEN.map(({ point, where, provoke }) => ({
  name: `frozen-${point.replace('.', '-')}`,
  title: `a worker is frozen in ${where}: the others take its pools, none of theirs ends, and nothing of it is written later`,
  limitMs: 120_000,
  long: point === 'flush.locked' || point === 'split.locked' ? undefined : (true as const),
  run: async (cluster, _choose, round) => {
    await cluster.twoWorkers();
    const all = [...cluster.workers];
    // The process that comes to the point first.
    const frozen = Promise.any(all.map((one) => one.freezeAt(point).then(() => one)));
    const provoked = provoke(cluster, round);
    provoked.catch(() => undefined);
    const victim = await frozen;
    // The other was told as well, and would stop at its own next time, or has done so.
    const other = all.find((one) => one !== victim)!;
    await other.goOn();
    // A pool that nobody kept when it froze has nothing that ages; of one that it kept the values do, and being fresh
    // means something.
    await eventually('the other one keeps all pools', async () => (await cluster.poolsOf(victim)) === 0, TAKEN_OVER_MS);
    await cluster.allFresh(TAKEN_OVER_MS);
    await provoked;
    assert.equal(other.process.exitCode, null, 'the other worker has ended');
    await victim.goOn();
    // Old shifts that write would give ids back to a process that was given up.
    await pause(1_000);
    await cluster.allFresh(10_000);
  },
}));
