/**
 * Others who spend from the same bucket (step 6 of the statement): what the upstream counts and we did not spend. They
 * are left in peace: their rate is taken from our pace, and what they may spend until we hear of it from what is left.
 * Called for each header that is news.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { tokensOf, windowOf, type Bucket } from './bucket';
import { ownUsed } from './own';
import { charge, chargeSlot, endingAfter, slotAt, tokensOf as inSlot } from './ring';

export function measureOthers(bucket: Bucket, limit: Limit, remaining: number): void {
  const window = windowOf(bucket, limit);
  const tokens = bucket.told.tokens ?? tokensOf(bucket, limit);
  if (limit.shape === 'concurrent' || tokens === undefined || !window) return;
  const { at, others, othersAt } = bucket;
  const held = Math.max(0, tokens - remaining - ownUsed(bucket, limit));
  bucket.othersAt = at;
  if (othersAt === undefined) {
    // Spends of before we came are back one window from now at the latest. It says nothing of a rate.
    bucket.othersHold = held;
    charge(others, at, held);
    bucket.before = { slot: slotAt(others, at), tokens: held };
    return;
  }
  const since = Math.max(othersAt, at - window);
  bucket.othersHold += Math.min(1, (at - since) / FIGURES.othersSmooth) * (held - bucket.othersHold);
  const news = bucket.othersHold - endingAfter(others, at - window);
  if (news >= 0) spread(bucket, since, news);
  else takeBack(bucket, -news);
  bucket.othersRate = rateOfOthers(bucket, tokens, window);
}

/** Tokens that are not accounted for were spent since the last look. */
function spread(bucket: Bucket, since: number, tokens: number): void {
  const { at, others } = bucket;
  const slots = Math.max(1, Math.ceil((at - since) / others.width));
  const last = slotAt(others, at);
  for (let i = 0; i < slots; i++) chargeSlot(others, last - i, tokens / slots);
}

/** Too much was believed: the youngest go first. */
function takeBack(bucket: Bucket, tokens: number): void {
  const { others } = bucket;
  for (let i = others.tokens.length - 1; i >= 0 && tokens > 0; i--)
    tokens += chargeSlot(others, others.first + i, -tokens);
}

function rateOfOthers(bucket: Bucket, tokens: number, window: number): number {
  const { at, others, before } = bucket;
  const pace = tokens / window;
  const span = Math.max(FIGURES.othersSpan, window * FIGURES.othersWindows, FIGURES.othersTokens / pace);
  const first = slotAt(others, at - span);
  let recent = 0;
  for (let slot = Math.max(first, others.first); slot < others.first + others.tokens.length; slot++) {
    const old = slot === before?.slot ? before.tokens : 0;
    recent += Math.max(0, inSlot(others, slot) - old);
  }
  const rate = recent / span;
  return rate > FIGURES.othersLeast * pace ? Math.min(rate, FIGURES.othersMost * pace) : 0;
}

/**
 * Tokens that others may take before we see it: two seconds of their rate, twice the spread that requests at random
 * have over them, and one of ours. None while nobody else spends. An upstream that refuses everything at nothing left
 * keeps its last token.
 */
export function margin(bucket: Bucket, limit: Limit): number {
  const rate = bucket.othersRate;
  const burst =
    rate > 0 ? FIGURES.othersAhead * rate + 2 * Math.sqrt(2 * FIGURES.othersAhead * rate) + limit.greatestCost : 0;
  return burst + (limit.closesAtEnd ? 1 : 0);
}
