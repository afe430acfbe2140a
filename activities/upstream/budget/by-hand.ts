/**
 * Buckets closed and opened by a person: the row is changed, and every node is told with the commit. Called by `budget
 * close` and `budget open`, in a transaction that notes the command too.
 */
import type { Queryable } from '../../lib/database';
import { bucketOf, rowOf, type BucketName, type BucketRow } from '../store/bucket-row';
import { lockBuckets, notifyClosings, writeBuckets } from '../store/budget';
import type { Bucket } from './ledger/bucket';
import { open } from './ledger/closing';
import { advance } from './ledger/statement';
import { limitOf, type Limit, type Shape } from './limit';
import { payloadsOf } from './node/closings';

/**
 * Nobody sends for them until then, whatever upstreams say meanwhile.
 * @param seconds from now on
 * @returns those that there are
 */
export function closeByHand(
  db: Queryable,
  names: readonly BucketName[],
  seconds: number,
  reason: string,
): Promise<BucketRow[]> {
  return change(db, names, reason, (bucket, at) => {
    // Answers to what was sent before may yet come, and say nothing of this.
    bucket.closed.generation++;
    bucket.closed.until = at + Math.max(0, seconds);
  });
}

/** They are open, whatever an answer to a request of before says. @returns those that there are */
export function openByHand(db: Queryable, names: readonly BucketName[]): Promise<BucketRow[]> {
  return change(db, names, null, open);
}

async function change(
  db: Queryable,
  names: readonly BucketName[],
  reason: string | null,
  how: (bucket: Bucket, at: number) => void,
): Promise<BucketRow[]> {
  const changed: BucketRow[] = [];
  const news: { bucket: Bucket; of: { name: BucketName } }[] = [];
  for (const row of await lockBuckets(db, names)) {
    const bucket = bucketOf(row);
    const rule = ruleOf(row);
    // Its time is left to nodes, who know how much has passed: here the database's clock has no witness.
    if (row.timeline !== bucket.timeline) advance(bucket, rule, row);
    how(bucket, Math.max(bucket.at, row.now + bucket.offset));
    const { upstream, limit, key } = row;
    const name = { upstream, limit, key };
    changed.push({ ...rowOf(name, bucket, rule, reason), tokens: row.tokens, window: row.window });
    news.push({ bucket, of: { name } });
  }
  await writeBuckets(db, changed);
  await notifyClosings(db, payloadsOf(news));
  return changed;
}

/** As far as the row has it, which is enough to turn the bucket's time on. */
function ruleOf({ shape, tokens, window }: BucketRow): Limit {
  return limitOf({ shape: shape as Shape, tokens: tokens ?? undefined, window: window ?? undefined });
}
