/**
 * Bad days of a buffer: the worker, the Temporal server and PostgreSQL are killed (-9) at random while four senders
 * push and repeat what did not get through. `LONGWATCH_CHAOS_ENTRIES=100000` makes it the long one, `LONGWATCH_SEED`
 * repeats its choices.
 */
import path from 'node:path';
import { resolveConfig } from '../../exports';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './buffer.config';
import { anySeed, choices } from './random';

const SEED = Number(process.env.LONGWATCH_SEED ?? anySeed());

const ENTRIES = Number(process.env.LONGWATCH_CHAOS_ENTRIES ?? 20_000);
const KILLS = Math.max(4, Math.round(ENTRIES / 5_000));
const SENDERS = 4;
const PUSH = 100;

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
  await stack.sql('create table ledger (entry int primary key, tries int not null default 1)');
});
afterAll(() => stack.close());

test(
  'kill -9 of everything while entries are pushed: every one is handled, and the counts hold',
  async () => {
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
      const own = await stack.connect();
      for (let from = number * PUSH; from < ENTRIES; from += SENDERS * PUSH) {
        const entries = Array.from({ length: Math.min(PUSH, ENTRIES - from) }, (_, i) => from + i);
        await eventually('it gets through', () =>
          own
            .buffer('ledger')
            .push(entries, { timeoutMs: 20_000, wait: number === 0 })
            .then(() => true),
        );
        pushed += entries.length;
      }
    };
    const senders = Promise.all(Array.from({ length: SENDERS }, (_, i) => sender(i)));

    const choose = choices(SEED);
    const victims = ['worker', 'postgres', 'temporal'] as const;
    // Each of them once at least, whatever the seed.
    const order = [...victims, ...Array.from({ length: KILLS - victims.length }, () => choose.one(victims))];
    for (const [i, victim] of choose.some(order, KILLS).entries()) {
      const after = Math.floor((ENTRIES * (i + choose.between(0, 90) / 100)) / KILLS);
      await eventually(`${after} are pushed, with seed ${SEED}`, () => pushed >= after);
      if (victim === 'worker') {
        await worker.kill('SIGKILL');
        worker = await start();
      } else {
        await stack.servers.kill(victim);
        await stack.servers.start(victim);
      }
    }
    await senders;
    const status = await eventually(`all is handled, with seed ${SEED}`, async () => {
      const now = await longwatch.buffer('ledger').status();
      expect(now.balanced).toBe(true);
      return now.ageMs === 0 && now.pending + now.running === 0 && now;
    });
    const [rows] = await stack.sql<{ n: number; least: number; most: number }>(
      'select count(*)::int as n, min(entry) as least, max(entry) as most from ledger',
    );
    expect(rows).toEqual({ n: ENTRIES, least: 0, most: ENTRIES - 1 });
    expect(status.dead).toBe(0);
    expect(status.accepted).toBeGreaterThanOrEqual(ENTRIES);
    expect(status.done).toBe(status.accepted);
    expect(other.process.exitCode).toBeNull();
  },
  Math.max(600_000, ENTRIES * 12),
);
