/**
 * Counts of the last minute, by what happened: a ring of seconds, so that a figure goes down again when it is over.
 * Kept by `figures.ts`, shown in the node's row.
 */
const SECONDS = 60;

export class Minute<Name extends string> {
  private readonly seconds: { at: number; counts: Partial<Record<Name, number>> }[] = [];

  /** @param nowMs of any clock that does not jump */
  count(name: Name, nowMs: number, many = 1): void {
    if (many === 0) return;
    const at = Math.floor(nowMs / 1_000);
    let second = this.seconds.at(-1);
    if (second?.at !== at) {
      this.forget(at);
      this.seconds.push((second = { at, counts: {} }));
    }
    second.counts[name] = (second.counts[name] ?? 0) + many;
  }

  sum(name: Name, nowMs: number): number {
    this.forget(Math.floor(nowMs / 1_000));
    return this.seconds.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0);
  }

  private forget(at: number): void {
    while (this.seconds.length > 0 && this.seconds[0]!.at <= at - SECONDS) this.seconds.shift();
  }
}

/** The same for a counter that only grows: how much it grew. */
export class Growth {
  private readonly minute = new Minute<'grew'>();
  private last: number | undefined;

  /** @returns how much it has grown in the last minute */
  of(total: number, nowMs: number): number {
    if (this.last !== undefined) this.minute.count('grew', nowMs, Math.max(0, total - this.last));
    this.last = total;
    return this.minute.sum('grew', nowMs);
  }
}
