/**
 * Bad days of a regen that only adds: workers, PostgreSQL and the Temporal server are killed at random while it ticks. Afterwards every
 * row has exactly the sum of the ticks that the history tells of.
 */
import path from 'node:path';
import type { JobHandle } from '../../client/job';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './chaos.config';
import { optionsOf } from './kit';

const CONFIG = path.join(__dirname, 'chaos.config.ts');
/** 200,000 rows over 30 ticks with LONGWATCH_LONG=1. */
const LONG = process.env.LONGWATCH_LONG === '1';
const ROWS = LONG ? 200_000 : 20_000;
const KILLS = LONG ? 24 : 6;

let stack: Stack;
let job: JobHandle;
let workers: WorkerProcess[] = [];

async function worker(env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
  const one = stack.workerProcess(CONFIG, { COUNTING_PACE: String(ROWS), ...env });
  await one.ready;
  workers.push(one);
  return one;
}

async function kill(one: WorkerProcess): Promise<void> {
  workers = workers.filter((other) => other !== one);
  await one.kill('SIGKILL');
}

/** Ticks that have ended, and that nothing is open. */
async function settled(): Promise<number> {
  await eventually('it is stopped', () => job.stop().then(() => true), 40_000);
  const open = async () => (await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.tick where ended_at is null'))[0]!.n;
  if ((await open()) > 0) {
    await eventually('it is started again', () => job.start(options()).then(() => true), 60_000);
    await eventually('what has begun is finished', async () => (await open()) === 0, 40_000);
    return settled();
  }
  const [sum] = await stack.sql<{ n: number }>('select coalesce(sum(elapsed), 0)::int as n from longwatch.tick');
  return sum!.n;
} // prettier-ignore

const options = () => ({ ...optionsOf(config, 'counting'), pace: ROWS });

const sums = () => stack.sql<{ n: number; rows: number }>('select n, count(*)::int as rows from counter group by n');

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table counter (id int primary key, n int not null default 0) with (fillfactor = 50)');
  await stack.sql(`insert into counter select generate_series(1, ${ROWS})`);
  await worker();
  await worker();
  job = (await stack.connect()).job('counting');
}, 60_000);
afterAll(() => stack?.close(), 30_000);

test('killed at random: every row has exactly the sum of its ticks', async () => {
  await eventually('it is started', () => job.start(options()).then(() => true), 60_000);
  let random = 7;
  const below = (n: number): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * n);
  };
  for (let kills = 0; kills < KILLS; kills++) {
    const before = (await job.history(1_000)).length;
    await eventually('it ticks', async () => (await job.history(1_000)).length > before, 60_000);
    await new Promise((resolve) => setTimeout(resolve, below(900)));
    const victim = kills % 3;
    if (victim === 0) {
      await kill(workers[below(workers.length)]!);
      await worker();
    } else {
      const server = victim === 1 ? 'postgres' : 'temporal';
      await stack.servers.kill(server);
      await stack.servers.start(server);
      await eventually('it can be asked again', () => job.history(1).then(() => true), 40_000);
    }
  }
  const ticks = await settled();
  expect(ticks).toBeGreaterThanOrEqual(KILLS);
  expect(await sums()).toEqual([{ n: ticks, rows: ROWS }]);
}, LONG ? 600_000 : 240_000); // prettier-ignore

test('a worker that is frozen in a tick and goes on when another has finished it writes nothing', async () => {
  for (const one of [...workers]) await kill(one);
  await stack.sql('update counter set n = 0');
  await stack.sql('delete from longwatch.tick');
  const frozen = await worker({ COUNTING_PACE: String(ROWS / 4) });
  await eventually(
    'it is started',
    () =>
      job.start({ ...options(), missed: 'skip', schedule: { everyMs: 86_400_000 }, pace: ROWS / 4 }).then(() => true),
    60_000,
  );
  const running = job.run();
  await eventually('it has begun', async () => ((await job.status()).open?.rows ?? 0) > 1_000);
  await frozen.kill('SIGSTOP');
  await worker();
  const tick = await running;
  expect(tick).toMatchObject({ rows: ROWS, failed: 0 });
  await frozen.kill('SIGCONT');
  const [token] = await stack.sql<{ token: string }>(`select token from longwatch.job where name = 'counting'`);
  expect(Number(token!.token)).toBeGreaterThan(1);
  // A tick by the one that was frozen, or the other: whatever it had in hand is refused by now.
  await job.run();
  expect(await sums()).toEqual([{ n: 2, rows: ROWS }]);
}, 120_000);
