/**
 * Limits that nobody told: the cold start (one request of all nodes at a time until a header tells), a limit that
 * refusals contradict, and one that has to be felt for because neither a header nor a number says it. Called by
 * `statement.ts`.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { tokensOf, windowOf, type Bucket, type Part } from './bucket';
import type { Renewal } from './messages';
import { outstanding, ownUsed } from './own';

/** Neither a number nor a header has said what the limit is. */
export function isUnknown(bucket: Bucket, limit: Limit): boolean {
  return !bucket.felt && (tokensOf(bucket, limit) === undefined || windowOf(bucket, limit) === undefined);
}

/** One request of all nodes at a time. */
export function giveOne(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal): void {
  bucket.creditAt = bucket.at;
  const unspent = part.granted - part.settled - renewal.held;
  // A limit without a window: it says when there is nothing, and is asked now and then.
  const { header } = bucket;
  const isEmpty =
    header && bucket.at - header.at < FIGURES.silenceMost && header.seen - bucket.spent < limit.greatestCost;
  if (isEmpty) return;
  // Its own tokens in hand would do; another one's may be for the request that tells.
  if (renewal.wants > 0 && unspent < limit.greatestCost && outstanding(bucket) <= Math.max(0, unspent))
    part.granted += limit.greatestCost - Math.max(0, unspent);
}

/** Answers that told no limit: after some of them it is felt for. */
export function noteMute(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal): void {
  part.mute = Math.max(part.mute, renewal.mute);
  const mute = bucket.parts.reduce((sum, { mute }) => sum + mute, 0);
  if (!isUnknown(bucket, limit) || limit.shape === 'concurrent' || mute < FIGURES.muteAnswers) return;
  const { at, spent } = bucket;
  bucket.felt = { rate: FIGURES.feltStart * limit.greatestCost, quietUntil: at, since: at, spent, isBusy: false };
}

/** Refused, and no header says why: the limit is less than we believed. It is believed to grow again. */
export function correctBelief(bucket: Bucket, limit: Limit, tokens: number, refused: boolean): void {
  const { at, belief } = bucket;
  const window = windowOf(bucket, limit) || FIGURES.concurrentWindow;
  if (belief) {
    belief.tokens += (FIGURES.beliefGrowth * tokens * (at - belief.at)) / window;
    belief.at = at;
    if (belief.tokens >= tokens) delete bucket.belief;
  }
  if (!refused) return;
  // Places come back with the answers, so what was refused says little of how many there are: less by three tenths.
  const share = limit.shape === 'concurrent' ? FIGURES.feltCut : FIGURES.belief;
  const spent = share * (ownUsed(bucket, limit) + outstanding(bucket));
  const least = Math.max(limit.greatestCost, 1);
  bucket.belief = { tokens: Math.max(least, Math.min(bucket.belief?.tokens ?? Infinity, spent)), at };
}

/** The rate of a limit that is felt for: up until it is refused, down once an episode, slowly up again. */
export function feel(bucket: Bucket, limit: Limit, since: number, refused: boolean): void {
  const { felt, at } = bucket;
  if (!felt) return;
  const elapsed = Math.min(FIGURES.part, at - since);
  // Some requests long, however slow it is.
  const span = Math.max(FIGURES.feltSpan, Math.min(FIGURES.unknownWindow, (3 * limit.greatestCost) / felt.rate));
  if (at - felt.since >= span) {
    felt.isBusy = bucket.spent - felt.spent >= FIGURES.feltBusy * felt.rate * (at - felt.since);
    felt.since = at;
    felt.spent = bucket.spent;
  }
  if (refused) {
    if (at < felt.quietUntil) return;
    felt.refused = felt.rate;
    felt.rate = Math.max(FIGURES.feltCut * felt.rate, FIGURES.leastPace * FIGURES.feltStart * limit.greatestCost);
    // Requests of before the cut are still being answered.
    felt.quietUntil = Math.max(at + bucket.flight, bucket.closed.until + 1);
  } else if (at >= felt.quietUntil && felt.isBusy) {
    felt.rate +=
      felt.refused === undefined
        ? felt.rate * (FIGURES.feltGrowth ** elapsed - 1)
        : FIGURES.feltStep * Math.max(felt.refused, felt.rate) * elapsed;
  }
}

/** A header came after all. */
export function stopFeeling(bucket: Bucket, limit: Limit): void {
  const tokens = tokensOf(bucket, limit);
  if (!bucket.felt || tokens === undefined || windowOf(bucket, limit) === undefined) return;
  delete bucket.felt;
  // Nothing has leaked while nobody knew how fast; a bucket is never more than full.
  bucket.level = Math.min(bucket.level, tokens);
}
