/**
 * The shared account of one bucket: a renewal in, a grant out. Whatever is granted, this holds at each commit:
 *
 *     spent and not back + margin for others + Σ open parts ≤ tokens · (1 − headroom)
 *     what the upstream counts of ours ≤ spent and not back + Σ open parts
 *
 * **How it becomes SQL.** The function runs in the node, inside the transaction that has read the rows `for update`:
 * one statement reads the rows of all keys that the node spent from in the last second, locked in key order, this
 * computes, one statement writes them. Not in PL/pgSQL: the same code runs in the simulated world
 * (`test/upstream/budget`), where thousands of histories of faults pass through it, and a release changes it without a
 * migration. The lock is held for one more round trip, a millisecond or two for each node and second. `now` is
 * `extract(epoch from clock_timestamp())` read after the locks were taken, `timeline` the first eight letters of
 * `pg_walfile_name(pg_current_wal_lsn())`.
 *
 * It changes the bucket that it is handed, and nothing else. Called by the node's renewal; the grant goes to
 * `account.ts`.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { fitRings, tidy, tokensOf, type Bucket, type Part } from './bucket';
import { goOn, type LedgerTime } from './clock';
import { closedFor } from './closing';
import { noticeLoss } from './failover';
import { forgetHeader, hear, noteFlight } from './header';
import { correctBelief, feel, giveOne, isUnknown, noteMute, stopFeeling } from './learn';
import { checkRenewal, type Grant, type Renewal } from './messages';
import { leak } from './own';
import { endParts, partOf, refund, settle } from './parts';
import { available, give, givePlaces, mayAsk, quantum } from './share';

export function renew(bucket: Bucket, limit: Limit, renewal: Renewal, time: LedgerTime): Grant {
  checkRenewal(renewal);
  const before = advance(bucket, limit, time, renewal);
  const part = partOf(bucket, renewal);
  if (part === 'stale' || part === 'ended') {
    // A part that is over still hands in what others of its node really spent.
    refund(bucket, limit, renewal);
    return { kind: part };
  }
  noteFlight(bucket, renewal);
  settle(bucket, limit, part, renewal);
  endParts(bucket, limit, part);
  refund(bucket, limit, renewal);
  hear(bucket, limit, renewal.header);
  stopFeeling(bucket, limit);
  noteMute(bucket, limit, part, renewal);
  part.wants = renewal.wants;
  part.until = bucket.at + FIGURES.part;

  const unknown = isUnknown(bucket, limit);
  const rate = unknown ? cold(bucket, limit, part, renewal) : known(bucket, limit, part, renewal, before);
  part.at = bucket.at;
  return {
    kind: 'granted',
    granted: part.granted,
    lasts: FIGURES.part,
    seen: { era: bucket.era, spent: bucket.spent },
    at: bucket.at,
    lag: bucket.lag ?? 0,
    rate,
    reserve: quantum(limit, bucket.felt || unknown ? Infinity : tokensOf(bucket, limit)!),
    closedFor: closedFor(bucket),
    generation: bucket.closed.generation,
    unknown,
  };
}

/**
 * The bucket's time goes on, never back; answers what it was. Also called before a bucket is closed, opened or shown.
 */
export function advance(bucket: Bucket, limit: Limit, time: LedgerTime, renewal?: Renewal): number {
  const before = bucket.at;
  const isOther = goOn(bucket, limit, time);
  fitRings(bucket, limit);
  leak(bucket, limit, before);
  noticeLoss(bucket, limit, { now: time.now, isOther }, renewal);
  tidy(bucket, limit);
  return before;
}

function cold(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal): number {
  giveOne(bucket, limit, part, renewal);
  return 0;
}

function known(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal, before: number): number {
  if (bucket.felt) {
    feel(bucket, limit, before, renewal.refused);
    return give(bucket, limit, part, renewal, Infinity, Infinity);
  }
  const tokens = tokensOf(bucket, limit)!;
  correctBelief(bucket, limit, tokens, renewal.refused);
  if (limit.shape === 'concurrent') return givePlaces(bucket, limit, part, renewal, tokens);
  forgetHeader(bucket, limit);
  // Nobody may send for a while, nor ask: who is given something now would send it by what is known now.
  const isClosed = closedFor(bucket) > FIGURES.renewal;
  let left = isClosed ? 0 : available(bucket, limit, tokens);
  if (!isClosed && mayAsk(bucket, limit, tokens, left, renewal.wants)) {
    const k = quantum(limit, tokens);
    left = Math.max(left, k);
    bucket.credit = Math.max(bucket.credit, k);
  }
  return give(bucket, limit, part, renewal, tokens, left);
}
