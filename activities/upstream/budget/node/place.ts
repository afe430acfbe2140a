/**
 * The source of a request's tokens: a shared bucket (`shared.ts`), a member's own (`purse.ts`), or the place of the
 * one request whose answer tells which bucket it is (`probe.ts`). `spend.ts` takes from several of them together.
 */
import type { Told } from '../ledger/messages';
import type { UpstreamLimit, Use, Waiter } from '../spender';

/** An answer, as far as it concerns one limit. */
export interface Verdict {
  /** Tokens; NaN: it does not say. */
  cost: number;
  told: Told | undefined;
  /** A good answer, and not a word on the limit. */
  isMute: boolean;
  /** Seconds for which this limit refuses; undefined: it does not. */
  refusedFor: number | undefined;
  /** Why it is closed, for people; empty where it is not refused. */
  reason: string;
}

/** The tokens that were taken for one request. The first of `settle`, `lose` and `release` ends it. */
export interface Taken {
  readonly place: Place;
  mayStillSend(): boolean;
  settle(verdict: Verdict): void;
  lose(): void;
  release(): void;
}

export interface Place {
  readonly limit: UpstreamLimit;
  /** As it is stored: a hash where it is a secret. */
  readonly key: string;
  /** The member's, where it is a bucket of one. */
  readonly slot?: number;
  readonly isClosed: boolean;
  /** Seconds until it is worth asking again; Infinity: its line knows. */
  readonly wait: number;
  /** @param isFurther of a run that has begun: it stands in no line, and keeps no pace */
  may(requests: number, isFurther: boolean): boolean;
  /** Only after `may`. */
  take(use: Use): Taken;
  /** Sets aside for one of the further requests of a run of so many; undefined: nothing need be. */
  earmark(requests: number): Taken | undefined;
  join(waiter: Waiter): () => void;
  /** Somebody waits in another bucket's line, and needs this one too. Answers how to take that back. */
  want(waiter: Waiter): () => void;
  /** An answer that was not reserved here turned out to be of this bucket. @param sentAt monotonic seconds */
  overdraw(verdict: Verdict, sentAt: number): void;
}
