/** How many requests the runs of some code make: so many are reserved before the next one begins. Kept by `book.ts`. */

/** The mean follows the last runs with this weight; no run reserves more. */
const RUN_WEIGHT = 0.1;
const MOST_REQUESTS = 20;
/** A config has tens. */
const MOST_KNOWN = 5_000;

export class RunSizes {
  private readonly means = new Map<string, number>();

  of(by: string): number {
    return Math.min(MOST_REQUESTS, Math.max(1, Math.ceil((this.means.get(by) ?? 1) - 0.2)));
  }

  note(by: string, requests: number): void {
    const before = this.means.get(by) ?? 1;
    if (before === requests) return;
    if (this.means.size >= MOST_KNOWN) this.means.clear();
    this.means.set(by, before + RUN_WEIGHT * (requests - before));
  }
}
