/**
 * ESI's two limiters. A route has one or the other: the old one counts what went wrong for an address, the new one
 * what each character's routes cost. Both are told the time, so tests need not wait. Asked by `server.ts`.
 */

const MINUTE = 60_000;

/** Fixed windows of a minute: past 100 answers that are not 2xx or 3xx an address gets 420 on every route. */
export class ErrorLimiter {
  static readonly limit = 100;
  private readonly errors = new Map<string, number>();
  private window = 0;

  /** True: this address has to be refused. */
  exhausted(address: string, now: number): boolean {
    return this.remain(address, now) === 0;
  }

  count(address: string, now: number): void {
    this.turn(now);
    this.errors.set(address, (this.errors.get(address) ?? 0) + 1);
  }

  /** `X-ESI-Error-Limit-Remain`. */
  remain(address: string, now: number): number {
    this.turn(now);
    // Mostly nobody has failed in this minute, and then there is nothing to look up.
    return this.errors.size === 0
      ? ErrorLimiter.limit
      : Math.max(0, ErrorLimiter.limit - (this.errors.get(address) ?? 0));
  }

  /** `X-ESI-Error-Limit-Reset`: seconds to the end of the window. */
  reset(now: number): number {
    return Math.ceil((MINUTE - (now % MINUTE)) / 1_000);
  }

  private turn(now: number): void {
    const window = Math.floor(now / MINUTE);
    if (window === this.window) return;
    this.window = window;
    this.errors.clear();
  }
}

/** The price of an answer in the new limiter. */
export function costOf(status: number): number {
  if (status < 300) return 2;
  if (status < 400) return 1;
  if (status === 429 || status >= 500) return 0;
  return 5;
}

const SLOTS = 30;

/**
 * A bucket whose tokens come back one window after they were spent. Kept in thirty slots, so a token comes back
 * up to one slot late, never early.
 */
export class FloatingWindow {
  private readonly spent = new Uint16Array(SLOTS + 1);
  private slot = 0;
  private used = 0;

  constructor(
    readonly limit: number,
    private readonly windowMs: number,
  ) {}

  spend(tokens: number, now: number): void {
    this.turn(now);
    const at = this.slot % this.spent.length;
    this.spent[at] = this.spent[at]! + tokens;
    this.used += tokens;
  }

  usedAt(now: number): number {
    this.turn(now);
    return this.used;
  }

  /** Seconds until something has come back; 0 when there is room. */
  retryAfter(now: number): number {
    this.turn(now);
    if (this.used < this.limit) return 0;
    let freed = 0;
    for (let age = SLOTS; age >= 0; age--) {
      const slot = this.slot - age;
      if (slot < 0) continue;
      freed += this.spent[slot % this.spent.length]!;
      if (this.used - freed < this.limit) {
        return Math.max(1, Math.ceil(((slot + SLOTS + 1) * this.slotMs - now) / 1_000));
      }
    }
    return 1;
  }

  private get slotMs(): number {
    return this.windowMs / SLOTS;
  }

  private turn(now: number): void {
    const slot = Math.floor(now / this.slotMs);
    if (slot <= this.slot) return;
    const steps = Math.min(slot - this.slot, this.spent.length);
    for (let step = 1; step <= steps; step++) {
      const at = (slot - steps + step) % this.spent.length;
      this.used -= this.spent[at]!;
      this.spent[at] = 0;
    }
    this.slot = slot;
  }
}

export type Group = 'char-location' | 'char-wallet';

const GROUPS: Record<Group, { limit: number; text: string }> = {
  'char-location': { limit: 1_200, text: '1200/15m' },
  'char-wallet': { limit: 150, text: '150/15m' },
};

/** One bucket a group and application:character (or address, where nobody has logged in). */
export class RateLimiter {
  private readonly buckets: Record<Group, Map<number | string, FloatingWindow>> = {
    'char-location': new Map(),
    'char-wallet': new Map(),
  };

  bucket(group: Group, owner: number | string): FloatingWindow {
    let bucket = this.buckets[group].get(owner);
    if (!bucket) this.buckets[group].set(owner, (bucket = new FloatingWindow(GROUPS[group].limit, 15 * MINUTE)));
    return bucket;
  }

  limitText(group: Group): string {
    return GROUPS[group].text;
  }
}

/** Both limiters, and what the headers of an answer say of them. */
export class Accounts {
  readonly errors = new ErrorLimiter();
  readonly rates = new RateLimiter();

  /** Counts an error of an address, for routes without a group. */
  charge(address: string, status: number, now: number, headers: string[]): void {
    if (status >= 400) this.errors.count(address, now);
    headers.push(...this.errorHeaders(address, now));
  }

  /** Takes the answer's cost from the owner's bucket of the group. */
  spend(group: Group, owner: number | string, status: number, now: number, headers: string[]): void {
    const bucket = this.rates.bucket(group, owner);
    bucket.spend(costOf(status), now);
    const used = bucket.usedAt(now);
    headers.push('X-Ratelimit-Group', group, 'X-Ratelimit-Limit', this.rates.limitText(group));
    headers.push('X-Ratelimit-Remaining', String(Math.max(0, bucket.limit - used)), 'X-Ratelimit-Used', String(used));
  }

  errorHeaders(address: string, now: number): string[] {
    const remain = String(this.errors.remain(address, now));
    return ['X-ESI-Error-Limit-Remain', remain, 'X-ESI-Error-Limit-Reset', String(this.errors.reset(now))];
  }
}
