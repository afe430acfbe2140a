/**
 * The one header of a bucket that a node tells the ledger of: that which had most in it. Kept by `account.ts`, for as
 * long as its part lasts.
 */
import type { Seen, Told, ToldHeader } from './ledger/messages';
import type { Instant } from './ticket';

export class KeptHeader {
  private kept: (Told & Seen & { got: Instant }) | undefined;

  /** @returns false: it says no more than the one that is kept */
  hear(told: Told, seen: Seen, got: Instant): boolean {
    const { kept } = this;
    const isNews = !kept || seen.spent > kept.spent || (seen.spent === kept.spent && told.remaining < kept.remaining);
    if (isNews) this.kept = { ...told, ...seen, got };
    return isNews;
  }

  /** As it is told: with its age by the clock that says more. */
  at(now: Instant): ToldHeader | undefined {
    if (!this.kept) return undefined;
    const { got, ...header } = this.kept;
    return { ...header, age: Math.max(0, now.monotonic - got.monotonic, now.wall - got.wall) };
  }

  /** Seconds of the window, as it tells. */
  get window(): number | undefined {
    return this.kept?.window;
  }

  /** It was compared with a count that is gone. */
  forget(): void {
    this.kept = undefined;
  }
}
