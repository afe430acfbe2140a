/**
 * One round: 100 ids that are due at once, in one pool, at the default concurrency (50). The bare limit is two waves.
 */
import { defineScenario } from '../harness/scenario';
import { median } from '../harness/figures';
import { bareRound } from '../tracker/bare';
import { Upstream } from '../tracker/upstream';
import { Watch } from '../tracker/watch';

const IDS = 100;
const LATENCY_MS = 40;
const CONCURRENCY = 50;
const ROUNDS = 10;

export const scenario = defineScenario({
  title: `${IDS} ids in one pool, upstream of ${LATENCY_MS} ms: from the first due to the last finished`,
  async run(bench) {
    const upstream = await Upstream.start(bench, LATENCY_MS);
    // Without a window all are due in the same moment: the round at its longest.
    const watch = await Watch.start(bench, {
      tracker: {},
      operation: { every: '1s', stagger: { window: '0s' } },
      origin: upstream.origin,
    });
    await watch.fill(IDS);
    await bench.sleep(3_000);
    const rounds: number[] = [];
    while (rounds.length < ROUNDS) {
      await bench.sleep(1_000);
      rounds.push((await watch.tracker.status()).operations[0]!.lastRoundMs!);
    }
    const bare: number[] = [];
    for (let i = 0; i < ROUNDS; i++) bare.push(await bareRound(upstream.origin, IDS, CONCURRENCY));
    return [
      {
        measure: `a round of ${IDS} ids, the longest of ${ROUNDS}`,
        ours: Math.max(...rounds),
        unit: 'ms',
        reference: Math.max(...bare),
        referenceName: 'bare undici, 50 at once',
        target: '<= 200 ms',
      },
      {
        measure: `a round of ${IDS} ids, median`,
        ours: median(rounds),
        unit: 'ms',
        reference: median(bare),
        referenceName: 'bare undici, 50 at once',
      },
    ];
  },
});
