/**
 * A worker can always stop: also where the database's side of a chunk does not answer any more. Another one goes on
 * with the tick.
 */
import { defineConfig } from '../../exports';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';
import { startJob } from './kit';

const config = defineConfig({
  regens: [{ name: 'stuck', every: '366d', table: 'stuck', set: { n: 'n + 1 + (pg_sleep(wait) is null)::int' }, chunk: 'all' }],
}); // prettier-ignore

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table stuck (id int primary key, n int not null default 0, wait float8 not null default 60)');
  await stack.sql('insert into stuck (id) values (1)');
});
afterAll(() => stack.close());

test('what does not end is left behind when its time is over, and the worker says so', async () => {
  const worker = await stack.worker(config, { shutdownForceTime: '2s' });
  const longwatch = await stack.connect();
  const job = await startJob(longwatch, config, 'stuck');
  const running = job.run();
  running.catch(() => undefined);
  const backend = await eventually(
    'it sleeps',
    async () => (await stack.sql<{ pid: number }>(`select pid from pg_stat_activity where wait_event = 'PgSleep'`))[0],
  );
  // It hears neither a cancellation nor the end of its client.
  process.kill(backend.pid, 'SIGSTOP');
  try {
    const took = stopwatch();
    // On a machine that is busy it may be more than that.
    const what = expect.arrayContaining(['activities']) as string[];
    await expect(worker.shutdown()).rejects.toMatchObject({ name: 'WorkLeftBehindError', what });
    expect(took()).toBeLessThan(20_000);
  } finally {
    process.kill(backend.pid, 'SIGCONT');
  }
  await stack.sql('update stuck set wait = 0');
  await stack.worker(config);
  expect(await running).toMatchObject({ rows: 1, failed: 0 });
  expect(await stack.sql('select n from stuck')).toEqual([{ n: 1 }]);
});
