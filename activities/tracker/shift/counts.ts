/**
 * Counts of what one operation of a pool has done since its shift began, for `status`, metrics and the log
 * (`totals.ts`, `node.ts`, `telemetry.ts`).
 */
import type { Agenda } from './agenda';

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

/** The rounds of an operation that were looked at. */
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
