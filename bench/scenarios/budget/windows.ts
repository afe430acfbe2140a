/**
 * Three nodes spend a bucket to its end, window after window, wanting three times what it gives: what is refused, and
 * how much of it is used. With a limit that nobody told, that headers tell, with half the tokens, and with a limit that
 * the upstream lowers in the middle. 3 min a window, five windows each: an hour. `BENCH_WINDOW_S=30 BENCH_WINDOWS=3`;
 * `BENCH_WAYS='told by headers,half the tokens'` tries some only.
 */
import path from 'node:path';
import { serve } from '../../../examples/upstreams/server';
import { CountedUpstream } from '../../budget/counted';
import type { SpendingNode } from '../../budget/node-process';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';

const WINDOW_S = Number(process.env.BENCH_WINDOW_S ?? 180);
const WINDOWS = Number(process.env.BENCH_WINDOWS ?? 5);
const NODES = ['a', 'b', 'c'];
/** Requests a second that the upstream lets through. */
const RATE = 20;
const AT_ONCE = 10;

const WAYS = ['told by the config', 'told by headers', 'half the tokens', 'lowered in the middle'] as const;
type Way = (typeof WAYS)[number];

export async function windows(bench: Bench): Promise<Reading[]> {
  const readings: Reading[] = [];
  const only = process.env.BENCH_WAYS?.split(',');
  for (const way of WAYS) if (only?.includes(way) ?? true) readings.push(...(await one(bench, way)));
  return readings;
}

async function one(bench: Bench, way: Way): Promise<Reading[]> {
  const tokens = (RATE * WINDOW_S) / (way === 'half the tokens' ? 2 : 1);
  const isTold = way === 'told by headers' || way === 'lowered in the middle';
  const stack = await bench.stack();
  const upstream = new CountedUpstream({ tokens, windowS: WINDOW_S, headers: isTold });
  const served = await serve(upstream);
  const nodes = await Promise.all(NODES.map(() => bench.child(path.join(__dirname, '../../budget/node-process.ts'))));
  const window = `${WINDOW_S}s`;
  for (const [i, node] of nodes.entries())
    await node.call('start', {
      name: NODES[i]!,
      databaseUrl: stack.servers.databaseUrl,
      origin: served.origin,
      limit: isTold ? { learn: 'x-ratelimit', window } : { tokens, window },
      keys: 1,
      atOnce: AT_ONCE,
      pauseMs: (NODES.length * AT_ONCE * 1_000) / (3 * RATE),
    } satisfies SpendingNode);
  bench.say(`${way}: ${WINDOWS} windows of ${WINDOW_S} s`);
  await bench.sleep(WINDOW_S * 1_000);
  const first = upstream.served;
  // The first window is not measured: it begins with nothing spent.
  const half = ((WINDOWS - 1) * WINDOW_S * 1_000) / 2;
  await bench.sleep(half);
  if (way === 'lowered in the middle') upstream.lower(tokens / 2);
  await bench.sleep(half);
  const spent = upstream.served - first;
  for (const node of nodes) {
    await node.call('stop');
    await node.kill();
  }
  await served.close();
  await stack.close();
  const windowsOf = (way === 'lowered in the middle' ? 0.75 : 1) * (WINDOWS - 1);
  return [
    {
      measure: `refused, ${way}`,
      ours: upstream.refused,
      unit: 'requests',
      // Nobody says that it is lowered: what is under way and in hand just then is refused.
      target: way === 'lowered in the middle' ? '<= 30 requests' : '<= 0 requests',
    },
    {
      measure: `tokens used, ${way}`,
      ours: (100 * spent) / (windowsOf * tokens),
      unit: '%',
      target: way === 'lowered in the middle' ? '>= 90 %' : '>= 95 %',
    },
  ];
}
