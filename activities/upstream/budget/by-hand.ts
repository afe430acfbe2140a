/**
 * Buckets closed and opened by a person: the row is changed, and every node is told with the commit. Called by `budget
 * close` and `budget open`: of one key in the transaction that notes the command, of a whole limit in portions.
 */
import type { Queryable } from '../../lib/database';
import { bucketOf, rowOf, type BucketName, type BucketRow } from '../store/bucket-row';
import { lockBuckets, notifyClosings, writeBuckets, type LockedRow } from '../store/budget';
import type { Bucket } from './ledger/bucket';
import { closeUntil, followLimit, open } from './ledger/closing';
import { advance } from './ledger/statement';
import { limitOf, type Limit, type Shape } from './limit';
import { limitPayload, payloadsOf } from './node/closings';
import { closeLimit, openLimit, type LimitName } from '../store/limit-closings';

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
  return change(db, names, (bucket, row) => {
    follow(bucket, row);
    closeUntil(bucket, Math.max(bucket.at, row.now + bucket.offset) + Math.max(0, seconds));
    return reason;
  });
}

/** They are open, whatever an answer to a request of before says. @returns those that there are */
export function openByHand(db: Queryable, names: readonly BucketName[]): Promise<BucketRow[]> {
  return change(db, names, (bucket, row) => {
    follow(bucket, row);
    open(bucket);
    return null;
  });
}

/**
 * All keys of a limit, those that come later and members' own too. Rows that there are follow when a node uses them, or
 * with `closeFollowing`.
 */
export async function closeWhole(db: Queryable, limit: LimitName, seconds: number, reason: string): Promise<void> {
  await notifyClosings(db, [limitPayload(await closeLimit(db, limit, seconds, reason))]);
}

/**
 * Rows that have not followed the closing of their limit do now. One that has, and was opened by itself since, stays
 * open. @returns those that were closed
 */
export function closeFollowing(db: Queryable, names: readonly BucketName[]): Promise<BucketRow[]> {
  return change(db, names, (bucket, row) => (follow(bucket, row) ? row.limitClosing!.reason : undefined));
}

/**
 * The other way: rows that there are come first, by `openByHand`, for an upstream may have closed them. Whatever closed
 * a member's own bucket closes it no more either.
 */
export async function openWhole(db: Queryable, limit: LimitName): Promise<void> {
  await notifyClosings(db, [limitPayload(await openLimit(db, limit))]);
}

/** All that was said of its whole limit by now is older than what is said of the bucket itself. */
const follow = (bucket: Bucket, row: LockedRow): boolean => followLimit(bucket, row.limitClosing, row.now);

/** @param how answers why it is closed now; null: it is open; undefined: it stays as it is */
async function change(
  db: Queryable,
  names: readonly BucketName[],
  how: (bucket: Bucket, row: LockedRow) => string | null | undefined,
): Promise<BucketRow[]> {
  const changed: BucketRow[] = [];
  const news: { bucket: Bucket; of: { name: BucketName } }[] = [];
  for (const row of await lockBuckets(db, names)) {
    const bucket = bucketOf(row);
    const rule = ruleOf(row);
    // Its time is left to nodes, who know how much has passed: here the database's clock has no witness.
    if (row.timeline !== bucket.timeline) advance(bucket, rule, row);
    const reason = how(bucket, row);
    if (reason === undefined) continue;
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
