/** A sweep over 100,000 rows that are due, with a handler that does nothing: what claiming and settling cost. */
import { resolveConfig } from '../../exports';
import { defineScenario } from '../harness/scenario';
import { median } from '../harness/figures';
import { timed } from '../job/players';

const ROWS = 100_000;

export const scenario = defineScenario({
  title: `${ROWS.toLocaleString('en-US')} due rows through a handler that does nothing, pages of 100`,
  async run(bench) {
    const stack = await bench.stack();
    await stack.sql(
      'create table combat (id bigint primary key, turn_started_at timestamptz not null, players int[] not null)',
    );
    await stack.sql(
      `insert into combat select i, now() - interval '10 minutes' - i * interval '1 ms', array[i, i + 1] from generate_series(1, ${ROWS}) i`,
    );
    await stack.sql('create index combat_turn on combat (turn_started_at, id)');
    await stack.sql('vacuum (analyze) combat');
    const config = {
      sweeps: [
        { name: 'combats', every: '366d', table: 'combat', due: "turn_started_at < now() - interval '5 minutes'", order: 'turn_started_at', handle: () => undefined },
      ],
    }; // prettier-ignore
    await stack.worker(config);
    const longwatch = await stack.connect();
    const job = longwatch.job('combats');
    await job.start(resolveConfig(config).jobs[0]!.options);
    await job.run();
    const took: number[] = [];
    for (let time = 0; time < 3; time++) {
      const tick = await job.run();
      if (tick.rows !== ROWS) throw new Error(`${tick.rows} rows were handled`);
      took.push(tick.ms);
    }
    const plain = await timed(
      stack,
      `select * from combat where turn_started_at < now() - interval '5 minutes' for no key update`,
    );
    return [
      {
        measure: 'rows claimed, handled and settled',
        ours: ROWS / (median(took) / 1_000),
        unit: '/s',
        reference: ROWS / (plain / 1_000),
        referenceName: 'SELECT … FOR UPDATE of all',
        target: '>= 20,000 /s',
      },
    ];
  },
});
