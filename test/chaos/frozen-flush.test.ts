/**
 * TR-C4: a worker that freezes inside a flush holds the fences of all its pools, and keeps them from nobody: neither
 * its own nor others' pools stop.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { resolveConfig } from '../../exports';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';
import { things } from './frozen.config';

const CONFIG = path.join(__dirname, 'frozen.config.ts');
const IDS = Array.from({ length: 60 }, (_, i) => `id-${i}`);

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
});
afterAll(() => stack.close());

test('a worker frozen inside a flush: its pools are fetched elsewhere within seconds, and no other shift ends', async () => {
  const flag = path.join(stack.dir, 'freeze');
  const victim = stack.workerProcess(CONFIG, { FREEZE_WHEN: flag });
  const peer = stack.workerProcess(CONFIG);
  const [frozenNode, peerNode] = await Promise.all([victim.ready, peer.ready]);
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker('things');
  await tracker.start(resolveConfig({ trackers: [things] }).trackers[0]!.options);
  await tracker.add(IDS, { wait: true });
  const holders = () =>
    stack.sql<{ pool: number; node: string; token: number }>(
      `select pool, node, token::int from longwatch.pool where node is not null and released_at is null order by pool`,
    );
  // A pool on its way from one to the other would begin anew for that reason.
  await eventually('both keep pools, and nothing is left to move', async () => {
    const pools = await tracker.pools();
    const nodes = new Set(pools.map(({ node }) => node));
    const atRest = (await longwatch.previewRebalance()).moves.length === 0;
    return atRest && nodes.size === 2 && nodes.has(frozenNode) && nodes.has(peerNode);
  });
  const before = await holders();
  writeFileSync(flag, '');
  await eventually('it is frozen with its locks', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where state = 'idle in transaction' and state_change < now() - interval '1 second'`,
    );
    return row!.n > 0;
  });
  const [{ now }] = (await stack.sql<{ now: string }>(`select now()::text as now`)) as [{ now: string }];
  const took = stopwatch();
  await eventually('every id is fetched anew', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.value where fetched_at > $1`,
      [now],
    );
    return row!.n === IDS.length;
  });
  // A heartbeat timeout, and what it takes to take them over.
  expect(took()).toBeLessThan(15_000);
  const after = await holders();
  expect(new Set(after.map(({ node }) => node))).toEqual(new Set([peerNode]));
  const others = (rows: typeof before) =>
    rows.filter(({ pool }) => before.some((row) => row.pool === pool && row.node === peerNode));
  expect(others(after)).toEqual(others(before));
  await victim.kill('SIGCONT');
  await victim.kill('SIGTERM');
});
