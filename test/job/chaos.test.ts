/**
 * Bad days of a regen that only adds, and of a sweep and a move beside it: workers, PostgreSQL and the Temporal server
 * are killed at random while they tick. Afterwards every row has exactly the sum of the ticks that the history tells
 * of, and all others were handled or moved once. `LONGWATCH_CHAOS_TICKS=30` makes it the long one, `LONGWATCH_SEED`
 * repeats what failed.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { JobHandle } from '../../client/job/handle';
import type { Longwatch } from '../../client/longwatch';
import { anySeed, choices } from '../chaos/random';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config, { COUNTING_MS } from './chaos.config';
import { optionsOf } from './kit';

const CONFIG = path.join(__dirname, 'chaos.config.ts');
const ROWS = 200_000;
const SEED = Number(process.env.LONGWATCH_SEED ?? anySeed());
/** Each ends with a kill. */
const TICKS = Number(process.env.LONGWATCH_CHAOS_TICKS ?? 6);
/** Rows for the sweep and the move before each kill. */
const MORE = 2_000;
const VICTIMS = ['worker', 'postgres', 'temporal'] as const;

let stack: Stack;
let longwatch: Longwatch;
let counting: JobHandle;
let workers: WorkerProcess[] = [];

async function worker(): Promise<WorkerProcess> {
  const one = stack.workerProcess(CONFIG);
  await one.ready;
  workers.push(one);
  return one;
}

async function kill(one: WorkerProcess): Promise<void> {
  workers = workers.filter((other) => other !== one);
  await one.kill('SIGKILL');
}

async function restart(server: 'postgres' | 'temporal'): Promise<void> {
  await stack.servers.kill(server);
  await stack.servers.start(server);
}

/** Kept at until it is accepted, as a caller does that must not lose it. */
const insistOn = <T>(what: string, ask: () => Promise<T>): Promise<T> =>
  eventually(what, async () => ({ answer: await ask() })).then(({ answer }) => answer);

const ended = async (): Promise<number> =>
  (
    await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.tick where job = 'counting' and ended_at is not null`,
    )
  )[0]!.n;

const sums = (table: string, column = 'n') =>
  stack.sql<{ n: number; rows: number }>(
    `select ${column} as n, count(*)::int as rows from ${table} group by 1 order by 1`,
  );

beforeAll(async () => {
  stack = await Stack.start({ own: true });
  // Few rows a page: of many pages a tick is cut into parts.
  for (const [table, rows, fill] of [['counter', ROWS, 50], ['rested', 20_000, 10]] as const) {
    await stack.sql(`create table ${table} (id int primary key, n int not null default 0) with (fillfactor = ${fill})`);
    await stack.sql(`insert into ${table} select generate_series(1, ${rows})`);
  } // prettier-ignore
  await stack.sql(
    'create table chore (id int generated always as identity primary key, handled int not null default 0)',
  );
  await stack.sql('create table old (id int generated always as identity primary key)');
  await stack.sql('create table archive (id int)');
  await Promise.all([worker(), worker()]);
  longwatch = await stack.connect();
  counting = longwatch.job('counting');
});
afterAll(() => stack?.close());

test('killed at random: every row has exactly the sum of its ticks, no tick is left out, all due rows are handled and moved once', async () => {
  const choose = choices(SEED);
  const left: (typeof VICTIMS)[number][] = [];
  const breakSomething = async (): Promise<void> => {
    if (left.length === 0) left.push(...choose.some(VICTIMS, VICTIMS.length));
    const victim = left.pop()!;
    await delay(choose.between(0, 900));
    if (victim !== 'worker') return restart(victim);
    await kill(choose.one(workers));
    await worker();
  };
  try {
    for (const name of ['counting', 'handling', 'moving']) await longwatch.job(name).start(optionsOf(config, name));
    for (let tick = 0; tick < TICKS; tick++) {
      const before = await insistOn('the history is told', ended);
      await eventually('it ticks', async () => (await ended()) > before);
      await stack.sql('insert into chore select from generate_series(1, $1)', [MORE]);
      await stack.sql('insert into old select from generate_series(1, $1)', [MORE]);
      await breakSomething();
    }
    // No more of the schedule, and one by hand: what had begun before has ended by then.
    await insistOn('it is slowed down', () => counting.set({ every: '366d' }));
    await insistOn('the last tick', () => counting.run());
    const [told] = await stack.sql<{ ticks: number; elapsed: number; span: number; open: number }>(
      `select count(*)::int as ticks, sum(elapsed)::int as elapsed, count(*) filter (where ended_at is null)::int as open,
              (1 + extract(epoch from max(due) filter (where request is null) - min(due)) * 1000 / $1)::int as span
       from longwatch.tick where job = 'counting'`,
      [COUNTING_MS],
    );
    expect(told!.ticks).toBeGreaterThan(TICKS);
    const byHand = (await counting.history(1_000)).filter((tick) => tick.by === 'hand').length;
    expect(told).toEqual({ ticks: told!.ticks, elapsed: told!.span + byHand, span: told!.span, open: 0 });
    expect(await sums('counter')).toEqual([{ n: told!.elapsed, rows: ROWS }]);
    // The rows that a killed worker had in hand come again after its claim has run out.
    await eventually('all is handled', async () => (await stack.sql('select 1 from chore where handled = 0 limit 1')).length === 0);
    await eventually('all is moved', async () => (await stack.sql('select 1 from old limit 1')).length === 0);
    expect(await sums('chore', 'handled')).toEqual([{ n: 1, rows: TICKS * MORE }]);
    expect(await sums('(select count(*)::int as times from archive group by id) a', 'times')).toEqual([{ n: 1, rows: TICKS * MORE }]);
    for (const name of ['handling', 'moving']) await longwatch.job(name).stop();
  } catch (error) {
    const repeat = `LONGWATCH_SEED=${SEED} LONGWATCH_CHAOS_TICKS=${TICKS} npx jest test/job/chaos`;
    throw new Error(`${(error as Error).message}\n\nto repeat it: ${repeat}`, { cause: error });
  }
}, 900_000 + 40_000 * TICKS); // prettier-ignore

test('a pass that outlives a crash of PostgreSQL while it rests does again what the crash has taken back', async () => {
  // Nothing is written to the disk by itself, so that the crash takes all that did not wait for it.
  await stack.sql(`alter system set wal_writer_delay = '10s'`);
  await stack.sql(`alter system set wal_writer_flush_after = '1GB'`);
  await stack.sql('select pg_reload_conf()');
  const resting = longwatch.job('resting');
  await resting.start(optionsOf(config, 'resting'));
  const running = resting.run();
  running.catch(() => undefined);
  await eventually('the first part is done', async () => {
    const parts = await stack.sql<{ done: boolean }>(`select done from longwatch.tick_range where job = 'resting'`);
    expect(parts.length === 0 || parts.length > 1).toBe(true);
    return parts.some((part) => part.done);
  });
  await restart('postgres');
  await running.catch(() => undefined);
  await eventually('the tick has ended', async () => (await resting.history()).length === 1);
  expect(await sums('rested')).toEqual([{ n: 1, rows: 20_000 }]);
  await stack.sql('alter system reset all');
});

test('a worker that is frozen in a tick and goes on when another has finished it writes nothing', async () => {
  for (const one of [...workers]) await kill(one);
  const frozen = await worker();
  await stack.sql('update counter set n = 0');
  await insistOn('it is paced', () => counting.set({ pace: 100_000 }));
  const running = counting.run();
  await eventually('it has begun', async () => ((await counting.status()).open?.rows ?? 0) > 1_000);
  await frozen.kill('SIGSTOP');
  await worker();
  expect(await running).toMatchObject({ rows: ROWS, failed: 0 });
  await frozen.kill('SIGCONT');
  // A tick by the one that was frozen, or the other: whatever it had in hand is refused by now.
  await counting.run();
  expect(await sums('counter')).toEqual([{ n: 2, rows: ROWS }]);
});
