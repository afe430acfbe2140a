/**
 * A tracker whose upstream hangs beside a healthy one, on one node whose places are short: does the healthy one notice?
 * Read alone and beside it, in the same run.
 */
import path from 'node:path';
import { LATE_BOUNDS_MS, percentile } from '../../activities/tracker/shift/lateness';
import type { Bench } from '../harness/bench';
import { defineScenario } from '../harness/scenario';
import type { NodeSetup, TrackerSetup } from '../tracker/node-process';
import { Upstream } from '../tracker/upstream';

const POOLS = 10;
const MEMBERS = 50;
const SECONDS = 20;
/** A run that begins later is not on time, milliseconds: a bound of the buckets of lateness. */
const ON_TIME_MS = LATE_BOUNDS_MS.find((bound) => bound >= 100)!;
/** The healthy one needs some thirty, the hanging one would take two thousand. */
const PLACES = 200;

export const scenario = defineScenario({
  title: `a healthy tracker of ${POOLS * MEMBERS} ids at 1 s beside one whose upstream hangs, ${PLACES} places for both`,
  async run(bench) {
    const quick = await Upstream.start(bench, 50);
    const silent = await Upstream.start(bench, 3_600_000);
    const healthy: TrackerSetup = {
      name: 'healthy',
      pools: POOLS,
      members: MEMBERS,
      operations: 1,
      every: '1s',
      timeout: '5s',
      origin: quick.origin,
    };
    const hanging = { ...healthy, name: 'hanging', pools: 4 * POOLS, origin: silent.origin, connections: 2_000 };
    const alone = await read(bench, [healthy]);
    const beside = await read(bench, [hanging, healthy]);
    const p99 = percentile(alone, 0.99)!;
    return [
      {
        measure: 'fair: runs on time beside a tracker that hangs',
        ours: onTime(beside),
        unit: '%',
        reference: onTime(alone),
        referenceName: 'alone',
        target: '>= 98 %',
        note: `fair: of the runs that were due, those that began within ${ON_TIME_MS} ms`,
      },
      {
        measure: 'fair: p99 lateness beside a tracker that hangs',
        ours: percentile(beside, 0.99)!,
        unit: 'ms',
        reference: p99,
        referenceName: 'alone',
        target: `<= ${Math.max(25, 2 * p99)} ms`,
      },
    ];
  },
});

/** Runs of the healthy one by lateness, over some seconds. */
async function read(bench: Bench, trackers: TrackerSetup[]): Promise<number[]> {
  const stack = await bench.stack();
  const node = await bench.child(path.join(__dirname, '../tracker/node-process.ts'));
  const { databaseUrl } = stack.servers;
  await node.call('start', { databaseUrl, places: PLACES, trackers } satisfies NodeSetup);
  await bench.sleep(8_000);
  const before = await node.call<number[]>('late', 'healthy');
  await bench.sleep(SECONDS * 1_000);
  const after = await node.call<number[]>('late', 'healthy');
  await node.kill();
  await stack.close();
  return after.map((count, i) => count - before[i]!);
}

function onTime(late: readonly number[]): number {
  const inTime = late.reduce((sum, count, i) => sum + ((LATE_BOUNDS_MS[i] ?? Infinity) <= ON_TIME_MS ? count : 0), 0);
  return Math.min(100, (100 * inTime) / (POOLS * MEMBERS * SECONDS));
}
