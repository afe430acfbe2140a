/**
 * The game's own check, with ticks made by hand: it agrees with what is right, whatever the load did in between, and
 * finds each single thing that is not. Then the three jobs themselves, on a worker, beside the load.
 */
import { resolveConfig } from '../../../exports';
import { checkGame, type Line } from '../../../examples/game/check';
import { gameJobs } from '../../../examples/game/jobs';
import { Load } from '../../../examples/game/load';
import { gameSettings } from '../../../examples/game/settings';
import { migrateGame, seedGame, type Seeding } from '../../../examples/game/world';
import { Stack } from '../../support/stack';

const SETTINGS = { ...gameSettings({}), regenEvery: '1d', combatEvery: '1d', decayEvery: '1d' };
const SEEDING: Seeding = {
  players: 400,
  combats: 250,
  idleCombats: 230,
  idleSeconds: SETTINGS.idleSeconds,
  items: 50,
  oldItems: 20,
  decaySeconds: SETTINGS.decaySeconds,
};
/** Alive, far from its maximum, gains 1; and one that is dead. */
const LIVING = 1;
const DEAD = 20;

let stack: Stack;
let load: Load;

beforeAll(async () => {
  stack = await Stack.start();
  await migrateGame(stack.servers.databaseUrl, stack.log);
});
afterAll(() => stack?.close());

beforeEach(async () => {
  await stack.sql(
    'truncate game.player, game.combat, game.combat_result, game.item, game.event restart identity cascade',
  );
  await stack.sql('delete from longwatch.job');
  await seedGame(stack.pool, SEEDING);
  load = new Load(stack.pool, { players: SEEDING.players, rate: 2_000, clients: 4 });
});

const wrong = async (): Promise<string[]> => {
  const lines: Line[] = await checkGame(stack.pool, SEEDING, SETTINGS, load.done);
  return lines.filter(({ holds }) => !holds).map(({ what }) => what);
};

describe('with ticks made by hand', () => {
  beforeEach(() => stack.sql(`insert into longwatch.job (name, kind, options) values ('stamina', 'regen', '{}')`));

  const tick = async (elapsed = 1): Promise<void> => {
    const [began] = await stack.sql<{ at: Date }>('select clock_timestamp() as at');
    await stack.sql(
      `update game.player set stamina = least(stamina + $1::int * (1 + endurance / 10), max_stamina)
       where not is_dead and stamina < max_stamina`,
      [elapsed],
    );
    await stack.sql(
      `insert into longwatch.tick (job, due, elapsed, started_at, ended_at)
       values ('stamina', clock_timestamp(), $1, $2, clock_timestamp())`,
      [elapsed, began!.at],
    );
  };

  /** Fights, deaths and returns between the ticks, of some players. */
  const live = async (): Promise<void> => {
    await tick();
    for (let player = 1; player <= 60; player++) await load.act('fight', player, 3);
    for (let player = 30; player <= 45; player++) await load.act('die', player);
    await tick();
    for (let player = 40; player <= 60; player++) await load.act('revive', player);
    await tick(2);
    for (let player = 1; player <= 60; player++) await load.act('fight', player, 5);
    await tick();
  };

  test('it holds after any life', async () => {
    await live();
    expect(await wrong()).toEqual([]);
  });

  test.each([
    ['one tick twice, of a player that nobody touched', 'stamina + 1', 101],
    ['one tick twice, of one that fought', 'stamina + 1', LIVING],
    ['one tick missed', 'stamina - 1', LIVING],
    ['a tick for a dead one', 'stamina + 1', DEAD],
    ['something else than the rule', '0', 151],
  ])('it finds %s', async (_what, stamina, player) => {
    await live();
    await stack.sql(`update game.player set stamina = ${stamina} where id = $1`, [player]);
    expect(await wrong()).toEqual([
      expect.stringMatching(/stamina is not what rule and books say: 1, and should be 0/),
    ]);
  });

  test('it finds a tick that overlapped a fight and was lost', async () => {
    await load.act('fight', LIVING, 3);
    // As if it had lasted from before the fight until after it: when it came to this row, cannot be told.
    await tick();
    await stack.sql(`update longwatch.tick set started_at = started_at - interval '1 hour'`);
    expect(await wrong()).toEqual([]);
    await stack.sql('update game.player set stamina = stamina - 1 where id = $1', [LIVING]);
    expect(await wrong()).toHaveLength(1);
  });

  test('it finds a fight that was lost, ended twice, or ended too early', async () => {
    await stack.sql('delete from game.combat where id = 1');
    expect(await wrong()).toEqual([expect.stringMatching(/go on or have ended: 249/)]);
    const end = `insert into game.combat_result (combat, player, outcome, rounds, idle) values (1, 1, 'timed out', 1, $1)`;
    await stack.sql(end, ['1 hour']);
    expect(await wrong()).toEqual([]);
    await stack.sql(end, ['1 second']);
    expect(await wrong()).toHaveLength(3);
  });

  test('it finds an idle fight and an old item that are still there', async () => {
    await stack.sql(
      `insert into longwatch.job (name, kind, options) values ('combats', 'sweep', '{}'), ('items', 'decay', '{}')`,
    );
    await stack.sql(
      `insert into longwatch.tick (job, due, elapsed, started_at, ended_at)
       select job, now(), 1, now(), now() from unnest(array['combats', 'items']) as job`,
    );
    expect(await wrong()).toEqual([
      expect.stringMatching(/^idle fights that go on: 230/),
      expect.stringMatching(/^old items on the ground: 20/),
    ]);
  });
});

test('the three jobs on a worker, beside the load: all of it holds', async () => {
  const jobs = gameJobs(SETTINGS);
  await stack.worker(jobs);
  const longwatch = await stack.connect();
  const { jobs: resolved } = resolveConfig(jobs);
  for (const { name, options } of resolved) await longwatch.job(name).start(options);
  load.start();
  const ran = [];
  for (let round = 0; round < 3; round++) {
    for (const { name } of resolved) ran.push({ name, ...(await longwatch.job(name).run()) });
  }
  await load.stop();
  const first = Object.fromEntries(ran.slice(0, 3).map(({ name, rows }) => [name, rows]));
  expect(first.items).toBe(20);
  expect(first.stamina).toBeGreaterThan(300);
  // Players who take their turn meanwhile are not idle any more.
  expect(first.combats).toBeGreaterThan(0);
  expect(ran.every(({ band }) => band !== null)).toBe(true);
  expect(load.acts).toBeGreaterThan(0);
  expect(await wrong()).toEqual([]);
});
