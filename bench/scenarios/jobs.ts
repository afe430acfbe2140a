/**
 * The game's three jobs as its players meet them: at 10,000 players, all of them in a fight that has gone idle, and as
 * many old items on the ground; each job run by hand. Beside them what they replace: a loop of one update a player, and
 * the select of idle fights without its index.
 */
import { Pool } from 'pg';
import { gameJobs } from '../../examples/game/jobs';
import { gameSettings } from '../../examples/game/settings';
import { migrateGame, seedGame, settleGame } from '../../examples/game/world';
import type { Bench } from '../harness/bench';
import { median } from '../harness/figures';
import { defineScenario } from '../harness/scenario';
import { resolveConfig } from '../../config/resolve/config';

const PLAYERS = 10_000;
/** Fights for the select: a page of those that are idle among many that are not. */
const FIGHTS = 100_000;
const PAGE = 100;
const RUNS = 5;
/** As rarely as can be: only the runs by hand shall come. */
const SETTINGS = { ...gameSettings({}), regenEvery: '1d', combatEvery: '1d', decayEvery: '1d' };

export const scenario = defineScenario({
  title: "a game's three jobs at 10,000 players, and what they replace",
  runs: 3,
  async run(bench) {
    const stack = await bench.stack();
    await migrateGame(stack.servers.databaseUrl, stack.log);
    const { idleSeconds, decaySeconds } = SETTINGS;
    const all = { players: PLAYERS, combats: PLAYERS, idleCombats: PLAYERS, items: PLAYERS, oldItems: PLAYERS };
    const fill = () => seedGame(stack.pool, { ...all, idleSeconds, decaySeconds });
    const jobs = gameJobs(SETTINGS);
    await stack.worker(jobs);
    const longwatch = await stack.connect();
    for (const { name, options } of resolveConfig(jobs).jobs) await longwatch.job(name).start(options);

    const times: Record<string, number[]> = { stamina: [], combats: [], items: [] };
    for (let run = 0; run <= RUNS; run++) {
      await stack.sql('truncate game.player, game.combat, game.combat_result, game.item cascade');
      await fill();
      await settleGame(stack.servers.databaseUrl);
      for (const name of Object.keys(times)) {
        const { rows, failed, ms } = await longwatch.job(name).run();
        // The first run meets cold caches, and an estimate of how long a chunk takes.
        if (run > 0) times[name]!.push(ms / 1_000);
        if (rows < PLAYERS * 0.9 || failed > 0) throw new Error(`${name} did ${rows} rows and failed on ${failed}`);
      }
    }
    const [stamina, combats, items] = ['stamina', 'combats', 'items'].map((name) => median(times[name]!)) as [
      number,
      number,
      number,
    ];
    const loop = await perPlayer(bench, stack.servers.databaseUrl);
    const select = await dueSelect(bench, stack.servers.databaseUrl);
    const note = 'the time that the tick took, as status and history show it; median of 5';
    return [
      { measure: 'idle fights, 10,000', ours: combats, unit: 's', target: '<= 1 s', note },
      { measure: 'decay, 10,000 items', ours: items, unit: 's', target: '<= 0.1 s', note },
      { measure: 'all three jobs', ours: stamina + combats + items, unit: 's', target: '<= 3 s', note },
      {
        measure: 'regen, players a second',
        ours: PLAYERS / stamina,
        unit: '/s',
        reference: loop,
        referenceName: 'an update a player',
        target: 'ratio >= 60',
        note,
      },
      {
        measure: 'the select of a page of idle fights among 100,000, a second',
        ours: select.indexed,
        unit: '/s',
        reference: select.bare,
        referenceName: 'without its index',
        target: 'ratio >= 10',
      },
    ];
  },
});

/** The loop that the set-based statement replaced: all are read, then each is written with what was computed. */
async function perPlayer(bench: Bench, databaseUrl: string): Promise<number> {
  bench.say('an update a player');
  const pool = new Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  bench.defer(() => pool.end());
  const began = performance.now();
  type Player = { id: string; stamina: number; max_stamina: number; endurance: number };
  const { rows } = await pool.query<Player>(
    'select id, stamina, max_stamina, endurance from game.player where not is_dead and stamina < max_stamina',
  );
  for (const { id, stamina, max_stamina, endurance } of rows) {
    const grown = Math.min(stamina + 1 + Math.floor(endurance / 10), max_stamina);
    await pool.query({ name: 'one', text: 'update game.player set stamina = $2 where id = $1', values: [id, grown] });
  }
  return rows.length / ((performance.now() - began) / 1_000);
}

async function dueSelect(bench: Bench, databaseUrl: string): Promise<{ indexed: number; bare: number }> {
  bench.say('the select of idle fights, with its index and without');
  const pool = new Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  bench.defer(() => pool.end());
  await pool.query(
    `insert into game.combat (player, enemy, turn_started_at)
     select 1 + n % ${PLAYERS}, 'wolf', now() - case when n <= ${PAGE} then interval '1 day' else interval '0' end
     from generate_series(1, ${FIGHTS}) n`,
  );
  await pool.query('vacuum (analyze) game.combat');
  const due = `select * from game.combat where turn_started_at < now() - interval '${SETTINGS.idleSeconds} seconds'
                order by turn_started_at limit ${PAGE}`;
  const rate = async (runs: number): Promise<number> => {
    const began = performance.now();
    for (let run = 0; run < runs; run++) await pool.query({ name: 'due', text: due });
    return runs / ((performance.now() - began) / 1_000);
  };
  await rate(10);
  const indexed = await rate(500);
  await pool.query('drop index game.combat_by_turn');
  const bare = await rate(50);
  return { indexed, bare };
}
