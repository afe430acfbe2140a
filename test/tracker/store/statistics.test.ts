/**
 * A plan that was made while a table was empty does not stay when it has grown, and a table that cannot be analyzed
 * keeps no other from it: on the real PostgreSQL.
 */
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

describe('a table that cannot be analyzed', () => {
  /** Two tables have grown, `life` the most. */
  async function grown(): Promise<void> {
    await stack.sql('truncate longwatch.life_ended');
    await stack.sql(`select pg_stat_reset_single_table_counters('longwatch.life_ended'::regclass)`);
    await live(20_000);
    await stack.sql(
      `insert into longwatch.life_ended (tracker, id, slot)
       select 't', 'm' || n, n from (select pg_stat_force_next_flush()) f, generate_series(1, 2000) n`,
    );
    await eventually('it is seen that both have grown', async () => {
      const names = (await outgrownTables(database.single)).filter((name) => name.startsWith('life'));
      return names.join() === 'life,life_ended';
    });
  }
  /** As autovacuum against wraparound has it. */
  async function locked(table: string): Promise<Client> {
    const holder = await connected();
    await holder.query(`begin; lock table longwatch.${table} in share update exclusive mode`);
    return holder;
  }
  const outgrown = () => outgrownTables(database.single);

  test('keeps no other from it, and is analyzed when it can be', async () => {
    const patient = new Statistics(database, log, 0);
    await grown();
    const holder = await locked('life');
    await eventually('the other one is analyzed', async () => {
      await patient.look();
      return !(await outgrown()).includes('life_ended');
    });
    expect(await outgrown()).toContain('life');
    await holder.query('rollback');
    await eventually('so is the one that was locked', async () => {
      await patient.look();
      return !(await isOutgrown());
    });
  });

  test('is tried less and less, and told once', async () => {
    const said: string[] = [];
    const telling = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
    await grown();
    await locked('life');
    const tried = jest.spyOn(database, 'transaction');
    // The first failure is followed by a long wait: looks do not try it meanwhile.
    const slow = new Statistics(database, telling);
    await slow.look();
    const tries = tried.mock.calls.length;
    await slow.look();
    await slow.look();
    expect(tried.mock.calls.length).toBe(tries);
    tried.mockRestore();
    expect(said).toEqual([]);

    const quick = new Statistics(database, telling, 0);
    for (let look = 0; look < 8; look++) await quick.look();
    expect(said).toHaveLength(1);
    expect(JSON.parse(said[0]!)).toMatchObject({ level: 40, table: 'life', err: { code: '55P03' } });
  });

  test('an outage is no fault of a table', async () => {
    const said: string[] = [];
    const telling = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
    await grown();
    const away = Object.assign(new Error('away'), { type: 'StoreUnavailable' });
    const tried = jest.spyOn(database, 'transaction').mockRejectedValue(away);
    const quick = new Statistics(database, telling, 0);
    for (let look = 0; look < 8; look++) await quick.look();
    // One table a look: the others would wait for the same.
    expect(tried).toHaveBeenCalledTimes(8);
    tried.mockRestore();
    expect(said).toEqual([]);
    await eventually('all are analyzed at once', async () => {
      await quick.look();
      return (await outgrown()).every((name) => !name.startsWith('life'));
    });
  });
});
