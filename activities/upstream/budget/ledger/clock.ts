/**
 * The time of a bucket: the database's, as far as it can be right. A node that heard of the bucket before knows by its
 * monotonic clock how much time has passed since: a database's clock that is set forward (or another machine's that is
 * ahead) brings no token back early, and one that is set back keeps none for longer. Called by `statement.ts` before
 * anything else.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import type { Bucket } from './bucket';

export interface LedgerTime {
  /** Epoch seconds of the database. */
  now: number;
  timeline: string;
  /** By the node that asks; undefined: it has not heard of the bucket before. */
  reckoned?: Reckoned | undefined;
}

/** The bucket's time as a node heard it last, and with it the time that has passed since by its monotonic clock. */
export interface Reckoned {
  /** In another era it was another row. */
  era: number;
  least: number;
  most: number;
  /** The bucket's `lag` when it was heard. */
  lag?: number;
  /** Its clocks disagree since: its machine may have been suspended, and more time have passed than it knows of. */
  isDoubtful?: boolean;
}

/**
 * The bucket's time goes on, never back.
 * @returns whether it is another machine's that does not know the last commits
 */
export function goOn(bucket: Bucket, limit: Limit, { now, timeline, reckoned }: LedgerTime): boolean {
  const isOther = timeline !== bucket.timeline;
  if (isOther) {
    bucket.timeline = timeline;
    // The new machine's clock goes on from where the old one's was, and is believed but for some minutes. They only
    // make tokens come back later.
    bucket.offset = Math.max(bucket.at - now, bucket.offset - FIGURES.machinesDiffer);
  }
  // A calendar's windows are those of the database's own clock.
  if (reckoned?.era === bucket.era && !limit.windowStart) {
    const at = now + bucket.offset;
    const { lag = 0 } = bucket;
    // The bucket has missed so much of the time that has passed for this node.
    const missed = Math.max(0, lag - (reckoned.lag ?? lag));
    const [least, most] = [reckoned.least - missed, reckoned.most - missed];
    // Others may have seen more of it than this node did, whose machine may have been suspended.
    const bounded = Math.min(Math.max(at, least), Math.max(most, bucket.at));
    bucket.offset += bounded - at;
    // Time that the bucket has missed stays missed: what is spent from now on is as young as its slot says.
    if (reckoned.isDoubtful && bounded < at) bucket.lag = lag + at - bounded;
  }
  bucket.at = Math.max(bucket.at, now + bucket.offset);
  return isOther;
}
