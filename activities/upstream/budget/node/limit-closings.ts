/**
 * Limits that a person closed for all of their keys, as this node knows them: for keys that it does not know yet and
 * for members' own buckets, which have no row in the ledger (a shared bucket's row follows by itself). Kept by
 * `spender.ts`; told by a notification, and each second by what stands in the database.
 */
import type { LimitName } from '../../store/limit-closings';

export class LimitClosings {
  private readonly byName = new Map<string, { until: number; serial: number }>();

  /** @param now seconds, monotonic */
  constructor(private readonly now: () => number) {}

  /** @returns false: it was known */
  hear({ upstream, limit }: LimitName, closedFor: number, serial: number): boolean {
    const name = `${upstream}/${limit}`;
    if (serial <= (this.byName.get(name)?.serial ?? 0)) return false;
    this.byName.set(name, { until: closedFor > 0 ? this.now() + closedFor : -Infinity, serial });
    return true;
  }

  /** Seconds; 0: nobody closed it. */
  closedFor(upstream: string, limit: string): number {
    if (this.byName.size === 0) return 0;
    const closed = this.byName.get(`${upstream}/${limit}`);
    return closed === undefined ? 0 : Math.max(0, closed.until - this.now());
  }
}
