/** kill -9 of a worker: how long until each id that it kept is fetched again, by the upstream's word. */
import type { WorkerProcess } from '../../test/support/stack';
import type { Bench } from '../harness/bench';
import type { Upstream } from './upstream';

/** @returns seconds from the kill to the next fetch, of each id */
export async function secondsToRefetch(
  bench: Bench,
  upstream: Upstream,
  dying: WorkerProcess,
  kept: readonly string[],
): Promise<number[]> {
  const killed = performance.timeOrigin + performance.now();
  await dying.kill('SIGKILL');
  await upstream.watch();
  let firsts = new Map<string, number>();
  await bench.until('every id is fetched again', async () => {
    firsts = await upstream.firsts();
    return kept.every((id) => firsts.has(id));
  });
  return kept.map((id) => (firsts.get(id)! - killed) / 1_000);
}
