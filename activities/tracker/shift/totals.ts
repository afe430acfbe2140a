/**
 * Totals of what a node has done since it started, by tracker and operation: the shifts that have ended and those that
 * are kept. Read by the flush (`longwatch.node_stats`, for `status`) and by the metrics.
 */
import type { StatsRow } from '../store/node-stats';
import type { Holds } from './holds';
import type { Lateness } from './lateness';
import type { Counts as OperationCounts } from './counts';
import type { Operation } from './host';
import type { PoolShift } from './pool-shift';

export type Counts = OperationCounts & { rounds: number };

export interface OperationTotal {
  tracker: string;
  operation: string;
  counts: Counts;
  lastRoundMs: number;
  backlog: number;
  everyMs: number;
}

export class NodeTotals {
  private readonly ended = new Map<
    string,
    { tracker: string; operation: string; counts: Counts; lastRoundMs: number }
  >();

  /** For who asks again in the same turn of the event loop: a scrape asks once for each metric. */
  private memo: OperationTotal[] | undefined;

  /** Keeps the counts of a shift that ends. */
  retire(shift: PoolShift): void {
    this.memo = undefined;
    for (const loop of shift.loops.values()) {
      const key = `${loop.tracker}/${loop.name}`;
      const total = this.ended.get(key) ?? {
        tracker: loop.tracker,
        operation: loop.name,
        counts: noCounts(),
        lastRoundMs: 0,
      };
      add(total.counts, loop);
      if (loop.agenda.rounds > 0) total.lastRoundMs = loop.agenda.lastRoundMs;
      this.ended.set(key, total);
    }
  }

  all(shifts: Iterable<PoolShift>): readonly OperationTotal[] {
    if (this.memo) return this.memo;
    const totals = this.sum(shifts);
    this.memo = totals;
    setImmediate(() => (this.memo = undefined));
    return totals;
  }

  private sum(shifts: Iterable<PoolShift>): OperationTotal[] {
    const totals = new Map<string, OperationTotal>();
    for (const [key, ended] of this.ended) {
      totals.set(key, { ...ended, counts: { ...ended.counts }, lastRoundMs: 0, backlog: 0, everyMs: 0 });
    }
    for (const shift of shifts) {
      for (const loop of shift.loops.values()) {
        const key = `${loop.tracker}/${loop.name}`;
        const total = totals.get(key) ?? {
          tracker: loop.tracker,
          operation: loop.name,
          counts: noCounts(),
          lastRoundMs: 0,
          backlog: 0,
          everyMs: 0,
        };
        add(total.counts, loop);
        total.lastRoundMs = Math.max(total.lastRoundMs, loop.agenda.lastRoundMs);
        total.backlog += loop.agenda.backlog;
        total.everyMs = loop.options.everyMs;
        totals.set(key, total);
      }
    }
    // Between a hand-over and the first round after it, the last shift's round stands.
    for (const [key, total] of totals) total.lastRoundMs ||= this.ended.get(key)?.lastRoundMs ?? 0;
    return [...totals.values()];
  }

  rows(
    shifts: Iterable<PoolShift>,
    holds: Holds,
    latenessOf: (tracker: string, operation: string) => Lateness,
    now: number,
  ): StatsRow[] {
    return this.all(shifts).map(({ tracker, operation, counts, lastRoundMs }) => {
      const heldUntil = holds.until(tracker, operation);
      return {
        tracker,
        operation,
        fetched: counts.fetched,
        failed: counts.failed,
        skipped: counts.skippedLate + counts.skippedLag,
        rounds: counts.rounds,
        lastRoundMs: lastRoundMs > 0 ? lastRoundMs : null,
        lateBuckets: latenessOf(tracker, operation).recent(now),
        lateTotal: latenessOf(tracker, operation).total,
        holdMs: Math.max(0, heldUntil - now),
        heldUntil: heldUntil > now ? heldUntil : null,
      };
    });
  }
}

function noCounts(): Counts {
  return {
    fetched: 0,
    failed: 0,
    timedOut: 0,
    abandoned: 0,
    skippedLate: 0,
    skippedLag: 0,
    warnedLag: 0,
    warnedBacklog: 0,
    rounds: 0,
  };
}

function add(counts: Counts, loop: Operation): void {
  for (const [name, count] of Object.entries(loop.counts)) counts[name as keyof Counts] += count;
  counts.rounds += loop.agenda.rounds;
}
