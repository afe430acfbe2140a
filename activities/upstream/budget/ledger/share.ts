/**
 * The share of one node (steps 5 and 7 to 9 of the statement): what is left over all nodes, the pace at which it is
 * given out, and this node's fair share of it. Whole requests only: a part of a token sends nothing.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { windowOf, type Bucket, type Part } from './bucket';
import { leftByHeader } from './header';
import type { Renewal } from './messages';
import { margin } from './others';
import { outstanding, ownUsed } from './own';

/** Fair shares by water-filling: 120 over 1,000, 50 and 10 gives 60, 50 and 10. */
export function waterFill(capacity: number, wants: readonly number[]): number[] {
  const shares = new Array<number>(wants.length).fill(0);
  let left = Math.max(0, capacity);
  let users = wants.length;
  for (const [want, i] of wants.map((want, i) => [want, i] as const).sort((a, b) => a[0] - b[0])) {
    shares[i] = Math.min(want, left / users);
    left -= shares[i];
    users--;
  }
  return shares;
}

/** The most that one request costs, and never more than the whole limit: else nothing could ever be sent. */
export function quantum(limit: Limit, tokens: number): number {
  return Math.min(limit.greatestCost, Math.max(1, tokens * (1 - limit.headroom) - (limit.closesAtEnd ? 1 : 0)));
}

/** Step 5: tokens that nobody holds, by our own account and by what the header leaves, whichever is less. */
export function available(bucket: Bucket, limit: Limit, tokens: number): number {
  const byHeader = leftByHeader(bucket, limit) - keptBack(bucket, limit, tokens) - outstanding(bucket);
  return Math.min(leftByOwn(bucket, limit, tokens), byHeader);
}

function leftByOwn(bucket: Bucket, limit: Limit, tokens: number): number {
  const believed = Math.min(tokens, bucket.belief?.tokens ?? Infinity);
  return believed - keptBack(bucket, limit, tokens) - ownUsed(bucket, limit) - outstanding(bucket);
}

/** Tokens that are left to others. One request of ours fits all the same, else a small limit would let nothing out. */
function keptBack(bucket: Bucket, limit: Limit, tokens: number): number {
  return Math.min(limit.headroom * tokens, tokens - quantum(limit, tokens)) + margin(bucket, limit);
}

/**
 * Step 7: a bucket that says nothing learns nothing. With the last header old, and tokens left but for the margin, one
 * request of all nodes may ask.
 */
export function mayAsk(bucket: Bucket, limit: Limit, tokens: number, left: number, wants: number): boolean {
  const { header, at, othersRate } = bucket;
  const window = windowOf(bucket, limit)!;
  const k = quantum(limit, tokens);
  if (!header || wants <= 0 || outstanding(bucket) >= k) return false;
  const { silence, silenceMost, silenceWindows, silenceTokens } = FIGURES;
  const age = at - header.at;
  if (age <= Math.max(silence, Math.min(silenceMost, window * silenceWindows), (silenceTokens * window) / tokens))
    return false;
  // The window may have begun anew since, where no reset is told: our own account knows that much.
  if (limit.shape === 'fixed' || limit.shape === 'calendar')
    return left >= k || (header.reset === undefined && leftByOwn(bucket, limit, tokens) >= k);
  return left + keptBack(bucket, limit, tokens) - othersRate * age >= 2 * k;
}

/**
 * Step 8: tokens a second. A calendar window's are spread over what is left of it, for nothing of them is there
 * tomorrow.
 */
export function paceOf(bucket: Bucket, limit: Limit, tokens: number): number {
  if (bucket.felt) return bucket.felt.rate;
  const window = windowOf(bucket, limit)!;
  const least = (FIGURES.leastPace * tokens) / window;
  const believed = Math.min(tokens, bucket.belief?.tokens ?? Infinity) * (1 - limit.headroom);
  if (limit.windowStart) {
    const now = bucket.at - bucket.offset;
    const left = windowEnd(limit.windowStart, window, now) - now;
    return Math.max(least, (believed - ownUsed(bucket, limit)) / Math.max(left, FIGURES.calendarSlack));
  }
  if (limit.shape === 'leaky') return Math.max(least, believed / window - bucket.othersRate);
  const loss = bucket.own.width + FIGURES.windowLoss + (bucket.header ? FIGURES.headerLoss : 0);
  return Math.max(least, believed / (window + loss) - bucket.othersRate);
}

/** Months and days are not of one length; what lies a little past the usual one begins where this one ends. */
function windowEnd(windowStart: (at: number) => number, window: number, now: number): number {
  const start = windowStart(now);
  const next = windowStart(start + 1.02 * window);
  return next > start ? next : start + window;
}

/** The most that is saved up of a pace that nobody used. */
export function mostCredit(bucket: Bucket, limit: Limit, tokens: number, pace: number): number {
  const live = bucket.parts.filter((part) => !part.ended && part.until > bucket.at).length;
  // One request of each of some, and what comes in until somebody asks again: at the brim it would be lost. A rate that
  // is felt for has no room for more than one at once: a burst would be refused, and cut a rate that is right.
  const requests = quantum(limit, tokens) * (bucket.felt ? 1 : Math.min(live, FIGURES.creditRequests));
  const most = requests + pace * 2 * FIGURES.renewal;
  if (bucket.felt) return most;
  const burst = pace * Math.max(FIGURES.credit, windowOf(bucket, limit)! * FIGURES.creditWindows);
  return Math.max(most, burst, limit.shape === 'leaky' ? tokens * FIGURES.leakyCredit : 0);
}

/**
 * Step 9: gives the node what is its. Answers its rate. `left` is what `available` said, raised where one request may
 * ask.
 */
export function give(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal, tokens: number, left: number): number {
  const { at } = bucket;
  const k = quantum(limit, tokens);
  const pace = paceOf(bucket, limit, tokens);
  const most = mostCredit(bucket, limit, tokens, pace);
  bucket.credit = Math.min(most, bucket.credit + pace * (at - bucket.creditAt));
  bucket.creditAt = at;

  const live = bucket.parts.filter((other) => other === part || (!other.ended && other.until > at));
  const wants = live.map((other) => other.wants);
  const fair = waterFill(pace + Math.max(0, bucket.credit) / FIGURES.creditOver, wants)[live.indexOf(part)]!;
  part.deficit = Math.min(3 * fair + 2 * k, part.deficit + fair * Math.min(FIGURES.part, at - part.at));

  const unspent = part.granted - part.settled - renewal.held;
  // The last request's worth cannot be spent: less than the greatest cost sends nothing.
  const needs = renewal.wants > 0 ? renewal.wants * FIGURES.inHand + k - unspent : 0;
  // Nodes that have waited longer and have nothing in hand come first: a request's worth of each is left alone.
  const ahead = k * live.filter((other) => isAhead(other, part, k)).length;
  const given = Math.max(0, Math.min(needs, left - ahead, bucket.credit - ahead, Math.max(part.deficit, k)));
  if (given > 0 && unspent + given >= k) {
    part.granted += given;
    part.servedAt = at;
    part.deficit -= given;
    bucket.credit -= given;
  }
  return fair;
}

function isAhead(other: Part, part: Part, k: number): boolean {
  const waits = other !== part && other.wants > 0 && other.granted - other.settled < k;
  return waits && other.servedAt < part.servedAt;
}

/**
 * The same for places of a concurrent limit: no pace, only places that are free. Answers how many are the node's.
 */
export function givePlaces(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal, tokens: number): number {
  const believed = Math.min(tokens, bucket.belief?.tokens ?? Infinity);
  const shares = fairPlaces(bucket, part, Math.max(1, Math.floor(believed - limit.headroom * tokens)));
  const fair = shares.get(part)!;
  const wanted = Math.min(Math.ceil(renewal.wants), fair) - (part.granted - part.settled);
  // A place that has come back is for those who have waited longer: else the one that gave it has it again at once.
  let ahead = 0;
  for (const [other, share] of shares)
    if (other.servedAt < part.servedAt) ahead += Math.max(0, share - (other.granted - other.settled));
  const given = Math.floor(Math.max(0, Math.min(wanted, available(bucket, limit, tokens) - ahead)));
  part.granted += given;
  if (given > 0) part.servedAt = bucket.at;
  return fair;
}

/**
 * Whole places of each node. The ones that rounding leaves over go round: a node keeps one for a part's time, then it
 * goes to whoever was served longest ago. So with fewer places than nodes each has its turn.
 */
function fairPlaces(bucket: Bucket, part: Part, places: number): Map<Part, number> {
  const { at } = bucket;
  const live = bucket.parts.filter((other) => other === part || (!other.ended && other.until > at));
  const wants = live.map((other) => other.wants);
  const shares = waterFill(places, wants).map((share) => Math.floor(share + 1e-9));
  let left = places - shares.reduce((sum, share) => sum + share, 0);
  // One that holds a place and has had it long enough was served last of all.
  const turns = live.map((one, i) => {
    if (one.granted - one.settled <= shares[i]!) return one.servedAt;
    return at - one.servedAt < FIGURES.part ? -Infinity : at;
  });
  const order = live.map((_, i) => i).sort((a, b) => (turns[a]! < turns[b]! ? -1 : turns[a]! > turns[b]! ? 1 : 0));
  for (const i of order) {
    if (left <= 0) break;
    if (shares[i]! + 1 > Math.ceil(wants[i]!)) continue;
    shares[i]!++;
    left--;
  }
  return new Map(live.map((one, i) => [one, shares[i]!]));
}
