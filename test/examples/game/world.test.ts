/**
 * The game's tables and indexes: made on a live system, again, and after a build that was broken off; and its players.
 */
import { Client } from 'pg';
import { migrateGame, seedGame } from '../../../examples/game/world';
import { eventually, Stack } from '../../support/stack';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

const migrate = () => migrateGame(stack.servers.databaseUrl, stack.log);
/** As if they had not run yet, on a system that has all of it. */
const forgetIndexes = () => stack.sql(`delete from game_migrations where name = '0002_indexes'`);
const indexes = async (): Promise<Record<string, boolean>> => {
  const rows = await stack.sql<{ name: string; valid: boolean }>(
    `select c.relname as name, i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
     where c.relnamespace = 'game'::regnamespace and not i.indisprimary`,
  );
  return Object.fromEntries(rows.map(({ name, valid }) => [name, valid]));
};
const WANTED = { combat_by_turn: true, combat_by_player: true, item_by_age: true };

test('once they are made; again, nothing is', async () => {
  expect(await migrate()).toEqual(['0001_world', '0002_indexes']);
  expect(await indexes()).toEqual(WANTED);
  expect(await migrate()).toEqual([]);
});

test('an index over what every tick changes is taken away', async () => {
  await forgetIndexes();
  await stack.sql(
    'create index player_stamina_regen on game.player (is_dead, stamina) where not is_dead and stamina < max_stamina',
  );
  expect(await migrate()).toEqual(['0002_indexes']);
  expect(await indexes()).toEqual(WANTED);
});

test('what a broken build has left is built again', async () => {
  await forgetIndexes();
  await stack.sql(`update pg_index set indisvalid = false where indexrelid = 'game.item_by_age'::regclass`);
  expect(await indexes()).toEqual({ ...WANTED, item_by_age: false });
  await migrate();
  expect(await indexes()).toEqual(WANTED);
});

test('nobody waits for an index that is being built', async () => {
  await forgetIndexes();
  await stack.sql('drop index game.combat_by_turn');
  await seedGame(stack.pool, {
    players: 100,
    combats: 10,
    idleCombats: 0,
    idleSeconds: 300,
    items: 0,
    oldItems: 0,
    decaySeconds: 60,
  });
  const open = new Client({ connectionString: stack.servers.databaseUrl });
  // Ended with the servers, should the test be.
  open.on('error', () => undefined);
  await open.connect();
  try {
    // The build waits for what had begun before it, so it is at work until this commits.
    await open.query('begin');
    await open.query('update game.combat set rounds = rounds + 1 where id = 1');
    const building = migrate();
    await eventually('the index is being built', async () => {
      const [row] = await stack.sql<{ n: number }>('select count(*)::int as n from pg_stat_progress_create_index');
      return row?.n === 1;
    });
    const { rowCount } = await open.query('select from game.combat');
    expect(rowCount).toBe(10);
    await stack.sql(
      `set lock_timeout = '2s'; update game.combat set rounds = rounds + 1 where id = 2; reset lock_timeout`,
    );
    await open.query('commit');
    expect(await building).toEqual(['0002_indexes']);
  } finally {
    await open.end();
  }
  expect(await indexes()).toEqual(WANTED);
});
