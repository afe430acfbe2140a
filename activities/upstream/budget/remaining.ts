/** The rest of a ledger's bucket, reckoned on to now by the ledger's own code. For people and for the history. */
import type { LockedRow } from '../store/budget';
import { bucketOf } from '../store/bucket-row';
import { tokensOf } from './ledger/bucket';
import { available } from './ledger/share';
import { advance } from './ledger/statement';
import { limitOf, type Shape } from './limit';

/** Null: nobody knows yet. */
export function remainingOf(row: LockedRow): { tokens: number | null; remaining: number | null } {
  const bucket = bucketOf(row);
  // As far as the row has it: what headers told is in the bucket itself.
  const rule = limitOf({ shape: row.shape as Shape, tokens: row.tokens ?? undefined, window: row.window ?? undefined });
  advance(bucket, rule, { now: row.now, timeline: bucket.timeline });
  const tokens = tokensOf(bucket, rule);
  if (tokens === undefined) return { tokens: null, remaining: null };
  return { tokens, remaining: Math.max(0, available(bucket, rule, tokens)) };
}
