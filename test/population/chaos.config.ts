/** What the killed workers run: a rule that only adds, over rows that count it. */
import { defineConfig } from '../../client';

export default defineConfig({
  regens: [
    {
      name: 'counting',
      every: '700ms',
      table: 'counter',
      set: { n: 'n + :elapsed' },
      missed: 1_000,
      chunk: 1_000,
      heartbeatTimeout: '1s',
      pace: Number(process.env.COUNTING_PACE ?? 100_000),
    },
  ],
});
