/** Networks that swallow, and answers that are lost: what a worker and PostgreSQL do not know of each other. */
import assert from 'node:assert/strict';
import { Proxy } from '../support/proxy';
import { eventually } from '../support/stack';
import { pause, type Cluster } from './cluster';
import type { ChaosScenario } from './scenarios';

/** A third worker, whose way to PostgreSQL goes through a proxy; it has pools of its own when this resolves. */
async function withProxy(cluster: Cluster, work: (proxy: Proxy, pid: number) => Promise<void>): Promise<void> {
  const proxy = await Proxy.start(cluster.stack.servers.databaseUrl);
  const third = await cluster.addWorker({ DATABASE_URL: proxy.url });
  try {
    // Pools do not move by themselves: the others end, so it is its turn, and then they are there again.
    for (const other of cluster.workers.filter((one) => one !== third)) await cluster.kill(other);
    await eventually('it keeps pools', async () => (await cluster.poolsOf(third)) > 0);
    await cluster.addWorker();
    await cluster.addWorker();
    await cluster.allFresh(20_000);
    await work(proxy, third.pid);
  } finally {
    proxy.close();
    await cluster.kill(third);
    await cluster.allFresh(20_000);
  }
}

export const networkScenarios: readonly ChaosScenario[] = [
  {
    name: 'swallowed',
    title:
      'the network between a worker and PostgreSQL swallows everything: the others take its pools over, and none ends',
    limitMs: 120_000,
    long: true,
    run: (cluster) =>
      withProxy(cluster, async (proxy, pid) => {
        proxy.swallow();
        // Not until its values have aged can being fresh mean anything.
        await eventually('it is noticed', async () => (await cluster.old(3)) > 0);
        // Its patience ends its shifts; what PostgreSQL still holds for it, PostgreSQL lets go of by itself.
        await cluster.allFresh(40_000);
        for (const one of cluster.workers) assert.equal(one.process.exitCode, null, 'a worker has ended');
        proxy.pass();
        await eventually('it is seen again', async () => {
          const [row] = await cluster.stack.sql<{ fresh: boolean }>(
            `select seen_at > now() - interval '3 seconds' as fresh from longwatch.node where pid = $1`,
            [pid],
          );
          return row?.fresh;
        });
        await cluster.allFresh(10_000);
      }),
  },
  {
    name: 'lost-answers',
    title: 'answers to commits are lost: values stay fresh, and what was accepted holds',
    limitMs: 120_000,
    long: true,
    run: (cluster, choose, round) =>
      withProxy(cluster, async (proxy) => {
        for (let times = 0; times < 8; times++) {
          await proxy.loseAnswerToCommit();
          if (times % 3 === 0) await cluster.insistOnAdding(`unsure-${round}-${times}`);
          await pause(choose.between(50, 400));
        }
        await cluster.allFresh(10_000);
        // Accepted is not applied: that takes a moment.
        await eventually('all that was accepted is tracked', async () => {
          const now = await cluster.members();
          return [...cluster.expected].every((id) => now.has(id));
        });
        assert.equal((await cluster.tracker.status()).quarantined, 0, 'pools are in quarantine');
      }),
  },
];
