/**
 * The one header of a bucket that a node tells the ledger of: that which had most in it. Pure; called by `account.ts`.
 */
import type { Seen, Told, ToldHeader } from './ledger/messages';

/** A moment by both clocks of this machine, seconds. */
export interface Instant {
  monotonic: number;
  wall: number;
}

export type KeptHeader = Told & Seen & { got: Instant };

/** Whether it says more than the one that is kept. */
export function isNews(kept: KeptHeader | undefined, { spent }: Seen, { remaining }: Told): boolean {
  return !kept || spent > kept.spent || (spent === kept.spent && remaining < kept.remaining);
}

/** As it is told: with its age by the clock that says more. */
export function aged({ got, ...header }: KeptHeader, now: Instant): ToldHeader {
  return { ...header, age: Math.max(0, now.monotonic - got.monotonic, now.wall - got.wall) };
}
