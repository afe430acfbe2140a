/** The foreground of the scenario `regen`: players who spend stamina, one row an update, from a process of its own. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import { percentile } from '../harness/figures';
import { serve } from '../harness/child';

let pool: Pool | undefined;
let latencies: number[] = [];
let stopped = true;
let clients: Promise<void>[] = [];

async function client(table: string, rows: number, everyMs: number): Promise<void> {
  while (!stopped) {
    const id = 1 + Math.floor(Math.random() * rows);
    const began = performance.now();
    await pool!.query({
      name: 'spend',
      text: `update ${table} set stamina = greatest(stamina - 1, 0) where id = $1`,
      values: [id],
    });
    const took = performance.now() - began;
    latencies.push(took);
    await delay(Math.max(0, everyMs * (0.5 + Math.random()) - took));
  }
}

serve({
  start(url: string, table: string, rows: number, count: number, everyMs: number) {
    pool ??= new Pool({ connectionString: url, max: count });
    stopped = false;
    latencies = [];
    clients = Array.from({ length: count }, () => client(table, rows, everyMs));
  },
  /** Forgets what was read so far. */
  mark() {
    latencies = [];
  },
  /** The latencies since the last mark. Milliseconds. */
  read() {
    return {
      count: latencies.length,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      max: Math.max(0, ...latencies),
    };
  },
  async stop() {
    stopped = true;
    await Promise.all(clients);
  },
});
