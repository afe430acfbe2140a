/** kill -9 of a node with 200 shifts: how long until each of its members is fetched again, by heartbeat time-out. */
import { percentile } from '../../harness/figures';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { secondsToRefetch } from '../../tracker/killed';
import { started } from './parts';

const POOLS = 400;
const MEMBERS = 4_000;
const TIMEOUTS = [2, 3, 5];

export async function kill(bench: Bench): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const timeout of TIMEOUTS) readings.push(...(await killed(bench, timeout)));
  return readings;
}

async function killed(bench: Bench, timeout: number): Promise<Reading[]> {
  const size = { pools: POOLS, members: MEMBERS, nodes: 2, heartbeatTimeout: `${timeout}s` };
  const { watch, upstream, names } = await started(bench, size);
  const dying = watch.workers[1]!;
  const kept = await watch.membersOf(names[1]!);
  bench.say(`killing the node that keeps ${kept.length} members, at a time-out of ${timeout} s`);
  const took = await secondsToRefetch(bench, upstream, dying, kept);
  await watch.stop();
  const what = `kill -9 of a node with ${POOLS / 2} shifts, time-out of ${timeout} s`;
  return [
    { measure: `${what}: p95`, ours: percentile(took, 0.95), unit: 's', target: `<= ${timeout + 0.7} s` },
    { measure: `${what}: the last id`, ours: Math.max(...took), unit: 's', target: `<= ${timeout + 1.5} s` },
  ];
}
