/**
 * A bucket as a row of `longwatch.budget`, and back. The rings are arrays, what people ask for has columns of its own,
 * and all else is one piece of JSON. Called by `budget.ts` beside this file.
 */
import type { Bucket, Part } from '../budget/ledger/bucket';
import { tokensOf, windowOf } from '../budget/ledger/bucket';
import { FIGURES } from '../budget/figures';
import type { Limit } from '../budget/limit';

/** The name of a bucket, with the stored key: a hash where the key is a secret. */
export interface BucketName {
  upstream: string;
  limit: string;
  key: string;
}

/** Columns as they are read and written; times of the database are epoch seconds. */
export interface BucketRow extends BucketName {
  shape: string;
  tokens: number | null;
  window: number | null;
  at: number;
  spent: number;
  width: number;
  ownFirst: number;
  own: number[];
  othersFirst: number;
  others: number[];
  parts: Part[];
  state: BucketState;
  closedUntil: number | null;
  generation: number;
  closedReason: string | null;
  keepUntil: number;
}

type BucketState = Omit<Bucket, 'at' | 'spent' | 'own' | 'others' | 'parts' | 'closed'> & { closedSentAt: number };

/** Parts that have ended and are remembered; of more of them the oldest stay charged as they are. */
const MOST_ENDED = 100;
/** Refusals have taught something: it is kept for so long after the last use, seconds. */
const LEAST_KEPT = 86_400;
const HOUR = 3_600;

export function rowOf(name: BucketName, bucket: Bucket, limit: Limit, closedReason: string | null): BucketRow {
  const { at, spent, own, others, parts, closed, ...state } = bucket;
  const window = windowOf(bucket, limit);
  const kept = Math.max(LEAST_KEPT, 2 * (window ?? FIGURES.unknownWindow)) + HOUR;
  const isClosed = closed.until > at;
  const now = at - bucket.offset;
  return {
    ...name,
    shape: limit.shape,
    tokens: tokensOf(bucket, limit) ?? null,
    window: window ?? null,
    at,
    spent,
    width: own.width,
    ownFirst: own.first,
    own: own.tokens,
    othersFirst: others.first,
    others: others.tokens,
    parts: remembered(parts),
    state: { ...state, closedSentAt: closed.sentAt },
    closedUntil: isClosed ? closed.until - bucket.offset : null,
    generation: closed.generation,
    closedReason: isClosed ? closedReason : null,
    keepUntil: Math.ceil(Math.max(now + kept, closed.until - bucket.offset) / HOUR) * HOUR,
  };
}

export function bucketOf(row: BucketRow): Bucket {
  const { at, spent, width, ownFirst, own, othersFirst, others, parts } = row;
  const { closedSentAt, ...state } = row.state;
  const until = row.closedUntil === null ? 0 : row.closedUntil + state.offset;
  return {
    ...state,
    at,
    spent,
    own: { width, first: ownFirst, tokens: own },
    others: { width, first: othersFirst, tokens: others },
    parts,
    closed: { until, sentAt: closedSentAt, generation: row.generation },
  };
}

function remembered(parts: Part[]): Part[] {
  const ended = parts.filter((part) => part.ended);
  if (ended.length <= MOST_ENDED) return parts;
  const forgotten = new Set(ended.slice(0, ended.length - MOST_ENDED));
  return parts.filter((part) => !forgotten.has(part));
}
