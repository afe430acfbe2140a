/**
 * A 429 on one node closes a key that three nodes spend from: how long until the upstream, which has the last word,
 * sees nothing more of the other two; and that keys which were not refused are asked for all the while.
 */
import path from 'node:path';
import { serve } from '../../../examples/upstreams/server';
import { CountedUpstream } from '../../budget/counted';
import type { SpendingNode } from '../../budget/node-process';
import type { Bench } from '../../harness/bench';
import { percentile } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';

const NODES = ['a', 'b', 'c'];
const KEYS = 12;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 10);
/** Each node asks twenty times a second for each key. */
const PAUSE_MS = 50;
/** The upstream says a second; a key is left alone for so long before its next turn. */
const BETWEEN_MS = 150;
const WATCHED_MS = 900;

export async function closing(bench: Bench): Promise<Reading[]> {
  const stack = await bench.stack();
  const upstream = new CountedUpstream({ tokens: 1_000_000, windowS: 60, headers: false });
  const served = await serve(upstream);
  bench.defer(() => served.close());
  const nodes = await Promise.all(NODES.map(() => bench.child(path.join(__dirname, '../../budget/node-process.ts'))));
  for (const [i, node] of nodes.entries())
    await node.call('start', {
      name: NODES[i]!,
      databaseUrl: stack.servers.databaseUrl,
      origin: served.origin,
      limit: { tokens: 1_000_000, window: '1m' },
      keys: KEYS,
      atOnce: 1,
      pauseMs: PAUSE_MS,
    } satisfies SpendingNode);
  await bench.sleep(4_000);
  const took: number[] = [];
  const pauses: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    bench.say(`round ${round + 1} of ${ROUNDS}`);
    for (let key = 0; key < KEYS; key++) {
      const id = `key-${key}`;
      const { node, at } = await upstream.refuseNext(id);
      await bench.sleep(WATCHED_MS);
      const seen = upstream.arrivals.filter((one) => one.at > at && one.at <= at + WATCHED_MS);
      const late = seen.filter((one) => one.key === id && one.node !== node).map((one) => one.at - at);
      took.push(Math.max(0, ...late));
      pauses.push(
        longestPause(
          seen.filter((one) => one.key !== id),
          at,
        ),
      );
      await bench.sleep(BETWEEN_MS);
      upstream.arrivals.length = 0;
    }
  }
  for (const node of nodes) await node.call('stop');
  for (const node of nodes) await node.kill();
  await stack.close();
  return [
    {
      measure: 'a key is closed on one node: until the other two send nothing for it, p95',
      ours: percentile(took, 0.95),
      unit: 'ms',
      target: '<= 100 ms',
      note: `closed: ${took.length} closings, three nodes, each asks twenty times a second for each key; the upstream looks`,
    },
    {
      measure: 'longest pause of any other key meanwhile, median of closings',
      ours: percentile(pauses, 0.5),
      unit: 'ms',
      target: `<= ${WATCHED_MS} ms`,
    },
  ];
}

/** The pause of the key that was not asked for longest. */
function longestPause(seen: readonly { key: string; at: number }[], from: number): number {
  const last = new Map<string, number>();
  let longest = 0;
  for (const { key, at } of seen) {
    longest = Math.max(longest, at - (last.get(key) ?? from));
    last.set(key, at);
  }
  return last.size < KEYS - 1 ? WATCHED_MS : longest;
}
