/**
 * How soon a new id is watched: from the signal being sent to its first fetch, seen by the upstream, while 5,000 others
 * run.
 */
import { percentile } from '../harness/figures';
import { defineScenario } from '../harness/scenario';
import { Upstream } from '../tracker/upstream';
import { Watch } from '../tracker/watch';

const IDS = 5_000;
const ADDS = 100;

export const scenario = defineScenario({
  title: `from the signal to the first fetch of a new id, while ${IDS} ids are fetched every second`,
  async run(bench) {
    const upstream = await Upstream.start(bench, 0);
    const watch = await Watch.start(bench, { tracker: {}, operation: { every: '1s' }, origin: upstream.origin });
    await watch.fill(IDS);
    await bench.sleep(3_000);
    await upstream.watch();
    bench.say(`adding ${ADDS} ids, one at a time`);
    const sent = new Map<string, number>();
    for (let i = 0; i < ADDS; i++) {
      const id = `new-${i}`;
      sent.set(id, performance.timeOrigin + performance.now());
      await watch.tracker.add([id]);
      // Neither in step with the flush nor with anything else that has a rhythm.
      await bench.sleep(100 + Math.random() * 250);
    }
    let firsts = new Map<string, number>();
    await bench.until('every new id is fetched', async () => {
      firsts = await upstream.firsts();
      return [...sent.keys()].every((id) => firsts.has(id));
    });
    const took = [...sent].map(([id, at]) => firsts.get(id)! - at);
    const measure = 'signal to first fetch';
    return [
      { measure: `${measure}, p50`, ours: percentile(took, 0.5), unit: 'ms' },
      { measure: `${measure}, p95`, ours: percentile(took, 0.95), unit: 'ms', target: '<= 150 ms' },
    ];
  },
});
