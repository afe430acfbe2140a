/** What the killed workers run: rules that only add, over rows that count it. */
import { defineConfig } from '../../client';

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
});
