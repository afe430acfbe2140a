/**
 * Sweeps and decays on real servers: pages, order, retries, dead letters, what a row is claimed by, deletes and moves.
 */
import { defineConfig, HoldError, type DecayDefinition, type SweepContext, type SweepRow } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';
import { startJob } from './kit';

const NEVER = '366d';
interface Combat extends SweepRow {
  id: string;
  turn_started_at: Date;
}

/** The handlers of this file note here what they saw, and read what to do. */
const seen: { rows: string[][]; attempts: number[]; now: Set<string>; twice: string[] } = {
  rows: [],
  attempts: [],
  now: new Set(),
  twice: [],
};
let behave: (rows: Combat[], context: SweepContext) => Promise<{ retry?: Combat[] } | void> = async () => undefined;

const handle = async (rows: SweepRow[], context: SweepContext) => {
  const ids = (rows as Combat[]).map((row) => row.id);
  for (const id of ids) {
    if (seen.now.has(id)) seen.twice.push(id);
    seen.now.add(id);
  }
  seen.rows.push(ids);
  seen.attempts.push(context.attempt);
  try {
    return await behave(rows as Combat[], context);
  } finally {
    for (const id of ids) seen.now.delete(id);
  }
};

const sweep = { every: NEVER, table: 'combat', due: 'ended_at is null', order: 'turn_started_at', handle };
const decay = (name: string, over: Partial<DecayDefinition> = {}) => ({
  name,
  every: NEVER,
  table: 'dropped',
  where: 'dropped_at < now() - interval \'1 hour\' -- old',
  ...over,
}); // prettier-ignore

const config = defineConfig({
  sweeps: [
    { ...sweep, name: 'combats' },
    { ...sweep, name: 'short', page: 10, retry: { attempts: 3, base: '10ms' } },
    { ...sweep, name: 'hasty', page: 10, timeout: '200ms', retry: { attempts: 3, base: '10ms' } },
    { ...sweep, name: 'ordered', page: 1, concurrency: 1, retry: { attempts: 2, base: '10ms' } },
  ],
  decays: [
    decay('items'),
    decay('items-chunked', { chunk: 100, concurrency: 3 }),
    decay('items-moved', { chunk: 64, moveTo: 'archive' }),
    decay('items-all', { chunk: 'all' }),
    decay('numbered', { table: 'numbered', where: 'true', moveTo: 'numbered_archive' }),
  ],
});

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql(`create table combat (id bigint primary key, turn_started_at timestamptz, ended_at timestamptz, ends int not null default 0)`);
  await stack.sql('create table dropped (id bigint primary key, dropped_at timestamptz not null, what text, twice text generated always as (what || what) stored)');
  await stack.sql('create table archive (what text, dropped_at timestamptz, id bigint, twice text)');
  await stack.worker(config);
  longwatch = await stack.connect();
}); // prettier-ignore
afterAll(() => stack.close());

async function fill(rows: number): Promise<void> {
  await stack.sql('truncate combat');
  await stack.sql(
    `insert into combat select i, now() - ((${rows} - i) % 10) * interval '1 minute' from generate_series(1, ${rows}) i`,
  );
  Object.assign(seen, { rows: [], attempts: [], now: new Set(), twice: [] });
}

const endThem = (rows: Combat[], { tx }: SweepContext) =>
  tx.query('update combat set ended_at = now(), ends = ends + 1 where id = any($1)', [rows.map((row) => row.id)]);

const handledOnce = () => {
  const all = seen.rows.flat();
  expect(new Set(all).size).toBe(all.length);
  expect(seen.twice).toEqual([]);
};

test('all that is due is handled once, in pages of 100, several at once; what is done is no longer due', async () => {
  await fill(1_050);
  behave = async (rows, context) => void (await endThem(rows, context));
  const job = await startJob(longwatch, config, 'combats');
  expect(await job.run()).toMatchObject({ rows: 1_050, failed: 0, chunks: 11 });
  handledOnce();
  expect(Math.max(...seen.rows.map((page) => page.length))).toBe(100);
  expect(await stack.sql('select 1 from combat where ends <> 1')).toEqual([]);
  expect((await job.run()).rows).toBe(0);
});

test('a row that stays due is handled once a tick; nulls of the order come last', async () => {
  await fill(25);
  await stack.sql('update combat set turn_started_at = null where id in (7, 9)');
  behave = async () => undefined;
  const job = await startJob(longwatch, config, 'ordered');
  expect((await job.run()).rows).toBe(25);
  handledOnce();
  expect(seen.rows.slice(-2)).toEqual([['7'], ['9']]);
  const order = await stack.sql<{ id: string }>('select id from combat order by turn_started_at nulls last, id');
  expect(seen.rows.flat()).toEqual(order.map((row) => row.id));
  expect((await job.run()).rows).toBe(25);
});

test('a page with rows that fail is halved until they are alone; they are tried again, then dead letters; all others are done once', async () => {
  await fill(30);
  behave = async (rows, context) => {
    await endThem(rows, context);
    if (rows.some((row) => row.id === '5' || row.id === '17')) throw new Error('no such player');
  };
  const job = await startJob(longwatch, config, 'short');
  const tick = await job.run();
  expect(tick).toMatchObject({ rows: 28, failed: 2 });
  expect(await stack.sql('select id from combat where ends <> 1 order by id')).toEqual([{ id: '5' }, { id: '17' }]);
  const dead = await job.failedRows();
  expect(dead.map((row) => [row.key[0], row.error, row.attempts]).sort()).toEqual([
    ['17', 'no such player', 3],
    ['5', 'no such player', 3],
  ]);
  // A dead letter is left alone until it is asked for.
  expect((await job.run()).rows).toBe(0);
  behave = async (rows, context) => void (await endThem(rows, context));
  expect(await job.retryFailed(['5'])).toBe(1);
  expect((await job.run()).rows).toBe(1);
  expect(await job.retryFailed()).toBe(1);
  expect((await job.run()).rows).toBe(1);
  expect(await stack.sql('select 1 from combat where ends <> 1')).toEqual([]);
});

test('a handler may ask for some rows again, or hold its page; one that hangs is timed out and writes nothing', async () => {
  await fill(10);
  let times = 0;
  behave = async (rows, context) => {
    times++;
    if (times === 1) throw new HoldError('later', { afterMs: 30 });
    if (times === 2) return { retry: rows.filter((row) => Number(row.id) > 8) };
    if (times === 3) {
      await endThem(rows, context);
      return new Promise(() => undefined);
    }
  };
  const job = await startJob(longwatch, config, 'hasty');
  const tick = await job.run();
  expect(tick).toMatchObject({ rows: 10, failed: 0 });
  // The third time two rows hang; then each comes alone.
  expect(seen.rows.map((page) => page.length)).toEqual([10, 10, 2, 1, 1]);
  expect(seen.attempts.slice(0, 3)).toEqual([1, 1, 2]);
  expect(await stack.sql('select 1 from combat where ends > 0')).toEqual([]);
});

test('dead letters of keys with commas are named apart', async () => {
  await startJob(longwatch, config, 'short');
  const job = longwatch.job('short');
  await stack.sql(`insert into longwatch.failed_row (job, key, due, error) values ('short', array['a,b', 'c'], now(), 'x'), ('short', array['a', 'b,c'], now(), 'x'), ('short', array['[1]'], now(), 'x')`);
  await expect(job.retryFailed(['a,b,c'])).rejects.toThrow(/stands for several keys; name one: \["a,b","c"\] or/);
  expect(await job.retryFailed(['["a,b","c"]'])).toBe(1);
  expect((await job.failedRows()).map(({ key }) => key)).toEqual([['[1]'], ['a', 'b,c']]);
  expect(await job.retryFailed(['a,b,c', '[1]', 'nobody'])).toBe(2);
}); // prettier-ignore

test('rows that somebody else holds locked are passed over, and come with the next tick', async () => {
  await fill(20);
  behave = async (rows, context) => void (await endThem(rows, context));
  const job = await startJob(longwatch, config, 'short');
  const other = await stack.pool.connect();
  try {
    await other.query('begin');
    await other.query('select 1 from combat where id <= 3 for update');
    expect((await job.run()).rows).toBe(17);
    await other.query('commit');
  } finally {
    other.release();
  }
  expect((await job.run()).rows).toBe(3);
});

describe('decay', () => {
  const drop = async (old: number, fresh: number): Promise<void> => {
    await stack.sql('truncate dropped, archive');
    await stack.sql(
      `insert into dropped select i, now() - interval '2 hours', 'item' from generate_series(1, ${old}) i`,
    );
    await stack.sql(`insert into dropped select i, now(), 'item' from generate_series(100001, ${100_000 + fresh}) i`);
  };
  const left = async () => (await stack.sql<{ n: number }>('select count(*)::int as n from dropped'))[0]!.n;

  test.each([
    ['items', 1],
    ['items-all', 1],
    ['items-chunked', 11],
  ])('%s: what is old goes, the rest stays', async (name, chunks) => {
    await drop(1_000, 50);
    const job = await startJob(longwatch, config, name);
    const tick = await job.run();
    expect(tick).toMatchObject({ rows: 1_000, failed: 0 });
    expect(tick.chunks).toBeGreaterThanOrEqual(chunks);
    if (chunks === 1) expect(tick.chunks).toBe(1);
    expect(await left()).toBe(50);
  });

  test('rows move in the statement that deletes them', async () => {
    await drop(300, 5);
    expect((await (await startJob(longwatch, config, 'items-moved')).run()).rows).toBe(300);
    expect(await left()).toBe(5);
    const moved = await stack.sql<{ n: number }>(
      `select count(distinct id)::int as n from archive where what = 'item'`,
    );
    expect(moved).toEqual([{ n: 300 }]);
  });

  test('a row that moves keeps the number that PostgreSQL gave it', async () => {
    for (const table of ['numbered', 'numbered_archive']) {
      await stack.sql(`create table ${table} (id int generated always as identity primary key)`);
    }
    await stack.sql('insert into numbered overriding system value select generate_series(1001, 1010)');
    expect((await (await startJob(longwatch, config, 'numbered')).run()).rows).toBe(10);
    const moved = await stack.sql('select min(id) as least, max(id) as most, count(*)::int as n from numbered_archive');
    expect(moved).toEqual([{ least: 1001, most: 1010, n: 10 }]);
  });

  test.each(['items-chunked', 'items-all'])('%s: a row that cannot go is found, reported and left', async (name) => {
    await drop(500, 5);
    await stack.sql('create table holder (item bigint references dropped)');
    try {
      await stack.sql('insert into holder values (111), (222)');
      const job = await startJob(longwatch, config, name);
      expect(await job.run()).toMatchObject({ rows: 498, failed: 2 });
      expect((await job.failedRows()).map((row) => row.key[0]).sort()).toEqual(['111', '222']);
      expect(await left()).toBe(7);
    } finally {
      await stack.sql('drop table holder');
    }
  });
});

test('stopped and started by the name, and shown by status', async () => {
  const job = await startJob(longwatch, config, 'combats');
  await job.pause();
  const { jobs } = await longwatch.status();
  expect(jobs.find((one) => one.name === 'combats')).toMatchObject({ kind: 'sweep', state: 'paused', open: null });
  await job.stop();
  await expect(job.pause()).rejects.toThrow(/is stopped/);
  await expect(longwatch.job('combat').status()).rejects.toThrow(/did you mean 'combats'/);
  await eventually('it is stopped', async () => (await job.status()).state === 'stopped');
});
