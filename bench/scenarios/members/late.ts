/** How late the runs of ids begin while members are asked beside them. */
import { LATE_BOUNDS_MS, percentile } from '../../../activities/tracker/shift/lateness';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { runAll, sized, started, timed } from './parts';

const IDS = 5_000;
const PER_SECOND = 2_000;

export async function late(bench: Bench): Promise<Reading[]> {
  const { stack, senders } = await started(bench, { ids: IDS });
  const seconds = timed(30);
  const plan = { members: sized(100_000), zipf: true, atOnce: 256, requestEvery: 1, perSecond: PER_SECOND };
  await runAll(senders, { ...plan, seconds: 5 });
  const before = await buckets(stack);
  const [sent] = await runAll(senders, { ...plan, seconds });
  const after = await buckets(stack);
  const late = after.map((count, at) => count - before[at]!);
  await stack.close();
  const measure = `late, ${IDS} ids at 1 s beside ${Math.round(sent!.count / sent!.seconds)} requests a second`;
  return [
    { measure: 'late beside requests, p50', ours: percentile(late, 0.5)!, unit: 'ms', note: measure },
    { measure: 'late beside requests, p99', ours: percentile(late, 0.99)!, unit: 'ms', target: '<= 25 ms' },
    { measure: 'requests meanwhile', ours: sent!.count / sent!.seconds, unit: '/s', target: '>= 1,900 /s' },
  ];
}

/** Runs by how late they began, of all trackers: only `ids` has an operation. */
async function buckets(stack: Stack): Promise<number[]> {
  const rows = await stack.sql<{ late_buckets: string[] }>('select late_buckets from longwatch.node_stats');
  const sums = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
  for (const { late_buckets: counts } of rows) counts.forEach((count, i) => (sums[i]! += Number(count)));
  return sums;
}
