/**
 * How upstreams count, to the token and to the microsecond: each spend is kept, and windows begin when the upstream
 * likes. Written from what upstreams publish and not from our ledger: a copy of our own approximation would agree with
 * it and prove nothing.
 */

export interface Count {
  limit: number;
  fits(now: number, cost: number): boolean;
  take(now: number, cost: number, ours: boolean): void;
  remaining(now: number): number;
  /** Seconds until something comes back. */
  retryAfter(now: number, cost: number): number;
  /** Seconds until the window begins anew; undefined where there is none. */
  reset(now: number): number | undefined;
  /** The part of its count that is ours. */
  ours(now: number): number;
}

interface Spend {
  at: number;
  cost: number;
  ours: boolean;
}

/** A token comes back one window after it was spent. */
export class FloatingCount implements Count {
  private spends: Spend[] = [];
  private first = 0;
  private used = 0;
  private usedByUs = 0;

  constructor(
    public limit: number,
    private readonly window: number,
  ) {}

  private expire(now: number): void {
    while (this.first < this.spends.length && this.spends[this.first]!.at + this.window <= now) {
      const { cost, ours } = this.spends[this.first++]!;
      this.used -= cost;
      if (ours) this.usedByUs -= cost;
    }
    if (this.first > 4_096) this.spends = this.spends.slice(this.first);
    if (this.first > 4_096) this.first = 0;
  }
  fits(now: number, cost: number): boolean {
    this.expire(now);
    return this.used + cost <= this.limit;
  }
  take(now: number, cost: number, ours: boolean): void {
    if (cost === 0) return;
    this.spends.push({ at: now, cost, ours });
    this.used += cost;
    if (ours) this.usedByUs += cost;
  }
  remaining(now: number): number {
    this.expire(now);
    return Math.max(0, this.limit - this.used);
  }
  retryAfter(now: number, cost: number): number {
    this.expire(now);
    let free = this.limit - this.used;
    for (let i = this.first; i < this.spends.length; i++) {
      free += this.spends[i]!.cost;
      if (free >= cost) return this.spends[i]!.at + this.window - now;
    }
    return 1;
  }
  reset(): undefined {
    return undefined;
  }
  ours(now: number): number {
    this.expire(now);
    return this.usedByUs;
  }
}

/** Windows that begin at a phase of their own. */
export class FixedCount implements Count {
  private current = -1;
  private used = 0;
  private usedByUs = 0;

  constructor(
    public limit: number,
    private readonly window: number,
    private readonly phase: number,
  ) {}

  private turn(now: number): void {
    const current = Math.floor((now - this.phase) / this.window);
    if (current === this.current) return;
    this.current = current;
    this.used = 0;
    this.usedByUs = 0;
  }
  fits(now: number, cost: number): boolean {
    this.turn(now);
    return this.used + cost <= this.limit;
  }
  take(now: number, cost: number, ours: boolean): void {
    this.turn(now);
    this.used += cost;
    if (ours) this.usedByUs += cost;
  }
  remaining(now: number): number {
    this.turn(now);
    return Math.max(0, this.limit - this.used);
  }
  retryAfter(now: number): number {
    return this.reset(now);
  }
  reset(now: number): number {
    this.turn(now);
    return this.phase + (this.current + 1) * this.window - now;
  }
  ours(now: number): number {
    this.turn(now);
    return this.usedByUs;
  }
}

/** A bucket that leaks limit / window a second. Ours is what is in it of ours, if nobody else had spent. */
export class LeakyCount implements Count {
  private used = 0;
  private usedByUs = 0;
  private at: number;

  constructor(
    public limit: number,
    private readonly window: number,
    now: number,
  ) {
    this.at = now;
  }

  private leak(now: number): void {
    const leaked = ((now - this.at) * this.limit) / this.window;
    this.used = Math.max(0, this.used - leaked);
    this.usedByUs = Math.max(0, this.usedByUs - leaked);
    this.at = now;
  }
  fits(now: number, cost: number): boolean {
    this.leak(now);
    return this.used + cost <= this.limit + 1e-9;
  }
  take(now: number, cost: number, ours: boolean): void {
    this.leak(now);
    this.used += cost;
    if (ours) this.usedByUs += cost;
  }
  remaining(now: number): number {
    this.leak(now);
    return Math.max(0, Math.floor(this.limit - this.used));
  }
  retryAfter(now: number, cost: number): number {
    this.leak(now);
    return Math.max(0.01, ((this.used + cost - this.limit) * this.window) / this.limit);
  }
  reset(): undefined {
    return undefined;
  }
  ours(now: number): number {
    this.leak(now);
    return this.usedByUs;
  }
}

/** So many at once: what is taken stays until it is given back. */
export class ConcurrentCount implements Count {
  private inside = 0;

  constructor(public limit: number) {}

  fits(): boolean {
    return this.inside + 1 <= this.limit;
  }
  take(): void {
    this.inside++;
  }
  giveBack(): void {
    this.inside--;
  }
  remaining(): number {
    return Math.max(0, this.limit - this.inside);
  }
  retryAfter(): number {
    return 1;
  }
  reset(): undefined {
    return undefined;
  }
  ours(): number {
    return this.inside;
  }
}
