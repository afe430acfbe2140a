/**
 * Bad days of a buffer: the worker, the Temporal server and PostgreSQL are killed (-9) at random while four senders push and repeat
 * what did not get through. `LONGWATCH_CHAOS_ENTRIES=100000` makes it the long one.
 */
import path from 'node:path';
import { connect, resolveConfig } from '../../client';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './buffer.config';

const ENTRIES = Number(process.env.LONGWATCH_CHAOS_ENTRIES ?? 20_000);
const KILLS = Math.max(4, Math.round(ENTRIES / 5_000));
const SENDERS = 4;
const PUSH = 100;

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table ledger (entry int primary key, tries int not null default 1)');
}, 60_000);
afterAll(() => stack.close(), 30_000);

test('kill -9 of everything while entries are pushed: every one is handled, and the counts hold', async () => {
  const start = async (): Promise<WorkerProcess> => {
    const one = stack.workerProcess(path.join(__dirname, 'buffer.config.ts'));
    await one.ready;
    return one;
  };
  let worker = await start();
  const other = await start();
  const longwatch = await stack.connect();
  await longwatch.buffer('ledger').start(resolveConfig(config).buffers[0]!.options);

  let pushed = 0;
  const sender = async (number: number): Promise<void> => {
    // Each sender is a program of its own.
    const own = await connect({ environment: longwatch.environment });
    for (let from = number * PUSH; from < ENTRIES; from += SENDERS * PUSH) {
      const entries = Array.from({ length: Math.min(PUSH, ENTRIES - from) }, (_, i) => from + i);
      await eventually(
        'it gets through',
        () =>
          own
            .buffer('ledger')
            .push(entries, { timeoutMs: 20_000, wait: number === 0 })
            .then(() => true),
        120_000,
      );
      pushed += entries.length;
    }
    await own.close();
  };
  const senders = Promise.all(Array.from({ length: SENDERS }, (_, i) => sender(i)));

  for (let i = 0; i < KILLS; i++) {
    await eventually('some more are pushed', () => pushed > (ENTRIES * i) / KILLS, 120_000);
    switch (i % 3) {
      case 0:
        await worker.kill('SIGKILL');
        worker = await start();
        break;
      case 1:
        await stack.servers.kill('postgres');
        await stack.servers.start('postgres');
        break;
      case 2:
        await stack.servers.kill('temporal');
        await stack.servers.start('temporal');
        break;
    }
  }
  await senders;
  const status = await eventually(
    'all is handled',
    async () => {
      const now = await longwatch.buffer('ledger').status();
      expect(now.balanced).toBe(true);
      return now.ageMs === 0 && now.pending + now.running === 0 && now;
    },
    180_000,
  );
  const [rows] = await stack.sql<{ n: number; least: number; most: number }>(
    'select count(*)::int as n, min(entry) as least, max(entry) as most from ledger',
  );
  expect(rows).toEqual({ n: ENTRIES, least: 0, most: ENTRIES - 1 });
  expect(status.dead).toBe(0);
  expect(status.accepted).toBeGreaterThanOrEqual(ENTRIES);
  expect(status.done).toBe(status.accepted);
  expect(other.process.exitCode).toBeNull();
}, 600_000);
