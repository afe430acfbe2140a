/**
 * Workers whose clock is wrong (libfaketime, from Debian's package `faketime`); skipped with a word where that is not
 * there.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { eventually } from '../support/stack';
import { pause } from './cluster';
import type { ChaosScenario } from './scenarios';

const LIBRARIES = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`);

/** The environment of a process whose wall clock is off by so many seconds; undefined without libfaketime. */
function wrongBy(seconds: number): NodeJS.ProcessEnv | undefined {
  const library = LIBRARIES.find((file) => existsSync(file));
  if (library === undefined) return undefined;
  const offset = `${seconds < 0 ? '' : '+'}${seconds}s`;
  // A time that is measured from a start of its own goes on as it is: only the wall clock is wrong.
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1', FAKETIME_NO_CACHE: '1' };
}

export const clockScenarios: readonly ChaosScenario[] = [60, -60].map((seconds) => ({
  name: `clock-${seconds < 0 ? 'behind' : 'ahead'}`,
  title: `a worker whose clock is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead'} keeps everybody fresh, by PostgreSQL's clock`,
  limitMs: 90_000,
  long: true,
  run: async (cluster) => {
    const env = wrongBy(seconds);
    if (env === undefined) return;
    const wrong = await cluster.addWorker(env);
    for (const other of cluster.workers.filter((one) => one !== wrong)) await cluster.kill(other);
    await eventually('it keeps pools', async () => (await cluster.poolsOf(wrong)) > 0);
    await cluster.allFresh(15_000);
    // It must not only take over: it must go on.
    for (let i = 0; i < 10; i++) {
      await pause(500);
      assert.equal(await cluster.old(3), 0, 'members went stale');
    }
    const [future] = await cluster.stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.value where fetched_at > now() + interval '2 seconds'`,
    );
    assert.equal(future!.n, 0, 'values have a time of their worker, not of PostgreSQL');
    await cluster.twoWorkers();
    await cluster.kill(wrong);
    await cluster.twoWorkers();
  },
}));
