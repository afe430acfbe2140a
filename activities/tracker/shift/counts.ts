/**
 * What one operation of a pool has done since its shift began, for `status`, metrics and the log (`totals.ts`,
 * `node.ts`, `telemetry.ts`).
 */
import type { Agenda } from './agenda';
import type { OperationLoop } from './operation';

export class Counts {
  fetched = 0;
  failed = 0;
  timedOut = 0;
  /** Ended without a result, because the shift had to end. */
  abandoned = 0;
  skippedLate = 0;
  skippedLag = 0;
  warnedLag = 0;
  warnedBacklog = 0;
}

/** Which rounds of an operation were looked at. */
export class Rounds {
  private seen = 0;

  constructor(
    private readonly agenda: Agenda,
    private readonly counts: Counts,
  ) {}

  get hasEnded(): boolean {
    return this.agenda.rounds !== this.seen;
  }

  /**
   * The lag of the last round, where one has ended since the last call and lagged more than this; it counts as warned
   * of.
   */
  lagWarning(warnLagMs: number): number | undefined {
    if (!this.hasEnded) return undefined;
    this.seen = this.agenda.rounds;
    if (this.agenda.lastRoundMs <= warnLagMs) return undefined;
    this.counts.warnedLag++;
    return this.agenda.lastRoundMs;
  }
}

/** Members whose value is older than 3 × max(interval, expiry, hold), as `status` counts them from the store. */
export function staleCount({ options, members, known, host, standing }: OperationLoop, now: number): number {
  if (!options.enabled) return 0;
  const hold = Math.max(0, standing.heldUntil() - now);
  let stale = 0;
  members.forEach((slot) => {
    const fetchedAt = known.fetchedAt[slot] ?? host.clock.fromStore(members.addedAt(slot));
    const lifetime = Math.max(options.everyMs, (known.expiresAt[slot] ?? 0) - fetchedAt, hold);
    if (now - fetchedAt > 3 * lifetime) stale++;
  });
  return stale;
}
