/**
 * Until when each member of an operation is left alone, whatever its grid says: an expiry, a hold, the longer interval
 * of one that fails again and again. Pure; kept by `due-times.ts`.
 */
export class Held {
  /** By slot; 0: it is not held. Empty until there is one: it counts, at a hundred thousand members. */
  private readonly until: number[] = [];
  /** Members whose time is the end of it, also where that is before the grid's: a retry that the definition timed. */
  private readonly exactly = new Set<number>();

  untilOf(slot: number): number {
    return this.until[slot] ?? 0;
  }

  /** Whether the member runs right then. */
  isExact(slot: number): boolean {
    return this.exactly.has(slot);
  }

  hold(slot: number, until: number, exactly = false): void {
    if (exactly) this.exactly.add(slot);
    else if (this.exactly.size > 0) this.exactly.delete(slot);
    if (until > 0) {
      // Filled, for an array with gaps costs more than one without.
      for (let i = this.until.length; i < slot; i++) this.until.push(0);
      this.until[slot] = until;
    } else if (slot < this.until.length) {
      this.until[slot] = 0;
    }
  }
}
