/**
 * A fail-over that lost the last commits: the rows are those of a moment ago, nodes hold parts that the rows do not
 * know, and another machine's clock decides. Enough is known to stay below the limit: a commit that is lost
 * granted no more than the credit and the pace allowed. Called by `statement.ts` first of all.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { emptyRing } from './ring';
import { tokensOf, windowOf, type Bucket } from './bucket';
import type { Renewal } from './messages';
import { outstanding, ownUsed, spend } from './own';
import { mostCredit, paceOf } from './share';

export function noticeLoss(
  bucket: Bucket,
  limit: Limit,
  time: { now: number; timeline: string },
  renewal?: Renewal,
): void {
  const other = time.timeline !== bucket.timeline;
  // Without a timeline that tells, a node that knows more than the row does.
  const knowsMore = renewal?.known?.era === bucket.era && renewal.known.spent > bucket.spent;
  if (!other && !knowsMore) return;
  if (other) {
    bucket.timeline = time.timeline;
    // The new machine's clock goes on from where the old one's was. Time that passed unseen only makes tokens come back
    // later.
    bucket.offset = bucket.at - time.now;
  }
  bucket.era = Math.max(bucket.era + 1, Math.floor(time.now));
  bucket.learningUntil = bucket.at + FIGURES.part + FIGURES.grace;
  // Parts of before hold as long as they would have, counted from now.
  for (const part of bucket.parts) if (!part.ended) part.until = bucket.learningUntil;
  // Headers were compared with a count that is gone, and so were others.
  delete bucket.header;
  delete bucket.before;
  delete bucket.othersAt;
  bucket.others = emptyRing(bucket.own.width);
  bucket.told.spent = 0;
  chargeLost(bucket, limit);
}

/**
 * Charges what lost commits may have granted, to nodes that may be lost too. How long ago the last of them
 * was, no clock can say.
 */
function chargeLost(bucket: Bucket, limit: Limit): void {
  const tokens = tokensOf(bucket, limit);
  const window = windowOf(bucket, limit);
  if (tokens === undefined || window === undefined || bucket.felt) return;
  if (limit.shape === 'concurrent') {
    // Any place that is free in the rows may be taken.
    spend(bucket, limit, tokens - ownUsed(bucket, limit) - outstanding(bucket), bucket.at + limit.late);
    return;
  }
  const pace = paceOf(bucket, limit, tokens);
  const most = mostCredit(bucket, limit, tokens, pace) + pace * FIGURES.lostCommits;
  spend(bucket, limit, Math.min(tokens, most), bucket.at + limit.late);
  bucket.credit = 0;
  bucket.creditAt = bucket.at;
}
