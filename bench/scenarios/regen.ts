/**
 * A regen against the best single UPDATE on the same table, from a thousand to a million rows; at a million also while
 * players change single rows, with what they notice of it.
 */
import path from 'node:path';
import { resolveConfig, type ConfigDefinition } from '../../exports';
import type { JobHandle } from '../../client/job/handle';
import type { TickSummary } from '../../client/job/ticks';
import type { Stack } from '../../test/support/stack';
import { median } from '../harness/figures';
import type { Bench } from '../harness/bench';
import { defineScenario, type Reading } from '../harness/scenario';
import { bareUpdate, makePlayers, settle, timed } from '../job/players';

const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const TIMES = 3;
/** Sixteen players who act about fifty times a second each. */
const CLIENTS = 16;
const EVERY_MS = 20;

interface Load {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

export const scenario = defineScenario({
  title: 'one tick over 1K to 1M rows, against the best single UPDATE; row locks and foreground updates meanwhile',
  async run(bench) {
    const stack = await bench.stack();
    const config: ConfigDefinition = { regens: SIZES.map(definition) };
    const tables = SIZES.map((rows) => `players_${rows}`);
    for (const [index, rows] of SIZES.entries()) await makePlayers(stack, tables[index]!, rows);
    await stack.worker(config);
    const longwatch = await stack.connect();
    const readings: Reading[] = [];
    for (const [index, rows] of SIZES.entries()) {
      const job = longwatch.job(`regen-${rows}`);
      await job.start(resolveConfig(config).jobs[index]!.options);
      bench.say(`${rows} rows`);
      readings.push(...(await compare(stack, job, tables[index]!, rows)));
    }
    const largest = SIZES.at(-1)!;
    bench.say('with players beside');
    readings.push(...(await beside(bench, stack, longwatch.job(`regen-${largest}`), tables.at(-1)!, largest)));
    bench.say("the original's statement and index");
    readings.push(
      await original(
        stack,
        largest,
        readings.find(({ measure }) => measure.startsWith('1,000,000 rows'))!,
      ),
    );
    return readings;
  },
});

/** Default options: what a user gets who gives none. */
const definition = (rows: number) => ({
  name: `regen-${rows}`,
  every: '366d',
  table: `players_${rows}`,
  set: { stamina: 'least(stamina + 1 + endurance / 10, max_stamina)' },
  where: 'not is_dead and stamina < max_stamina',
});

async function compare(stack: Stack, job: JobHandle, table: string, rows: number): Promise<Reading[]> {
  const ours: TickSummary[] = [];
  const bare: number[] = [];
  // The first of each warms what is cached, and is not counted.
  for (let time = 0; time <= TIMES; time++) {
    await settle(stack, table);
    bare.push(await timed(stack, bareUpdate(table)));
    await settle(stack, table);
    ours.push(await job.run());
  }
  const took = median(ours.slice(1).map((tick) => tick.ms));
  const reference = median(bare.slice(1));
  const shown = rows.toLocaleString('en-US');
  const million = rows === 1_000_000;
  return [
    {
      measure: `${shown} rows, a tick`,
      ours: took,
      unit: 'ms',
      reference,
      referenceName: 'single UPDATE',
      ...(million ? { target: 'ratio <= 1.10' } : {}),
    },
    ...(rows === 1_000
      ? [{ measure: `${shown} rows, more than the statement`, ours: took - reference, unit: 'ms', target: '<= 50 ms' }]
      : []),
  ];
}

async function beside(bench: Bench, stack: Stack, job: JobHandle, table: string, rows: number): Promise<Reading[]> {
  const load = await bench.child(path.join(__dirname, '../job/load-process.ts'));
  await load.call('start', stack.servers.databaseUrl, table, rows, CLIENTS, EVERY_MS);
  const during = async (work: () => Promise<unknown>): Promise<Load> => {
    await load.call('mark');
    await work();
    return load.call<Load>('read');
  };
  await bench.sleep(1_000);
  const idle = await during(() => bench.sleep(5_000));
  const bareMs: number[] = [];
  const bareLoad: Load[] = [];
  const ours: TickSummary[] = [];
  const ourLoad: Load[] = [];
  for (let time = 0; time < TIMES; time++) {
    await settle(stack, table);
    await bench.sleep(1_000);
    bareLoad.push(await during(async () => bareMs.push(await timed(stack, bareUpdate(table)))));
    await settle(stack, table);
    await bench.sleep(1_000);
    ourLoad.push(await during(async () => ours.push(await job.run())));
  }
  await load.call('stop');
  const mid = (list: Load[], pick: (one: Load) => number): number => median(list.map(pick));
  return [
    {
      measure: 'the same, players beside',
      ours: median(ours.map((tick) => tick.ms)),
      unit: 'ms',
      reference: median(bareMs),
      referenceName: 'single UPDATE',
      target: 'ratio <= 1.10',
    },
    {
      measure: 'longest row lock of a chunk',
      ours: Math.max(...ours.map((tick) => tick.longestMs!)),
      unit: 'ms',
      reference: median(bareMs),
      referenceName: 'single UPDATE',
      target: '<= 50 ms',
    },
    {
      measure: "players' updates, p99",
      ours: mid(ourLoad, (one) => one.p99),
      unit: 'ms',
      reference: idle.p99,
      referenceName: 'idle',
      target: 'ratio <= 3',
      note: `${CLIENTS} players, each some ${1_000 / EVERY_MS} updates a second; read while a tick (or the statement) runs`,
    },
    {
      measure: "players' updates, p99 during the single UPDATE",
      ours: mid(bareLoad, (one) => one.p99),
      unit: 'ms',
      reference: idle.p99,
      referenceName: 'idle',
    },
    {
      measure: "players' updates, the longest",
      ours: Math.max(...ourLoad.map((one) => one.max)),
      unit: 'ms',
      reference: Math.max(...bareLoad.map((one) => one.max)),
      referenceName: 'single UPDATE',
    },
  ];
}

/** Full pages, and an index whose predicate reads the column that changes. */
async function original(stack: Stack, rows: number, ours: Reading): Promise<Reading> {
  await makePlayers(stack, 'original', rows, 100);
  await stack.sql(
    'create index original_regen on original (is_dead, stamina) where is_dead = false and stamina < max_stamina',
  );
  const took: number[] = [];
  for (let time = 0; time < 2; time++) {
    await settle(stack, 'original');
    took.push(await timed(stack, bareUpdate('original')));
  }
  return {
    measure: "the original's statement with its index, 1,000,000 rows",
    ours: took[1]!,
    unit: 'ms',
    reference: ours.ours,
    referenceName: 'a tick',
    target: 'ratio >= 3',
  };
}
