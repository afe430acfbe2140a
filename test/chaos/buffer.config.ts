/**
 * The config of the killed workers: a buffer whose entries become rows, each once, and counts how often they were
 * tried.
 */
import { Pool } from 'pg';
import { defineBuffer, defineConfig } from '../../exports';

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4, connectionTimeoutMillis: 2_000 });
pool.on('error', () => undefined);

export default defineConfig({
  buffers: [
    defineBuffer({
      name: 'ledger',
      maxBatchSize: 200,
      heartbeatTimeout: '2s',
      timeout: '20s',
      retry: { base: '100ms', cap: '1s', attempts: 1_000 },
      historyEvents: 400,
      bound: { entries: 1_000, bytes: 50_000 },
      run: async (entries: number[]) => {
        await pool.query(
          `insert into ledger (entry) select unnest($1::int[]) on conflict (entry) do update set tries = ledger.tries + 1`,
          [entries],
        );
      },
    }),
  ],
});
