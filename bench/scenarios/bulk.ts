/**
 * A bulk add: 100,000 ids until all are in the database and owned by pools, and the memory that the worker then holds.
 */
import { defineScenario } from '../harness/scenario';
import type { Bench } from '../harness/bench';
import { numbered, Watch } from '../tracker/watch';

const IDS = 100_000;
/** The base: a worker that tracks these few. */
const BASE_IDS = 100;
/**
 * A second base: the same few, fetched about as often altogether as all ids are later; Node's young generations have
 * grown by then.
 */
const BUSY_EVERY = '60ms';
const BUSY_MS = 30_000;

export const scenario = defineScenario({
  title: `${IDS.toLocaleString('en-US')} ids added and owned by pools: how long, and how much memory of the worker each takes`,
  async run(bench) {
    const watch = await Watch.start(bench, { tracker: {}, operation: { every: '1m' } }, ['--expose-gc']);
    await watch.tracker.add(numbered(BASE_IDS, 'base-'), { wait: true });
    await bench.sleep(5_000);
    const base = await settledMemory(bench, watch);
    bench.say('the base, fetched as often');
    await watch.tracker.set({ 'operations.look.every': BUSY_EVERY });
    await bench.sleep(BUSY_MS);
    const busy = await settledMemory(bench, watch);
    await watch.tracker.set({ 'operations.look.every': '1m' });
    bench.say(`adding ${IDS.toLocaleString('en-US')} ids`);
    const began = performance.now();
    await watch.tracker.add(numbered(IDS), { wait: true });
    const seconds = (performance.now() - began) / 1_000;
    await bench.until('all are owned by a shift', () => watch.ownedMembers(IDS + BASE_IDS));
    const owned = (performance.now() - began) / 1_000;
    // Each has a value by then, and what was needed on the way is free again.
    await bench.until('all are fetched', async () => (await watch.fetchedMembers()) >= IDS, 120_000);
    const full = await settledMemory(bench, watch);
    return [
      { measure: `${IDS} ids acknowledged (add --wait)`, ours: seconds, unit: 's', target: '<= 15 s' },
      { measure: `${IDS} ids in the memory of their shifts`, ours: owned, unit: 's', target: '<= 15 s' },
      {
        measure: 'memory an id, resident, beyond a worker with 100 ids',
        ours: (full.rss - base.rss) / IDS,
        unit: 'B/id',
        target: '<= 1,024 B/id',
      },
      {
        measure: 'the same beyond one whose 100 ids are fetched as often altogether',
        ours: (full.rss - busy.rss) / IDS,
        unit: 'B/id',
      },
      { measure: 'of it on the heap', ours: (full.heapUsed - base.heapUsed) / IDS, unit: 'B/id' },
    ];
  },
});

/** The least of some seconds: what Node gives back to the operating system, it gives back by and by. */
async function settledMemory(bench: Bench, watch: Watch): Promise<NodeJS.MemoryUsage> {
  let least = await watch.memory();
  for (let second = 0; second < 10; second++) {
    await bench.sleep(1_000);
    const now = await watch.memory();
    if (now.rss < least.rss) least = now;
  }
  return least;
}
