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

export function noticeLoss(
  bucket: Bucket,
  limit: Limit,
  time: { now: number; timeline: string },
  renewal?: Renewal,
): void {
  const other = time.timeline !== bucket.timeline;
  // Without a timeline that tells, a node that knows more than the row does.
  const unknown = renewal ? unknownSpends(bucket, renewal.known) : 0;
  const isLost = other || unknown > 0;
  if (renewal && (isLost || renewal.generation > bucket.closed.generation)) takeClosing(bucket, renewal);
  if (!isLost) return;
  if (other) {
    bucket.timeline = time.timeline;
    // The new machine's clock goes on from where the old one's was. Time that passed unseen only makes tokens come back
    // later.
    bucket.offset = bucket.at - time.now;
  }
  bucket.era = Math.max(bucket.era + 1, Math.floor(time.now), (renewal?.known?.era ?? 0) + 1);
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
  chargeLost(bucket, limit, unknown);
}

/** Tokens that were spent before the node heard of the ledger last, and of which the row knows nothing. */
function unknownSpends(bucket: Bucket, known: Seen | undefined): number {
  if (known === undefined) return 0;
  // The row that it knew is gone: this one is another, or older than an era that it has seen begin.
  if (known.era > bucket.era || known.era < (bucket.madeIn ?? 0)) return Math.max(known.spent, Number.EPSILON);
  return known.era === bucket.era ? Math.max(0, known.spent - bucket.spent) : 0;
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
 */
function chargeLost(bucket: Bucket, limit: Limit, unknown: number): void {
  const tokens = tokensOf(bucket, limit);
  const window = windowOf(bucket, limit);
  if (tokens === undefined || window === undefined || bucket.felt) return;
  if (limit.shape === 'concurrent') {
    // Any place that is free in the rows may be taken.
    spend(bucket, limit, tokens - ownUsed(bucket, limit) - outstanding(bucket), bucket.at + limit.late);
    return;
  }
  const pace = paceOf(bucket, limit, tokens);
  const most = unknown + mostCredit(bucket, limit, tokens, pace) + pace * FIGURES.lostCommits;
  spend(bucket, limit, Math.min(tokens, most), bucket.at + limit.late);
  bucket.credit = 0;
  bucket.creditAt = bucket.at;
}
