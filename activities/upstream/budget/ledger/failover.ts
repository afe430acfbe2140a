/**
 * Commits that are lost: by a fail-over (the rows are those of a moment ago, nodes hold parts that the rows do not
 * know, and another machine's clock decides), by a backup that was restored (the rows are older), or with the row
 * itself, which somebody deleted. Nodes know how much was spent before; what is known of a fail-over is enough too: a
 * commit that is lost granted no more than the credit and the pace allowed. Nobody can know where all nodes are
 * new as well. Called by `statement.ts` first of all.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { emptyRing } from './ring';
import { tokensOf, windowOf, type Bucket } from './bucket';
import type { Renewal, Seen } from './messages';
import { outstanding, ownUsed, spend } from './own';
import { mostCredit, paceOf } from './share';

/** Eras of before of which is known how much is counted: nodes that slept through one may still tell. */
const MOST_LOST = 4;

export function noticeLoss(
  bucket: Bucket,
  limit: Limit,
  { now, isOther }: { now: number; isOther: boolean },
  renewal?: Renewal,
): void {
  const known = renewal?.known;
  const unknown = known ? unknownSpends(bucket, known) : 0;
  const isOfBefore = known !== undefined && known.era !== bucket.era;
  if (renewal && (isOther || unknown > 0 || isOfBefore || renewal.generation > bucket.closed.generation))
    takeClosing(bucket, renewal);
  const counted = known && lostIn(bucket, known.era);
  if (isOther || (unknown > 0 && !counted)) beginAnew(bucket, now, known);
  else if (unknown === 0) return;
  if (counted) counted.spent = Math.max(counted.spent, known.spent);
  chargeLost(bucket, limit, unknown, isOther || !counted ? FIGURES.lostCommits : 0);
}

/** Nothing that was said of before is compared with what is said from now on. */
function beginAnew(bucket: Bucket, now: number, known: Seen | undefined): void {
  const { era, spent, madeIn = 0, lost = [] } = bucket;
  const counted = known?.era === era ? Math.max(spent, known.spent) : spent;
  const isOfAnother = known !== undefined && (known.era > era || known.era < madeIn);
  bucket.lost = [...lost, { era, spent: counted }, ...(isOfAnother ? [{ ...known }] : [])].slice(-MOST_LOST);
  bucket.era = Math.max(era + 1, Math.floor(now), (known?.era ?? 0) + 1);
  delete bucket.madeIn;
  bucket.learningUntil = bucket.at + FIGURES.part + FIGURES.grace;
  // Parts of before hold as long as they would have, counted from now.
  for (const part of bucket.parts) if (!part.ended) part.until = bucket.learningUntil;
  // Headers were compared with a count that is gone, and so were others.
  delete bucket.header;
  delete bucket.before;
  delete bucket.othersAt;
  bucket.others = emptyRing(bucket.own.width);
  bucket.told.spent = 0;
}

/** Tokens that were spent before the node heard of the ledger last, and of which the row knows nothing. */
function unknownSpends(bucket: Bucket, known: Seen): number {
  const { era, spent, madeIn = 0 } = bucket;
  if (known.era === era) return Math.max(0, known.spent - spent);
  const counted = lostIn(bucket, known.era);
  if (counted) return Math.max(0, known.spent - counted.spent);
  // The row that it knew is gone: this one is another, or older than an era that it has seen begin.
  return known.era > era || known.era < madeIn ? Math.max(known.spent, Number.EPSILON) : 0;
}

function lostIn({ lost }: Bucket, era: number): Seen | undefined {
  return lost?.find((one) => one.era === era);
}

/**
 * The node knows of a closing, and of openings by hand, that the row has lost. Nodes hear nothing of a generation that
 * is lower than theirs.
 */
function takeClosing({ closed, at }: Bucket, { generation, closedFor }: Renewal): void {
  if (generation < closed.generation) return;
  closed.generation = generation;
  closed.until = Math.max(closed.until, at + closedFor);
}

/**
 * Charges what lost commits may have granted, to nodes that may be lost too. How long ago the last of them
 * was, no clock can say.
 * @param unknown spent besides, as a node knows; when, nobody knows, so it counts as spent now
 * @param seconds of the last commits; 0: those are charged already
 */
function chargeLost(bucket: Bucket, limit: Limit, unknown: number, seconds: number): void {
  const tokens = tokensOf(bucket, limit);
  const window = windowOf(bucket, limit);
  if (tokens === undefined || window === undefined || bucket.felt) return;
  if (limit.shape === 'concurrent') {
    // Any place that is free in the rows may be taken.
    spend(bucket, limit, tokens - ownUsed(bucket, limit) - outstanding(bucket), bucket.at + limit.late);
    return;
  }
  const pace = paceOf(bucket, limit, tokens);
  if (seconds === 0) {
    // No upstream has let more through than there is.
    spend(bucket, limit, Math.min(tokens - ownUsed(bucket, limit), unknown), bucket.at + limit.late);
    return;
  }
  const most = unknown + mostCredit(bucket, limit, tokens, pace) + pace * seconds;
  spend(bucket, limit, Math.min(tokens, most), bucket.at + limit.late);
  bucket.credit = 0;
  bucket.creditAt = bucket.at;
}
