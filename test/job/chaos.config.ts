/**
 * The jobs of the workers that are killed: rules that only add, over rows that count it; a sweep and a move that leave
 * a trace of each time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { defineConfig } from '../../exports';

export const COUNTING_MS = 700;

export default defineConfig({
  regens: [
    {
      name: 'counting',
      every: `${COUNTING_MS}ms`,
      table: 'counter',
      set: { n: 'n + :elapsed' },
      // All that were missed, one after the other.
      missed: 1_000,
      chunk: 1_000,
      heartbeatTimeout: '1s',
      pace: 200_000,
    },
    {
      // A chunk a part, and seconds of rest after each.
      name: 'resting',
      every: '366d',
      table: 'rested',
      set: { n: 'n + 1' },
      chunk: 100_000,
      concurrency: 1,
      heartbeatTimeout: '5s',
      pace: 3_000,
    },
  ],
  sweeps: [
    {
      name: 'handling',
      every: '500ms',
      table: 'chore',
      due: 'handled = 0',
      order: 'id',
      page: 50,
      timeout: '2s',
      heartbeatTimeout: '1s',
      retry: { attempts: 1_000, base: '100ms', cap: '1s' },
      handle: async (chores, { tx }) => {
        await tx.query('update chore set handled = handled + 1 where id = any($1)', [chores.map(({ id }) => id)]);
        // Long enough to be killed in.
        await delay(50);
      },
    },
  ],
  decays: [
    {
      name: 'moving',
      every: '500ms',
      table: 'old',
      where: 'true',
      moveTo: 'archive',
      chunk: 50,
      heartbeatTimeout: '1s',
      pace: 5_000,
    },
  ],
});
