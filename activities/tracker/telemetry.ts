/**
 * Longwatch's own metrics, in Prometheus' conventions: base units, `_total` on counters, labels tracker, pool and
 * operation. Most are read from the node when they are asked for, so that a run costs nothing here. `docs/metrics.md`
 * is the table; `workers/metrics.ts` serves them together with the SDK's.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ClusterMetrics } from './cluster-metrics';
import { TurnMetrics } from './turns/metrics';
import type { NodeTurns } from './turns/node-turns';
import { staleCount } from './shift/stale';
import type { PlacingEvent } from './shift/figures';
import type { Placing } from './shift/placing';
import type { OperationLoop } from './shift/operation';
import { percentile } from './shift/lateness';
import type { Clock } from './shift/clock';
import type { Operation } from './shift/host';
import type { NodeHolds } from './shift/holds';
import type { Lateness } from './shift/lateness';
import type { Opens } from './shift/openings';
import type { PoolShift } from './shift/pool-shift';
import type { Counts, NodeTotals } from './shift/totals';

const BY_OPERATION = ['tracker', 'operation'] as const;
const BY_POOL = ['tracker', 'pool'] as const;

/** The parts of a node that the metrics mirror. */
export interface ObservedNode {
  readonly clock: Clock;
  readonly holds: NodeHolds;
  readonly totals: NodeTotals;
  readonly shifts: ReadonlySet<PoolShift>;
  readonly placing: Placing;
  readonly opens: Opens;
  readonly turns?: NodeTurns | undefined;
  latenessOf(tracker: string, operation: string): Lateness;
}

export class NodeMetrics {
  readonly registry = new Registry();
  private readonly roundSeconds: Histogram<'tracker' | 'operation'>;
  private readonly flushSeconds: Histogram;
  private readonly rowsWritten: Counter;
  private readonly flushFailures: Counter;
  /** The turns of members that receive. */
  readonly turns: TurnMetrics;
  private readonly cluster: ClusterMetrics;
  private readonly countsMended: Counter<'tracker'>;
  private readonly feedFailures: Counter<'buffer'>;

  constructor() {
    const registers = [this.registry];
    // Memory, event loop and garbage collection of the process.
    collectDefaultMetrics({ register: this.registry });
    this.roundSeconds = new Histogram({
      name: 'longwatch_round_duration_seconds',
      help: 'Lag of a round: the largest (finished - due) of one pass over a pool',
      labelNames: BY_OPERATION,
      buckets: [0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30],
      registers,
    });
    this.flushSeconds = new Histogram({
      name: 'longwatch_flush_duration_seconds',
      help: 'Time of a flush that wrote',
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5],
      registers,
    });
    this.rowsWritten = new Counter({
      name: 'longwatch_rows_written_total',
      help: 'Rows written by flushes',
      registers,
    });
    this.flushFailures = new Counter({
      name: 'longwatch_flush_failures_total',
      help: 'Flushes that failed',
      registers,
    });
    this.countsMended = new Counter({
      name: 'longwatch_pool_counts_mended_total',
      help: 'Pools whose kept number of members was wrong, found and mended by the patrol of this node',
      labelNames: ['tracker'],
      registers,
    });
    this.cluster = new ClusterMetrics(this.registry);
    this.turns = new TurnMetrics(this.registry);
    this.feedFailures = new Counter({
      name: 'longwatch_feed_key_failures_total',
      help: 'Entries from trackers whose key could not be found; they went on without one',
      labelNames: ['buffer'],
      registers,
    });
  }

  feedFailed(buffer: string): void {
    this.feedFailures.inc({ buffer });
  }

  /** A pool whose number of members was not that of its row. */
  countMended(tracker: string): void {
    this.countsMended.inc({ tracker });
  }

  flushed(outcome: { rows: number; ms: number } | { error: Error }): void {
    if ('error' in outcome) {
      this.flushFailures.inc();
    } else if (outcome.rows > 0) {
      this.rowsWritten.inc(outcome.rows);
      this.flushSeconds.observe(outcome.ms / 1_000);
    }
  }

  /** Something happened to a pool. */
  placed(what: PlacingEvent, tracker: string): void {
    this.cluster.placed(what, tracker);
  }

  /** Notes a round that has ended. */
  round(loop: Operation): void {
    this.roundSeconds.observe({ tracker: loop.tracker, operation: loop.name }, loop.agenda.lastRoundMs / 1_000);
  }

  /** Lets the metrics that mirror the node's own numbers read them when asked. */
  observe(node: ObservedNode): void {
    const { turns } = node;
    if (turns)
      this.turns.observe(
        () => turns.pools,
        () => turns.now(),
      );
    this.counts(node);
    this.skips(node);
    this.held(node);
    this.pools(node);
    this.openings(node);
    this.members(node);
    this.lateness(node);
    this.cluster.observe(node.placing);
  }

  private counts(node: ObservedNode): void {
    const counter = (name: string, help: string, pick: (counts: Counts) => number) => {
      new Counter({
        name,
        help,
        labelNames: BY_OPERATION,
        registers: [this.registry],
        collect() {
          this.reset();
          for (const { tracker, operation, counts } of node.totals.all(node.shifts)) {
            this.inc({ tracker, operation }, pick(counts));
          }
        },
      });
    };
    counter('longwatch_fetched_total', 'Results written', (counts) => counts.fetched);
    counter('longwatch_failures_total', 'Runs that failed, time-outs included', (counts) => counts.failed);
    counter('longwatch_timeouts_total', 'Runs that were aborted by their time-out', (counts) => counts.timedOut);
    counter(
      'longwatch_abandoned_total',
      'Runs that were ended without a result because their shift had to end',
      (counts) => counts.abandoned,
    );
    counter('longwatch_rounds_total', 'Complete passes over a pool', (counts) => counts.rounds);
    counter('longwatch_lag_warnings_total', 'Rounds that lagged more than warnLag', (counts) => counts.warnedLag);
    counter(
      'longwatch_backlog_warnings_total',
      'Checkups with more than warnBacklog due',
      (counts) => counts.warnedBacklog,
    );
  }

  private skips(node: ObservedNode): void {
    new Counter({
      name: 'longwatch_skipped_total',
      help: 'Runs that were passed over, by reason: late (a run before it took too long), lag (backpressure)',
      labelNames: [...BY_OPERATION, 'reason'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { tracker, operation, counts } of node.totals.all(node.shifts)) {
          this.inc({ tracker, operation, reason: 'late' }, counts.skippedLate);
          this.inc({ tracker, operation, reason: 'lag' }, counts.skippedLag);
        }
      },
    });
  }

  private held(node: ObservedNode): void {
    new Gauge({
      name: 'longwatch_hold_seconds',
      help: 'How long an operation (all: the whole tracker) is still held by its upstream; absent: it is not',
      labelNames: BY_OPERATION,
      registers: [this.registry],
      collect() {
        this.reset();
        const now = node.clock.now();
        for (const { tracker, operation, until } of node.holds.inForce(now)) {
          this.set({ tracker, operation: operation === '' ? 'all' : operation }, (until - now) / 1_000);
        }
      },
    });
    new Gauge({
      name: 'longwatch_longest_hold_seconds',
      help: 'The longest of the holds in force, of all operations; 0: none',
      registers: [this.registry],
      collect() {
        const now = node.clock.now();
        this.set(Math.max(0, ...[...node.holds.inForce(now)].map(({ until }) => (until - now) / 1_000)));
      },
    });
  }

  private pools(node: ObservedNode): void {
    new Gauge({
      name: 'longwatch_shifts',
      help: 'Pools that this node keeps',
      registers: [this.registry],
      collect() {
        this.set(node.shifts.size);
      },
    });
  }

  private openings(node: ObservedNode): void {
    new Gauge({
      name: 'longwatch_asks_for_shifts',
      help: 'Whether this node asks for shifts, of the shared queues and of its own',
      labelNames: ['queue'],
      registers: [this.registry],
      collect() {
        for (const [queue, isOpen] of Object.entries(node.opens)) this.set({ queue }, isOpen ? 1 : 0);
      },
    });
  }

  private members(node: ObservedNode): void {
    new Gauge({
      name: 'longwatch_pool_members',
      help: 'Members of a pool that this node keeps',
      labelNames: BY_POOL,
      registers: [this.registry],
      collect() {
        this.reset();
        for (const shift of node.shifts) {
          this.set({ tracker: shift.trackerName, pool: String(shift.claim.pool) }, shift.members.size);
        }
      },
    });
    new Gauge({
      name: 'longwatch_backlog',
      help: 'Members that are due and not started',
      labelNames: [...BY_POOL, 'operation'],
      registers: [this.registry],
      collect() {
        this.reset();
        forEachLoop(node, (loop) => this.set(labelsOf(loop), loop.agenda.backlog));
      },
    });
    new Gauge({
      name: 'longwatch_stale_members',
      help: 'Members whose value is older than 3 x max(interval, expiry, hold in force)',
      labelNames: BY_OPERATION,
      registers: [this.registry],
      collect() {
        this.reset();
        const now = node.clock.now();
        forEachLoop(node, (loop) => this.inc({ tracker: loop.tracker, operation: loop.name }, staleCount(loop, now)));
      },
    });
  }

  private lateness(node: ObservedNode): void {
    new Gauge({
      name: 'longwatch_late_seconds',
      help: 'How late runs started, over the last one to two minutes',
      labelNames: [...BY_OPERATION, 'quantile'],
      registers: [this.registry],
      collect() {
        this.reset();
        const now = node.clock.now();
        for (const { tracker, operation } of node.totals.all(node.shifts)) {
          const buckets = node.latenessOf(tracker, operation).recent(now);
          for (const quantile of [0.5, 0.99]) {
            const lateMs = percentile(buckets, quantile);
            if (lateMs !== null) this.set({ tracker, operation, quantile: String(quantile) }, lateMs / 1_000);
          }
        }
      },
    });
  }
}

function forEachLoop(node: ObservedNode, visit: (loop: OperationLoop) => void): void {
  for (const shift of node.shifts) for (const loop of shift.loops.values()) visit(loop);
}

function labelsOf(loop: Operation): { tracker: string; pool: string; operation: string } {
  return { tracker: loop.tracker, pool: String(loop.pool), operation: loop.name };
}
