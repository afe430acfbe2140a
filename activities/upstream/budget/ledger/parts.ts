/**
 * The parts that nodes have of a bucket: what one tells of its own (step 1 of the statement) and what becomes of those
 * that were not renewed (step 2). An ended part counts as spent, and as spent late: its node may be frozen and send
 * when it wakes up.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import type { Bucket, Part } from './bucket';
import type { Renewal } from './messages';
import { spend } from './own';
import { charge } from './ring';

/** The part that a message speaks of, new where nothing is known of it; or why it is not heard. */
export function partOf(bucket: Bucket, renewal: Renewal): Part | 'stale' | 'ended' {
  const found = bucket.parts.find((part) => part.node === renewal.node && part.epoch === renewal.epoch);
  if (found?.ended) return 'ended';
  if (found && renewal.seq <= found.seq) return 'stale';
  if (found) return found;
  const { node, epoch } = renewal;
  const { at } = bucket;
  // Its part before has ended, as the node knows: it wants nothing more.
  for (const before of bucket.parts) if (before.node === node) before.wants = 0;
  const part: Part = {
    node,
    epoch,
    seq: 0,
    granted: 0,
    settled: 0,
    late: 0,
    until: at,
    at,
    wants: 0,
    servedAt: at,
    deficit: 0,
    mute: 0,
  };
  bucket.parts.push(part);
  return part;
}

/** Step 1: what it spent goes into the account, what it gives back lowers its grant. */
export function settle(bucket: Bucket, limit: Limit, part: Part, renewal: Renewal): void {
  part.seq = renewal.seq;
  // The rest was told before: it is in the row, or `failover.ts` has charged it.
  const settled = Math.max(0, renewal.settled - Math.max(part.settled, renewal.reported));
  const late = Math.min(settled, Math.max(0, renewal.late - part.late));
  spend(bucket, limit, settled - late);
  spend(bucket, limit, late, bucket.at + limit.late);
  part.settled = Math.max(part.settled, renewal.settled);
  part.late = Math.max(part.late, renewal.late);

  const floor = Math.max(renewal.floor, part.settled);
  const back = part.granted - floor;
  if (back > 0) {
    // While commits may be lost, what this node gave back before may be another one's by now.
    if (bucket.at < bucket.learningUntil) spend(bucket, limit, back, bucket.at + limit.late);
    else {
      bucket.credit += back;
      part.deficit += back;
    }
  }
  // Above what the row knows: the ledger has lost a commit, and the node has what it says.
  part.granted = floor;
}

/** Step 2: parts that outlived their time, of this node's earlier lives too. */
export function endParts(bucket: Bucket, limit: Limit, mine: Part): void {
  const { at } = bucket;
  for (const part of bucket.parts) {
    if (part !== mine && part.until + FIGURES.grace <= at) end(bucket, limit, part);
  }
}

function end(bucket: Bucket, limit: Limit, part: Part): void {
  if (part.ended) return;
  const { at } = bucket;
  const unspent = part.granted - part.settled;
  spend(bucket, limit, unspent, at + limit.late);
  part.ended = { at, chargedAt: at + limit.late, unspent };
  part.settled = part.granted;
}

/**
 * A node tells what a part really spent that has ended, all of its requests being answered: the rest is taken out of
 * the account, and what its answers cost beyond its grant is counted.
 */
export function refund(bucket: Bucket, limit: Limit, renewal: Renewal): void {
  for (const { epoch, settled } of renewal.ended) {
    const part = bucket.parts.find((known) => known.node === renewal.node && known.epoch === epoch);
    if (!part) continue;
    // The node knows sooner than the ledger that it is over.
    end(bucket, limit, part);
    if (settled > part.granted) {
      spend(bucket, limit, settled - part.granted);
      part.granted = part.settled = settled;
    }
    const { chargedAt, unspent } = part.ended!;
    if (unspent === 0 || (limit.shape === 'leaky' && chargedAt <= bucket.at)) continue;
    // `spent` stays: a header that was compared with it knows nothing of this.
    charge(bucket.own, chargedAt, -Math.max(0, Math.min(part.granted - settled, unspent)));
    part.ended!.unspent = 0;
  }
}
