/**
 * The bad days of `scenarios.ts`, each once. Another seed each time: `npm run chaos -- --seed S` repeats what failed.
 */
import { Cluster } from './cluster';
import { anySeed, choices } from './random';
import { plan } from './scenarios';

const SEED = Number(process.env.LONGWATCH_SEED ?? anySeed());
const REPEAT = `npm run chaos -- --seed ${SEED}`;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster.close());

for (const { scenario, seed } of plan(SEED, 0, choices(SEED))) {
  test(
    scenario.title,
    async () => {
      try {
        await scenario.run(cluster, choices(seed), 0);
      } catch (error) {
        throw new Error(`${(error as Error).message}; to repeat it: ${REPEAT}`, { cause: error });
      }
    },
    scenario.limitMs,
  );
}
