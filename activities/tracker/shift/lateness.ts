/**
 * How late runs start, as counts in buckets: cheap to note at tens of thousands a second, and addable over
 * nodes. Filled by `operation.ts`, stored in `longwatch.node_stats` by `store/nodes.ts`, read by `status`.
 */

/** Upper bounds in milliseconds, about a fifth apart; a last bucket holds what is above. */
export const LATE_BOUNDS_MS: readonly number[] = Array.from({ length: 64 }, (_, i) => Math.round(1.2 ** i * 10) / 10);

const LOG_STEP = Math.log(1.2);

export function bucketOf(lateMs: number): number {
  if (!(lateMs > 1)) return 0;
  let bucket = Math.min(LATE_BOUNDS_MS.length, Math.ceil(Math.log(lateMs) / LOG_STEP));
  // The bounds are rounded to a tenth, so the logarithm may be one off.
  while (bucket > 0 && lateMs <= LATE_BOUNDS_MS[bucket - 1]!) bucket--;
  while (bucket < LATE_BOUNDS_MS.length && lateMs > LATE_BOUNDS_MS[bucket]!) bucket++;
  return bucket;
}

/**
 * The bound below which a share `q` (0 to 1) of all counts lies; null when nothing was counted, Infinity above the
 * last.
 */
export function percentile(buckets: readonly number[], q: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  for (let i = 0; i < buckets.length; i++) {
    seen += buckets[i]!;
    if (seen >= q * total) return LATE_BOUNDS_MS[i] ?? Infinity;
  }
  return Infinity;
}

/** Counts of the minute that runs and the one before it, and of all time. */
export class Lateness {
  /** Without the zeros at the end. */
  readonly total: number[] = [];
  private current = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
  private previous = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
  private since: number;

  constructor(
    now: number,
    private readonly windowMs = 60_000,
  ) {
    this.since = now;
  }

  add(lateMs: number, now: number): void {
    if (now - this.since >= this.windowMs) this.turn(now);
    const bucket = bucketOf(lateMs);
    this.current[bucket]!++;
    while (this.total.length <= bucket) this.total.push(0);
    this.total[bucket]!++;
  }

  /** The last one to two minutes. */
  recent(now: number): number[] {
    if (now - this.since >= this.windowMs) this.turn(now);
    return this.current.map((count, i) => count + this.previous[i]!);
  }

  private turn(now: number): void {
    const idle = now - this.since >= 2 * this.windowMs;
    this.previous = idle ? this.previous.fill(0) : this.current;
    this.current = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
    this.since = now;
  }
}
