/**
 * The numbers that a worker tells of its jobs: metrics (`docs/metrics.md` is the table) and, for one pass, the numbers
 * that go into the tick's row.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Band } from '../../workflows/job/contract';

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60];

export class JobMetrics {
  readonly ticks: Counter<'job' | 'band'>;
  readonly skipped: Counter<'job'>;
  readonly rows: Counter<'job'>;
  readonly failedRows: Counter<'job'>;
  readonly fenced: Counter<'job'>;
  readonly tickSeconds: Histogram<'job'>;
  readonly chunkSeconds: Histogram<'job'>;
  readonly roundTripSeconds: Histogram<'job'>;

  constructor(registry: Registry | undefined, passes: () => Iterable<string>) {
    const registers = registry ? [registry] : [];
    const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Counter({ name, help, labelNames, registers });
    const histogram = (name: string, help: string) =>
      new Histogram({ name, help, labelNames: ['job'], buckets: SECONDS, registers });
    this.ticks = counter('longwatch_job_ticks_total', 'Ticks that have ended', ['job', 'band']);
    this.skipped = counter('longwatch_job_skipped_total', 'Intervals that no tick was run for', ['job']);
    this.rows = counter('longwatch_job_rows_total', 'Rows changed or handled', ['job']);
    this.failedRows = counter('longwatch_job_failed_rows_total', 'Rows left out because they fail', ['job']);
    this.fenced = counter('longwatch_job_fenced_total', 'Passes that ended because a newer holder had the job', [
      'job',
    ]);
    this.tickSeconds = histogram('longwatch_job_tick_duration_seconds', 'Time of work of a tick');
    this.chunkSeconds = histogram(
      'longwatch_job_chunk_duration_seconds',
      'How long a chunk held its rows, or a page was handled',
    );
    this.roundTripSeconds = histogram(
      'longwatch_job_round_trip_seconds',
      'Round trip to the database of a short statement',
    );
    new Gauge({
      name: 'longwatch_job_passes',
      help: 'Passes that this node works on',
      labelNames: ['job'],
      registers,
      collect() {
        this.reset();
        for (const job of passes()) this.inc({ job });
      },
    });
  }

  ended(job: string, tick: { rows: number; failed: number; skipped: number; ms: number; band: Band }): void {
    this.ticks.inc({ job, band: tick.band });
    this.tickSeconds.observe({ job }, tick.ms / 1_000);
    if (tick.skipped > 0) this.skipped.inc({ job }, tick.skipped);
    if (tick.failed > 0) this.failedRows.inc({ job }, tick.failed);
  }
}

/** Round trips that are kept of one pass: enough for a p99. */
const ROUND_TRIPS = 5_000;

/** The numbers of one pass. */
export class JobMeter {
  longestMs: number | undefined;
  private readonly roundTripsMs: number[] = [];

  constructor(
    private readonly job: string,
    private readonly metrics: JobMetrics,
  ) {}

  /** A chunk or page: rows changed or handled, and how long they were locked or worked on. */
  chunk(rows: number, ms: number): void {
    this.longestMs = Math.max(this.longestMs ?? 0, ms);
    if (rows > 0) this.metrics.rows.inc({ job: this.job }, rows);
    this.metrics.chunkSeconds.observe({ job: this.job }, ms / 1_000);
  }

  roundTrip(ms: number): void {
    this.metrics.roundTripSeconds.observe({ job: this.job }, ms / 1_000);
    if (this.roundTripsMs.length < ROUND_TRIPS) this.roundTripsMs.push(ms);
  }

  roundTrips(): { p50: number; p99: number } | null {
    const sorted = [...this.roundTripsMs].sort((a, b) => a - b);
    const at = (quantile: number): number => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))]!;
    return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99) };
  }
}
