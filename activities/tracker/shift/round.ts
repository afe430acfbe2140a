/** The rounds of one operation of a pool: a round is one pass over its members. Kept by `agenda.ts`. */
export class Round {
  /** Rounds that have ended. */
  count = 0;
  /** The largest (finished − due) of the last complete round, and of the one that goes on. */
  lastMs = 0;
  lagMs = 0;
  private finished = 0;

  /** A member's run has ended, so much after it should have begun. @param members of the operation */
  ended(lagMs: number, members: number): void {
    if (lagMs > this.lagMs) this.lagMs = lagMs;
    if (++this.finished < members) return;
    this.count++;
    this.lastMs = this.lagMs;
    this.finished = 0;
    this.lagMs = 0;
  }

  /** It begins anew: what was late so far had another reason. */
  reset(): void {
    this.finished = 0;
    this.lagMs = 0;
    this.lastMs = 0;
  }
}
