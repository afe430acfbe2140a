/**
 * Times of the store as a shift uses them: by its node's clock, and by member. Called by `pool-shift.ts` and
 * `pool-operations.ts`.
 */
import type { FreshnessRow } from '../store/members';
import type { TrackerRow } from '../store/trackers';
import type { Clock } from './clock';

export class StoredTimes {
  /**
   * Since when operations run, by the database's clock and by ours: read once, for the difference between the two may
   * change.
   */
  private readonly begun = new Map<string, { stored: number; ours: number }>();

  constructor(private readonly clock: Clock) {}

  /** Since when the tracker has the operation, or has it enabled; undefined: since its start. */
  beganAt({ since }: TrackerRow, operation: string): number | undefined {
    if (!since || !Object.hasOwn(since, operation)) return undefined;
    const stored = since[operation]!;
    const known = this.begun.get(operation);
    if (known?.stored === stored) return known.ours;
    const ours = this.clock.fromStore(stored);
    this.begun.set(operation, { stored, ours });
    return ours;
  }

  byMember(freshness: readonly FreshnessRow[]): Map<number, FreshnessRow[]> {
    const known = new Map<number, FreshnessRow[]>();
    for (const stored of freshness) {
      const row = this.byOurClock(stored);
      const rowsOfMember = known.get(row.member);
      if (rowsOfMember) rowsOfMember.push(row);
      else known.set(row.member, [row]);
    }
    return known;
  }

  private byOurClock(row: FreshnessRow): FreshnessRow {
    const timeOf = (ms: number | null): number | null => (ms === null ? null : this.clock.fromStore(ms));
    const { fetchedAt, expiresAt, heldUntil, failedAt } = row;
    return {
      ...row,
      fetchedAt: timeOf(fetchedAt),
      expiresAt: timeOf(expiresAt),
      heldUntil: timeOf(heldUntil),
      failedAt: timeOf(failedAt),
    };
  }
}
