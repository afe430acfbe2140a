/** Rows of the ledger as nodes write them: an upstream, and buckets that somebody has spent from. */
import type { Queryable } from '../../activities/lib/database';
import { newBucket } from '../../activities/upstream/budget/ledger/bucket';
import { spend } from '../../activities/upstream/budget/ledger/own';
import { limitOf } from '../../activities/upstream/budget/limit';
import { rowOf } from '../../activities/upstream/store/bucket-row';
import { makeBuckets, readTime } from '../../activities/upstream/store/budget';

export interface SpentBucket {
  upstream: string;
  limit: string;
  key: string;
  tokens?: number;
  /** Seconds. */
  window?: number;
  spent: number;
  parts?: { node: string; wants: number; granted: number; settled: number }[];
}

export async function writeBuckets(db: Queryable, buckets: readonly SpentBucket[]): Promise<void> {
  const { now, timeline } = await readTime(db);
  const rows = buckets.map(({ upstream, limit, key, tokens, window, spent, parts = [] }) => {
    const rule = limitOf({ tokens, window });
    const bucket = newBucket(rule, now, timeline);
    spend(bucket, rule, spent);
    bucket.parts = parts.map((part) => ({
      ...part,
      epoch: 1,
      seq: 1,
      late: 0,
      until: now + 3_600,
      at: now,
      servedAt: now,
      deficit: 0,
      mute: 0,
    }));
    return rowOf({ upstream, limit, key }, bucket, rule, null);
  });
  await makeBuckets(db, rows);
}
