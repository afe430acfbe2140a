/**
 * Everything through PgBouncer in transaction mode (DATABASE_URL the pooler's, DIRECT_DATABASE_URL the server's):
 * trackers, durable activities, jobs over a population, the client. Skipped, and said so, where the program is not
 * installed (`apt-get install pgbouncer`).
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { connect, defineRegen, defineSweep } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import * as activities from '../durable/activities';
import { startDurable, type DurableStack } from '../durable/stack';
import { eventually } from '../support/stack';
import { findPgBouncer, Pooler } from './pooler';
import { resolveConfig } from '../../config/resolve/config';

const program = findPgBouncer();
if (program === undefined) console.warn('PgBouncer is not installed, so it is not tested: apt-get install pgbouncer');
const withPooler = program === undefined ? describe.skip : describe;

const log = pino({ level: 'silent' });
const IDS = Array.from({ length: 500 }, (_, index) => `id-${index}`);
const TRACKER = {
  name: 'things',
  poolSize: 100,
  operations: { look: { every: '1s', run: ({ id }: { id: string }) => ({ value: id }) } },
};

const REGEN = defineRegen({
  name: 'stamina',
  every: '1d',
  table: 'player',
  set: { stamina: 'stamina + 1' },
  chunk: 500,
  concurrency: 4,
});
const SWEEP = defineSweep<{ [column: string]: unknown; id: string }>({
  name: 'fights',
  every: '1d',
  table: 'player',
  due: 'fights = 0',
  handle: async (rows, { tx }) => {
    await tx.query('update player set fights = fights + 1 where id = any($1::bigint[])', [rows.map(({ id }) => id)]);
  },
});

withPooler('through PgBouncer in transaction mode', () => {
  let durable: DurableStack;
  let pooler: Pooler;
  let longwatch: Longwatch;

  beforeAll(async () => {
    durable = await startDurable({ own: true });
    const { stack } = durable;
    pooler = await Pooler.start(program!, stack);
    await stack.sql(
      `create table player (id bigint primary key, stamina integer not null default 0, fights integer not null default 0)`,
    );
    await stack.sql(`insert into player (id) select n from generate_series(1, 20000) n`);
    const urls = { databaseUrl: pooler.url, directDatabaseUrl: stack.servers.databaseUrl };
    for (const node of ['one', 'two']) {
      const workflows = path.join(__dirname, '../durable/workflows.ts');
      const config = { trackers: [TRACKER], activities, workflows, regens: [REGEN], sweeps: [SWEEP] };
      await stack.worker(config, { ...urls, nodeName: node, workflowBundle: durable.bundle });
    }
    const { temporalAddress: address, namespace } = stack.servers;
    longwatch = await connect({ environment: { temporal: { address, namespace }, ...urls } });
  });
  afterAll(async () => {
    await longwatch?.close();
    await durable?.close();
    await pooler?.stop();
  });

  const open = (options: {
    direct: boolean;
    statementTimeoutMs?: number;
    idleTimeoutMs?: number;
    lockTimeoutMs?: number;
  }): Database =>
    new Database({
      url: pooler.url,
      directUrl: options.direct ? durable.stack.servers.databaseUrl : undefined,
      log,
      connections: 8,
      statementTimeoutMs: options.statementTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs,
      lockTimeoutMs: options.lockTimeoutMs,
    });

  test('a tracker of five pools on two workers: every id is fetched, and a removal and a pause are heard', async () => {
    const tracker = longwatch.tracker('things');
    await tracker.start(resolveConfig({ trackers: [TRACKER] }).trackers[0]!.options);
    await tracker.add(IDS, { wait: true });
    const fetched = async (): Promise<number> =>
      (await durable.stack.sql<{ n: number }>('select count(*)::int as n from longwatch.value'))[0]!.n;
    await eventually('all have a value', async () => (await fetched()) === IDS.length);
    await tracker.remove(IDS.slice(0, 100), { wait: true });
    expect(await fetched()).toBe(IDS.length - 100);
    expect((await tracker.pause()).state).toBe('paused');
    expect((await tracker.status()).members).toBe(IDS.length - 100);
    await tracker.stop();
  });

  test('a hundred durable activities at once: each effect once, with its stored result', async () => {
    const bookings = Array.from({ length: 100 }, (_, index) => ({ id: `booking ${index}`, fail: 0 }));
    await Promise.all(bookings.map((booking) => durable.run('payOnce', [booking])));
    // The same keys again: found, not done.
    await Promise.all(bookings.map((booking) => durable.run('payOnce', [booking])));
    const [row] = await durable.stack.sql<{ n: number; ids: number }>(
      `select count(*)::int as n, count(distinct id)::int as ids from booking where id like 'booking %'`,
    );
    expect(row).toEqual({ n: 100, ids: 100 });
  });

  test('jobs: each row advanced once a tick, each due one handled once; status, history and explain', async () => {
    for (const { name, options } of resolveConfig({ regens: [REGEN], sweeps: [SWEEP] }).jobs) {
      await longwatch.job(name).start(options);
    }
    for (let tick = 0; tick < 3; tick++) {
      expect(await longwatch.job('stamina').run()).toMatchObject({ rows: 20_000, failed: 0 });
    }
    expect(await longwatch.job('fights').run()).toMatchObject({ rows: 20_000, failed: 0 });
    expect(await durable.stack.sql('select stamina, fights, count(*)::int as n from player group by 1, 2')).toEqual([
      { stamina: 3, fights: 1, n: 20_000 },
    ]);
    expect((await longwatch.job('stamina').explain()).plan.join('\n')).toMatch(/Update on public.player/);
    expect(await longwatch.job('stamina').history()).toHaveLength(3);
    expect((await longwatch.status()).jobs.map(({ name }) => name).sort()).toEqual(['fights', 'stamina']);
  });

  test('an announcement through the pooler is heard on the direct address', async () => {
    const database = open({ direct: true });
    const listener = database.listener();
    try {
      await listener.connect();
      await listener.query('listen growth');
      const heard = new Promise((resolve) => listener.once('notification', ({ payload }) => resolve(payload)));
      await database.rows({ name: 'announce', text: 'select pg_notify($1, $2)' }, ['growth', 'grown']);
      expect(await heard).toBe('grown');
    } finally {
      await listener.end();
      await database.close();
    }
  });

  test('a statement in a transaction has its time limit, which the next transaction does not inherit', async () => {
    const database = open({ direct: true, statementTimeoutMs: 100 });
    const sleep = { name: 'sleep', text: 'select pg_sleep($1)' };
    try {
      const slow = database.transaction((db) => db.query({ ...sleep, values: [2] }));
      await expect(slow).rejects.toThrow(/statement timeout/);
      const limits = await Promise.all(
        Array.from({ length: 8 }, () =>
          database.rows<{ limit: string }>({
            name: 'limit',
            text: `select current_setting('statement_timeout') as limit`,
          }),
        ),
      );
      expect(new Set(limits.flat().map((row) => row.limit))).toEqual(new Set(['0']));
    } finally {
      await database.close();
    }
  });

  test('whoever freezes in a transaction lets go of its locks, and nobody waits long for one, through the pooler too', async () => {
    const database = open({ direct: true, idleTimeoutMs: 500, lockTimeoutMs: 200 });
    const lock = { name: 'lock', text: 'select id from player where id = $1 for update' };
    try {
      let waited: unknown;
      const frozen = database.transaction(async (db) => {
        await db.query({ ...lock, values: [1] });
        waited = await database
          .transaction((other) => other.query({ ...lock, values: [1] }))
          .catch((error: unknown) => error);
        // It does not come back within its time.
        await delay(600);
        await db.query({ ...lock, values: [2] });
      });
      await expect(frozen).rejects.toMatchObject({ type: 'StoreUnavailable' });
      expect(waited).toMatchObject({ code: '55P03' });
      await database.transaction((db) => db.query({ ...lock, values: [1] }));
    } finally {
      await database.close();
    }
  });

  test('it would not do without saying so: PgBouncer refuses the time limit, and statements by name do not last', async () => {
    const database = open({ direct: false });
    await expect(database.rows({ name: 'one', text: 'select 1' })).rejects.toThrow(/startup parameter/);
    await database.close();
    const pool = new Pool({ connectionString: pooler.url, max: 8 });
    try {
      const many = Array.from({ length: 64 }, () =>
        pool.query({ name: 'named', text: 'select pg_sleep(0.001), $1::int', values: [1] }),
      );
      expect((await Promise.allSettled(many)).some(({ status }) => status === 'rejected')).toBe(true);
    } finally {
      await pool.end();
    }
  });
});
