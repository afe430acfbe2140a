/**
 * A limit of an upstream, once its options are resolved: one rule that counts tokens for each key (a character,
 * an access token, an address). Read by the ledger, the node's account and members' buckets. An option that is changed
 * while it runs makes another one of it.
 */
import { FIGURES } from './figures';

/**
 * - `floating`: a token comes back one window after it was spent.
 * - `fixed`: windows that begin whenever the upstream likes. They are counted as floating: safe wherever they begin,
 *   and no reset is needed.
 * - `calendar`: windows that begin with the hour, day, week or month of a time zone.
 * - `leaky`: `tokens` at once, and tokens / window come back each second (GCRA).
 * - `concurrent`: so many requests at once; a place is free again with the answer.
 */
export type Shape = 'floating' | 'fixed' | 'calendar' | 'leaky' | 'concurrent';

export interface Limit {
  shape: Shape;
  /**
   * Tokens of a window. Undefined: headers tell, and where none does the limit is felt for. With a number, headers may
   * only lower it.
   */
  tokens: number | undefined;
  /** Seconds. Undefined: headers tell. Ignored by `concurrent`. */
  window: number | undefined;
  /** The most that one request can cost. */
  greatestCost: number;
  /** The share of the tokens that is left alone, 0 to 0.5: for others who burst. */
  headroom: number;
  /** With nothing left the upstream refuses everything, as ESI's error limiter does: the last token is never spent. */
  closesAtEnd: boolean;
  /** Others who spend from the bucket are measured by the headers and left in peace. */
  others: boolean;
  /**
   * Seconds for which a request without an answer may still arrive: at least `FIGURES.late`, and at least the requests'
   * time-out.
   */
  late: number;
  /** No closing is longer, seconds. Undefined: two windows, a quarter of an hour at least. */
  longestClosing?: number;
  /** The epoch second at which the calendar window begins that `at` lies in (`calendar.ts`). */
  windowStart?: (at: number) => number;
}

/** A limit with what is usual. */
export function limitOf(given: Partial<Limit>): Limit {
  return {
    shape: 'floating',
    tokens: undefined,
    window: undefined,
    greatestCost: 1,
    headroom: 0,
    closesAtEnd: false,
    others: true,
    late: FIGURES.late,
    ...given,
  };
}

/** How long a slot of the ring is, seconds. */
export function slotWidth(window: number): number {
  return Math.max(FIGURES.shortestSlot, window / FIGURES.slots);
}

/** Whether a part that was granted by the rule of before may be more than this one allows. */
export function givesLess(now: Limit, before: Limit): boolean {
  const isFewer = (now.tokens ?? Infinity) < (before.tokens ?? Infinity);
  const isLonger = (now.window ?? 0) > (before.window ?? 0);
  return isFewer || isLonger || now.headroom > before.headroom || now.shape !== before.shape;
}
