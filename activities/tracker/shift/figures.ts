/**
 * The figures that a node tells people of itself each second: how the process does, and what happened in the last
 * minute. Made by `presence.ts`; `placing.ts` puts it into the row (`store/node-use.ts` has its shape).
 */
import { performance } from 'node:perf_hooks';
import type { LastMinute, NodeFigures } from '../store/node-use';
import type { Clock } from './clock';
import type { FailingPools } from './failing-pools';
import { Growth, Minute } from './last-minute';
import { LATE_BOUNDS_MS, percentile, type Lateness } from './lateness';
import type { PoolShift } from './pool-shift';
import { Pulse, type PulseReading } from './pulse';
import type { NodeTotals } from './totals';

/** Things that happen to pools. */
export type PlacingEvent = 'moved' | 'redirected' | 'declined' | 'restarted' | 'fenced';

export interface FiguresHost {
  readonly clock: Pick<Clock, 'now'>;
  readonly totals: NodeTotals;
  readonly shifts: ReadonlySet<PoolShift>;
  readonly failing: Pick<FailingPools, 'said'>;
  latenessOf(tracker: string, operation: string): Lateness;
}

/** The longest that can be told; JSON has no Infinity. */
const LATEST_MS = LATE_BOUNDS_MS.at(-1)!;

export class Figures {
  readonly beat = new Pulse();
  /** The use of the event loop, when it was read last. */
  eventLoop = 0;
  private readonly minute = new Minute<PlacingEvent>();
  private readonly fetched = new Growth();
  private readonly failed = new Growth();

  constructor(
    private readonly host: FiguresHost,
    /** Since when Temporal cannot be reached, milliseconds; undefined: it can. */
    private readonly temporalRefusedMs: () => number | undefined = () => undefined,
  ) {}

  count(what: PlacingEvent): void {
    this.minute.count(what, this.host.clock.now());
  }

  /** Temporal did not answer when it was asked last, a second ago. */
  get isTemporalAway(): boolean {
    return this.temporalRefusedMs() !== undefined;
  }

  pulse(): PulseReading {
    const reading = this.beat.read();
    this.eventLoop = reading.eventLoop;
    return reading;
  }

  word(pulse: PulseReading, placing: Pick<NodeFigures, 'share' | 'health' | 'trust' | 'lacks' | 'stuck'>): NodeFigures {
    const now = performance.now();
    let [members, refusedMs] = [0, 0];
    for (const shift of this.host.shifts) {
      members += shift.members.size;
      refusedMs = Math.max(refusedMs, shift.refusedFor(now));
    }
    return {
      ...pulse,
      ...placing,
      members,
      storeRefusedMs: refusedMs > 0 ? refusedMs : null,
      temporalRefusedMs: this.temporalRefusedMs() ?? null,
      failing: this.host.failing.said(),
      minute: this.lastMinute(),
    };
  }

  private lastMinute(): LastMinute {
    const { totals, shifts } = this.host;
    const now = this.host.clock.now();
    const late = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
    let [fetched, failed] = [0, 0];
    for (const { tracker, operation, counts } of totals.all(shifts)) {
      fetched += counts.fetched;
      failed += counts.failed;
      this.host
        .latenessOf(tracker, operation)
        .recent(now)
        .forEach((count, bucket) => (late[bucket]! += count));
    }
    const lateMs = percentile(late, 0.99);
    return {
      lateMs: lateMs === null ? null : Math.min(lateMs, LATEST_MS),
      fetched: this.fetched.of(fetched, now),
      failed: this.failed.of(failed, now),
      restarts: this.minute.sum('restarted', now),
      declined: this.minute.sum('declined', now),
      redirected: this.minute.sum('redirected', now),
      moved: this.minute.sum('moved', now),
      fenced: this.minute.sum('fenced', now),
    };
  }
}
