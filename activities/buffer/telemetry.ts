/**
 * A node's metrics of its buffers: what its batches did, and, read from the shards' reports when they are asked for,
 * the counts whose law is `accepted = done + pending + running + dead + merged +
 * dropped`. `docs/metrics.md` is the table.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Counts, ShardStatus } from '../../workflows/buffer/contract';
import type { BatchResult } from '../../workflows/buffer/activities';

const COUNTS: readonly (keyof Counts)[] = ['accepted', 'done', 'pending', 'running', 'dead', 'merged', 'dropped'];

type Kind = BatchResult['outcome']['kind'];

export class BufferMetrics {
  private readonly seconds: Histogram<'buffer'>;
  private readonly batches: Counter<'buffer' | 'outcome'>;
  private readonly entries: Counter<'buffer'>;
  private readonly keyFailures: Counter<'buffer'>;

  constructor(registry: Registry, reports: () => Promise<ShardStatus[]>) {
    const registers = [registry];
    this.seconds = new Histogram({
      name: 'longwatch_batch_duration_seconds',
      help: 'Time of a batch',
      labelNames: ['buffer'],
      buckets: [0.005, 0.02, 0.1, 0.5, 1, 5, 20, 60, 300],
      registers,
    });
    this.batches = new Counter({
      name: 'longwatch_batches_total',
      help: 'Batches, by outcome: answered, failed, held (the upstream asked to wait, or it was taken back)',
      labelNames: ['buffer', 'outcome'],
      registers,
    });
    this.entries = new Counter({
      name: 'longwatch_batch_entries_total',
      help: 'Entries given to run, repetitions included',
      labelNames: ['buffer'],
      registers,
    });
    this.keyFailures = new Counter({
      name: 'longwatch_buffer_key_failures_total',
      help: 'Entries of `init` and of the answers of `run` whose key function threw; they went on without a key',
      labelNames: ['buffer'],
      registers,
    });
    new Gauge({
      name: 'longwatch_buffer_entries',
      help: 'Entries by state, as the shards last reported: accepted = done + pending + running + dead + merged + dropped',
      labelNames: ['buffer', 'shard', 'state'],
      registers,
      async collect() {
        const found = await reports().catch(() => []);
        this.reset();
        for (const status of found) {
          const { buffer, shard } = status;
          for (const state of COUNTS) this.set({ buffer, shard: String(shard), state }, status[state]);
        }
      },
    });
  }

  keysFailed(buffer: string, entries: number): void {
    this.keyFailures.inc({ buffer }, entries);
  }

  ended(buffer: string, outcome: Kind, entries: number, ms: number): void {
    this.batches.inc({ buffer, outcome });
    this.entries.inc({ buffer }, entries);
    this.seconds.observe({ buffer }, ms / 1_000);
  }
}
