/** A plan that was made while a table was empty does not stay when it has grown, on the real PostgreSQL. */
import { Client } from 'pg';
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import { Statistics } from '../../../activities/tracker/shift/statistics';
import { outgrownTables } from '../../../activities/tracker/store/statistics';
import { eventually, Stack } from '../../support/stack';

const log = pino({ level: 'silent' });
let stack: Stack;
let database: Database;
let statistics: Statistics;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  statistics = new Statistics(database, log);
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  await stack.sql(`delete from longwatch.tracker`);
  await stack.sql('truncate longwatch.life');
  await stack.sql(`select pg_stat_reset_single_table_counters('longwatch.life'::regclass)`);
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{}')`);
});

/** A connection of its own, as a node or a program has it. */
async function connected(): Promise<Client> {
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  clients.push(client);
  return client;
}
/** The server counts what a connection has written when it is idle for ten seconds, or at once where it is told so. */
const live = (rows: number) =>
  stack.sql(
    `insert into longwatch.life (tracker, id, slot)
     select 't', 'm' || n, n from (select pg_stat_force_next_flush()) f, generate_series(1, $1) n`,
    [rows],
  );
const isOutgrown = async (): Promise<boolean> => (await outgrownTables(database.single)).includes('life');

test('a connection gets another plan as soon as the table has rows', async () => {
  const client = await connected();
  await client.query(`set plan_cache_mode = 'force_generic_plan'`);
  await client.query(`prepare look (text[], text[]) as
    select l.version from unnest($1, $2) as p (tracker, id) join longwatch.life l on l.tracker = p.tracker and l.id = p.id`);
  const plan = async () => JSON.stringify((await client.query(`explain execute look (array['t'], array['m1'])`)).rows);
  expect(await plan()).toContain('Seq Scan on life');

  await live(20_000);
  await eventually('it is seen that the table has grown', isOutgrown);
  expect(await plan()).toContain('Seq Scan on life');
  await statistics.look();
  expect(await plan()).toContain('life_pkey');
});

test('a table that is as it was when it was analyzed is left alone', async () => {
  await stack.sql('analyze longwatch.life');
  await live(20_000);
  await stack.sql('analyze longwatch.life');
  expect(await isOutgrown()).toBe(false);
});

test('one node at a time', async () => {
  const other = await connected();
  await live(20_000);
  await eventually('it is seen that the table has grown', isOutgrown);
  await other.query('select pg_advisory_lock(7215438202)');
  await statistics.look();
  expect(await isOutgrown()).toBe(true);
  await other.query('select pg_advisory_unlock(7215438202)');
  await eventually('the lock is free', async () => {
    await statistics.look();
    return !(await isOutgrown());
  });
});
