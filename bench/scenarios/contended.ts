/**
 * A regen over a million rows while somebody holds one of them for half a minute: what players notice of it while the
 * others advance, and when the tick has ended.
 */
import path from 'node:path';
import { resolveConfig, type ConfigDefinition } from '../../exports';
import { eventually } from '../../test/support/stack';
import { defineScenario } from '../harness/scenario';
import { makePlayers, settle } from '../job/players';

const ROWS = 1_000_000;
const HELD_MS = 30_000;
const CLIENTS = 16;
const EVERY_MS = 20;
/** In the middle of a part; players act on the rows before it. */
const HELD = ROWS / 2 + 4_321;

interface Load {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

export const scenario = defineScenario({
  title: `${ROWS.toLocaleString('en-US')} rows while somebody holds one of them for ${HELD_MS / 1_000} s`,
  async run(bench) {
    const stack = await bench.stack();
    const config: ConfigDefinition = {
      regens: [
        {
          name: 'contended',
          every: '366d',
          table: 'players',
          set: { stamina: 'least(stamina + 1 + endurance / 10, max_stamina)' },
          where: 'not is_dead and stamina < max_stamina',
        },
      ],
    };
    await makePlayers(stack, 'players', ROWS);
    await stack.worker(config);
    const longwatch = await stack.connect();
    const job = longwatch.job('contended');
    await job.start(resolveConfig(config).jobs[0]!.options);
    await job.run();
    await settle(stack, 'players');

    const load = await bench.child(path.join(__dirname, '../job/load-process.ts'));
    // Not the row that is held: who wants that waits for its holder, whatever we do.
    await load.call('start', stack.servers.databaseUrl, 'players', HELD - 1, CLIENTS, EVERY_MS);
    await bench.sleep(1_000);
    await load.call('mark');
    await bench.sleep(5_000);
    const idle = await load.call<Load>('read');

    const holder = await stack.pool.connect();
    const began = performance.now();
    let last = 0;
    try {
      await holder.query('begin');
      await holder.query('update players set stamina = stamina where id = $1', [HELD]);
      await load.call('mark');
      const running = job.run();
      await eventually(
        'all others have advanced',
        async () => ((await job.status()).open?.rows ?? 0) >= ROWS - 1,
        25_000,
      );
      const others = performance.now() - began;
      const beside = await load.call<Load>('read');
      await bench.sleep(Math.max(0, HELD_MS - (performance.now() - began)));
      const all = await load.call<Load>('read');
      await holder.query('commit');
      const released = performance.now();
      const tick = await running;
      last = performance.now() - released;
      if (tick.rows !== ROWS || tick.failed !== 0) throw new Error(`${tick.rows} rows advanced, ${tick.failed} failed`);
      return [
        {
          measure: "players' updates while the others advance, p99",
          ours: beside.p99,
          unit: 'ms',
          reference: idle.p99,
          referenceName: 'idle',
          target: 'ratio <= 3',
        },
        { measure: "players' updates, the longest", ours: all.max, unit: 'ms', target: '<= 1000 ms' },
        { measure: 'all others have advanced after', ours: others, unit: 'ms' },
        { measure: 'the held row advances after its release', ours: last, unit: 'ms', target: '<= 2000 ms' },
      ];
    } finally {
      await holder.query('rollback').catch(() => undefined);
      holder.release();
      await load.call('stop');
    }
  },
});
