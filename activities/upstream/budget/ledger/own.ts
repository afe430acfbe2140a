/**
 * Our own account of a bucket: what we spent and what of it has not come back, by the shape of the limit. Called by
 * every step of the statement; nothing here asks a header.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { tokensOf, windowOf, type Bucket } from './bucket';
import { charge, chargeSlot, endingAfter, slotAt } from './ring';

/** Spends tokens now, or (`at`) at a later moment. Counted for ever in `spent`. */
export function spend(bucket: Bucket, limit: Limit, tokens: number, at = bucket.at): void {
  if (tokens <= 0) return;
  bucket.spent += tokens;
  if (limit.shape === 'leaky' && at <= bucket.at) bucket.level += tokens;
  // A place of a concurrent limit is free again with the answer; only what has none is charged, for a time that lies
  // ahead.
  else if (limit.shape !== 'concurrent' || at > bucket.at) charge(bucket.own, at, tokens);
}

/** Tokens that are spent and not back. */
export function ownUsed(bucket: Bucket, limit: Limit): number {
  // Spends that lie ahead of a leaky bucket count whole: nothing of them has leaked.
  if (limit.shape === 'leaky') return bucket.level + endingAfter(bucket.own, -Infinity);
  return endingAfter(bucket.own, countsSince(bucket, limit));
}

/** The moment of the bucket's time from which on a slot's end counts: all before is back. */
export function countsSince(bucket: Bucket, limit: Limit): number {
  const { at, offset } = bucket;
  if (limit.windowStart) {
    // By the database's own clock, with room for an upstream whose clock is another one.
    const slack = FIGURES.calendarSlack;
    return limit.windowStart(at - offset - slack) + offset - slack;
  }
  return at - (windowOf(bucket, limit) ?? FIGURES.year);
}

/** Lets a leaky bucket leak until now, and lets fall into it what lay ahead. */
export function leak(bucket: Bucket, limit: Limit, from: number): void {
  const { own, at } = bucket;
  const tokens = tokensOf(bucket, limit);
  const window = windowOf(bucket, limit);
  if (limit.shape !== 'leaky') return leakNoMore(bucket, limit, from);
  if (tokens === undefined || !window) return;
  bucket.leaks = { tokens, window };
  // Slots of before are those of another shape, as which it was counted until now.
  let last = bucket.level > 0 ? from : Math.min(from, (own.first + 1) * own.width);
  for (let i = 0; i < own.tokens.length; i++) {
    const falls = (own.first + i + 1) * own.width;
    if (falls > at) break;
    // As late as the slot allows: it may have come in its last moment.
    bucket.level = Math.max(0, bucket.level - (Math.max(falls, last) - last) * (tokens / window)) + own.tokens[i]!;
    last = Math.max(falls, last);
    own.tokens[i] = 0;
  }
  bucket.level = Math.max(0, bucket.level - (at - last) * (tokens / window));
}

/**
 * It was a leaky bucket, and its limit is of another shape from now on: what is in it may have been spent just now, and
 * what leaked out of it was spent within the time that it took, or before.
 */
function leakNoMore(bucket: Bucket, limit: Limit, from: number): void {
  const { own, level, spent, leaks } = bucket;
  if (level === 0 && leaks === undefined) return;
  bucket.level = 0;
  delete bucket.leaks;
  // Nothing has leaked where nobody knows how much there is; and places are free again.
  if (bucket.felt || limit.shape === 'concurrent') return;
  charge(own, from, level);
  if (leaks === undefined) return;
  const since = Math.max(from - leaks.window, countsSince(bucket, limit));
  let left = Math.min(spent - level, leaks.tokens);
  for (let slot = slotAt(own, from); left > 0 && (slot + 1) * own.width > since; slot--)
    left -= chargeSlot(own, slot, Math.min(left, (leaks.tokens / leaks.window) * own.width));
}

/** Tokens that nodes hold and have not told as spent: any of them may be spent by now. */
export function outstanding(bucket: Bucket): number {
  let sum = 0;
  for (const part of bucket.parts) if (!part.ended) sum += part.granted - part.settled;
  return sum;
}
