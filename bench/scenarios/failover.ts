/**
 * A worker dies: kill -9 of one of two, and how long until each id that it kept is fetched again, seen by the upstream.
 * 200 shifts in all, half of them on the one that dies.
 */
import { percentile } from '../harness/figures';
import { defineScenario } from '../harness/scenario';
import { secondsToRefetch } from '../tracker/killed';
import { Upstream } from '../tracker/upstream';
import { Watch } from '../tracker/watch';

const POOLS = 200;
const IDS = 2_000;

export const scenario = defineScenario({
  title: `kill -9 of one of two workers that keep ${POOLS} pools: until every id of the dead one is fetched again`,
  async run(bench) {
    const upstream = await Upstream.start(bench, 0);
    const watch = await Watch.start(bench, {
      tracker: { poolSize: IDS / POOLS },
      operation: { every: '1s' },
      origin: upstream.origin,
    });
    await watch.worker();
    await watch.fill(IDS);
    await bench.sleep(5_000);
    const dying = watch.workers[1]!;
    const node = await dying.ready;
    const kept = await watch.membersOf(node);
    if (kept.length === 0) throw new Error('the second worker keeps nothing');
    const { length: pools } = (await watch.tracker.pools()).filter((pool) => pool.node === node && pool.onShift);
    bench.say(`killing the worker that keeps ${pools} pools with ${kept.length} ids`);
    const took = await secondsToRefetch(bench, upstream, dying, kept);
    const measure = 'from the kill to the next fetch';
    return [
      { measure: `${measure}, p50`, ours: percentile(took, 0.5), unit: 's' },
      { measure: `${measure}, p95`, ours: percentile(took, 0.95), unit: 's', target: '<= 6 s' },
      { measure: `${measure}, the last id`, ours: Math.max(...took), unit: 's' },
    ];
  },
});
