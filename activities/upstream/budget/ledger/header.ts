/**
 * Headers of a bucket (step 4 of the statement): which one is kept, and what it leaves to spend. A header is
 * compared by what was *surely* counted in it: V, the ledger's count of spent tokens that its node knew when it sent
 * the request. 'Remaining less what was sent since' reads too much where a request that was sent before is counted
 * after it.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { fitRings, tokensOf, windowOf, type Bucket } from './bucket';
import type { Renewal, ToldHeader } from './messages';
import { measureOthers } from './others';
import { countsSince } from './own';
import { beginningAfter, within } from './ring';

/** Takes a header in, where it says more than the one before. */
export function hear(bucket: Bucket, limit: Limit, header: ToldHeader | undefined): void {
  // One of before commits were lost speaks of a count that is gone.
  if (!header || header.era !== bucket.era) return;
  learnLimit(bucket, limit, header);
  const window = windowOf(bucket, limit);
  // One told again would rise from the dead.
  if (isOver(bucket, limit, bucket.at - header.age, header.reset)) return;
  const seen = header.remaining + header.spent;
  const before = bucket.header;
  const isNews = !before || header.spent > before.spent || (header.spent === before.spent && seen < before.seen);
  if (!isNews) return;
  bucket.header = { spent: header.spent, seen, at: bucket.at - header.age, reset: header.reset };
  if (limit.others && window !== undefined) measureOthers(bucket, limit, header.remaining);
}

/** The limit itself, by the header that had most in it. */
function learnLimit(bucket: Bucket, limit: Limit, header: ToldHeader): void {
  const { told } = bucket;
  if (header.spent < told.spent) return;
  told.spent = header.spent;
  if (header.limit !== undefined) told.tokens = header.limit;
  if (header.window !== undefined) told.window = header.window;
  else if (header.reset !== undefined) told.window = windowByReset(bucket, header.reset, bucket.at - header.age);
  fitRings(bucket, limit);
}

/**
 * Only a reset is told: the window is at least that long, and no shorter than it was believed to be. Right after it
 * began anew the reset is the whole of it, so that one header that lied is not believed for ever.
 */
function windowByReset({ told }: Bucket, reset: number, at: number): number {
  const sinceTurn = at - (told.turnsAt ?? Infinity);
  told.turnsAt = at + reset;
  const least = Math.min(FIGURES.longestReset, Math.ceil(reset) + 1);
  if (sinceTurn >= 0 && sinceTurn <= FIGURES.turn) return least + Math.ceil(sinceTurn);
  return Math.max(told.window ?? 1, least);
}

/** Whether a header of that moment says nothing any more: all that it told of is out of the window. */
function isOver(bucket: Bucket, limit: Limit, at: number, reset: number | undefined): boolean {
  // By either clock it may be of the window before.
  if (limit.windowStart && at <= countsSince(bucket, limit) + 2 * FIGURES.calendarSlack) return true;
  const lasts =
    limit.shape === 'fixed' && reset !== undefined
      ? reset + FIGURES.resetSlack
      : (windowOf(bucket, limit) ?? FIGURES.unknownWindow);
  return bucket.at - at >= lasts;
}

/** A header that is too old is none. Called before one is asked for what is left. */
export function forgetHeader(bucket: Bucket, limit: Limit): void {
  const { header } = bucket;
  if (header && isOver(bucket, limit, header.at, header.reset)) delete bucket.header;
}

/**
 * Tokens that the header leaves, before a margin and what is outstanding; Infinity without one. The rest of ended parts
 * may still be sent: it is in `spent` and yet in no header; what came back since is in neither.
 */
export function leftByHeader(bucket: Bucket, limit: Limit): number {
  const { header, at } = bucket;
  if (!header) return Infinity;
  const ahead = beginningAfter(bucket.own, at);
  return header.seen - bucket.spent - ahead + cameBack(bucket, limit, header.at);
}

function cameBack(bucket: Bucket, limit: Limit, since: number): number {
  const { at } = bucket;
  const window = windowOf(bucket, limit)!;
  if (limit.shape === 'leaky') return ((at - since) * tokensOf(bucket, limit)!) / window;
  const age = at - since;
  if (limit.shape !== 'floating') return -bucket.othersRate * age;
  const from = since - window + bucket.flight;
  const back = within(bucket.own, from, at - window) + within(bucket.others, from, at - window);
  return back - bucket.othersRate * age;
}

/** The slowest answer lately bounds how old the count in a header may be. */
export function noteFlight(bucket: Bucket, renewal: Renewal): void {
  const faded = bucket.flight * Math.exp((bucket.flightAt - bucket.at) / FIGURES.flightDecay);
  bucket.flight = Math.max(FIGURES.flight + Math.max(0, renewal.slowest), faded);
  bucket.flightAt = bucket.at;
}
