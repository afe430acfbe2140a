/** The cluster that the parts of this scenario begin with, and what is read of it. */
import type { Bench } from '../../harness/bench';
import { Upstream } from '../../tracker/upstream';
import { Watch } from '../../tracker/watch';

export interface Size {
  pools: number;
  members: number;
  nodes: number;
  heartbeatTimeout?: string;
}

/** All members are fetched once a second, and each node has its share of the pools. */
export async function started(bench: Bench, { pools, members, nodes, heartbeatTimeout }: Size) {
  const upstream = await Upstream.start(bench, 0);
  const watch = await Watch.start(bench, {
    tracker: { poolSize: Math.ceil(members / pools), heartbeatTimeout },
    operation: { every: '1s', stagger: { base: '0ms', window: '1s' } },
    origin: upstream.origin,
  });
  for (let i = 1; i < nodes; i++) await watch.worker();
  await watch.fill(members);
  const names = await Promise.all(watch.workers.map(({ ready }) => ready));
  await bench.until('each node has its share', async () => {
    const parts = await Promise.all(names.map((name) => partOf(watch, name)));
    return parts.every((part) => part >= 0.85 / nodes);
  });
  await bench.sleep(3_000);
  return { watch, upstream, names };
}

/** Pools that a node has the fence of. */
export async function poolsOf(watch: Watch, node: string): Promise<number> {
  const [row] = await watch.stack.sql<{ n: number }>(
    'select count(*)::int as n from longwatch.pool where node = $1 and released_at is null',
    [node],
  );
  return row!.n;
}

/** Its part of the whole load: ten for each pool, and one for each member, which is fetched once a second. */
export async function partOf(watch: Watch, node: string): Promise<number> {
  const [row] = await watch.stack.sql<{ part: number }>(
    `select coalesce(sum(10 + members) filter (where node = $1), 0)::float8 / sum(10 + members) as part
     from longwatch.pool where released_at is null and token > 0`,
    [node],
  );
  return row!.part;
}

/** How much longer than its interval of a second the member waited that waited longest. Milliseconds. */
export async function waitedBeyond(upstream: Upstream): Promise<number> {
  return Math.max(0, ...(await upstream.waits()).map((ms) => ms - 1_000));
}
