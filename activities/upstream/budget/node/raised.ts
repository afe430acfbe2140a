/**
 * The most that answers cost lately, where that is more than the rule says: the config may know it no better. A cost
 * that comes again and again is reserved for good; one that an upstream told once, and that no other comes near, holds
 * its buckets back for half an hour at most. Kept by `shared.ts` for a bucket and by `group.ts` for a group of them.
 */

/** Seconds: what was seen in this period and in the one before counts. */
const PERIOD = 900;

export class RaisedCost {
  private most = 0;
  private mostBefore = 0;
  private since = -Infinity;

  /** @param now seconds, monotonic */
  note(cost: number, now: number): void {
    this.turn(now);
    this.most = Math.max(this.most, cost);
  }

  /** 0: the rule says enough. */
  at(now: number): number {
    this.turn(now);
    return Math.max(this.most, this.mostBefore);
  }

  private turn(now: number): void {
    const passed = now - this.since;
    if (passed < PERIOD) return;
    this.mostBefore = passed < 2 * PERIOD ? this.most : 0;
    this.most = 0;
    this.since = now;
  }
}
