/**
 * The cost of the history and of the ages of values to a node that tracks: processor time a fetch of its process, with
 * and without them, in turns of one run, so that the machine's good and bad moments count for both.
 */
import path from 'node:path';
import type { Bench } from '../../harness/bench';
import { median } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import type { NodeSetup } from '../../tracker/node-process';
import { Upstream } from '../../tracker/upstream';

const POOLS = 20;
/** In each pool; each is fetched once a second. */
const MEMBERS = Number(process.env.BENCH_MEMBERS ?? 5_000) / POOLS;
const PAIRS = Number(process.env.BENCH_TURNS ?? 20);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
const WARM_UP_MS = 10_000;

export async function series(bench: Bench): Promise<Reading[]> {
  const stack = await bench.stack();
  const upstream = await Upstream.start(bench, 0);
  const node = await bench.child(path.join(__dirname, '../../tracker/node-process.ts'));
  const tracker = { name: 'bench', pools: POOLS, members: MEMBERS, operations: 1, every: '1s', timeout: '5s' };
  await node.call('start', {
    databaseUrl: stack.servers.databaseUrl,
    places: 500,
    trackers: [{ ...tracker, origin: upstream.origin, connections: 500 }],
  } satisfies NodeSetup);
  await bench.sleep(WARM_UP_MS);
  const look = async () => ({ cpu: await node.call<number>('cpu'), served: await upstream.served() });
  /** @returns microseconds a fetch */
  const turn = async (on: boolean): Promise<number> => {
    await node.call('telling', on);
    // The rows of a minute are written in each turn: more often than in real life.
    await stack.sql(`update longwatch.series_clock set at = at - interval '1 minute'`);
    const before = await look();
    await bench.sleep(SECONDS * 1_000);
    const after = await look();
    return ((after.cpu - before.cpu) * 1_000) / (after.served - before.served);
  };
  const pairs: { on: number; off: number }[] = [];
  while (pairs.length < PAIRS) {
    // Each is first in half of the pairs.
    const first = pairs.length % 2 === 0;
    const one = await turn(first);
    const other = await turn(!first);
    pairs.push(first ? { on: one, off: other } : { on: other, off: one });
    const { on, off } = pairs.at(-1)!;
    bench.say(
      `pair ${pairs.length} of ${PAIRS}: ${on.toFixed(1)} µs a fetch with the history, ${off.toFixed(1)} without`,
    );
  }
  const off = median(pairs.map((pair) => pair.off));
  const more = pairs.map((pair) => (100 * (pair.on - pair.off)) / pair.off).sort((a, b) => a - b);
  return [
    {
      measure: 'dashboard: processor time of a fetch for the history and the ages of values',
      ours: upperEnd(more),
      unit: '%',
      target: '<= 2 %',
      note:
        `dashboard: of ${off.toFixed(0)} µs; the median of ${PAIRS} pairs is ${median(more).toFixed(2)} %, this the upper ` +
        `end of its 95 % interval; the rows of a minute are written each ${SECONDS} s`,
    },
  ];
}

/**
 * The upper end of the median's 95 % interval, by the binomial distribution of how many lie below it.
 * @param sorted ascending
 */
function upperEnd(sorted: readonly number[]): number {
  const n = sorted.length;
  const rank = Math.ceil(n / 2 + 0.98 * Math.sqrt(n));
  return sorted[Math.min(n, rank + 1) - 1]!;
}
