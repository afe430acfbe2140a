/** The words between a node's account of a bucket (`account.ts`) and whoever sends: clocks, reservations, answers. */
import type { Seen, Told } from './ledger/messages';

/** Two clocks of this machine, in seconds. Only differences of one of them are used. */
export interface Clocks {
  monotonic(): number;
  wall(): number;
}

/** A moment by both clocks of this machine, seconds. */
export interface Instant {
  monotonic: number;
  wall: number;
}

/** A reservation: kept with the request, given back with its answer. */
export interface Ticket {
  readonly epoch: number;
  readonly reserved: number;
  /** Tokens that were surely spent when it was sent; undefined: nothing has been heard of the ledger. */
  readonly seen: Seen | undefined;
  readonly generation: number;
  readonly sentAt: number;
  readonly sentAtWall: number;
  /** It was settled, lost or released: an answer that comes after its time-out changes nothing. */
  isPaid: boolean;
}

/** An answer, as far as it concerns this bucket. */
export interface Heard {
  /** Its cost in tokens. */
  cost: number;
  /** The word of its headers on the bucket; undefined: none. */
  told?: Told;
  /** It was refused, and for so many seconds. */
  refusedFor?: number;
}
