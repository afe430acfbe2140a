/** The cost of a row in a table ten times as large: chunks along a key must stay linear. */
import { resolveConfig, type ConfigDefinition } from '../../exports';
import { median } from '../harness/figures';
import { defineScenario } from '../harness/scenario';
import { bareUpdate, makePlayers, settle, timed } from '../job/players';

const SMALL = 1_000_000;
const LARGE = 10_000_000;

export const scenario = defineScenario({
  title: 'a row of a tick over 10,000,000 rows, against one over 1,000,000',
  async run(bench) {
    const stack = await bench.stack();
    const config: ConfigDefinition = {
      regens: [SMALL, LARGE].map((rows) => ({
        name: `regen-${rows}`,
        every: '366d',
        table: `players_${rows}`,
        set: { stamina: 'least(stamina + 1 + endurance / 10, max_stamina)' },
        where: 'not is_dead and stamina < max_stamina',
      })),
    };
    await stack.worker(config);
    const longwatch = await stack.connect();
    const perRow: number[] = [];
    const bare: number[] = [];
    for (const [index, rows] of [SMALL, LARGE].entries()) {
      bench.say(`making ${rows} rows`);
      await makePlayers(stack, `players_${rows}`, rows);
      const job = longwatch.job(`regen-${rows}`);
      await job.start(resolveConfig(config).jobs[index]!.options);
      const took: number[] = [];
      const plain: number[] = [];
      for (let time = 0; time < (rows === SMALL ? 4 : 2); time++) {
        await settle(stack, `players_${rows}`);
        plain.push(await timed(stack, bareUpdate(`players_${rows}`)));
        await settle(stack, `players_${rows}`);
        const tick = await job.run();
        if (tick.rows !== rows) throw new Error(`${tick.rows} rows were advanced`);
        took.push(tick.ms);
      }
      // The first tick finds its chunk size.
      perRow.push((median(took.slice(1)) * 1_000) / rows);
      bare.push((median(plain.slice(1)) * 1_000) / rows);
    }
    return [
      {
        measure: 'a row of 10,000,000',
        ours: perRow[1]!,
        unit: 'µs',
        reference: perRow[0]!,
        referenceName: 'a row of 1,000,000',
        target: 'ratio <= 1.2',
      },
      {
        measure: 'a row of 10,000,000, by a single UPDATE',
        ours: bare[1]!,
        unit: 'µs',
        reference: bare[0]!,
        referenceName: 'a row of 1,000,000',
      },
      {
        measure: '10,000,000 rows, a tick',
        ours: perRow[1]! * 10,
        unit: 's',
        reference: bare[1]! * 10,
        referenceName: 'single UPDATE',
      },
    ];
  },
});
