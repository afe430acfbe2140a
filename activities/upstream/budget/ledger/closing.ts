/**
 * Closed until: an upstream refused, and nobody sends for a bucket before its time. Called by the statement that
 * reports a refusal (its NOTIFY tells every node), and by `budget close` and `budget open`.
 */
import { FIGURES } from '../figures';
import type { Limit } from '../limit';
import { windowOf, type Bucket } from './bucket';

export interface Refusal {
  /** Seconds from the answer on. */
  for: number;
  /** How long ago the request was sent, and the answer came: durations, for clocks differ. */
  sentAgo: number;
  answeredAgo: number;
  /** The generation that the node knew when it sent. */
  generation: number;
}

/** Closes a bucket; answers whether that changed when it opens. */
export function close(bucket: Bucket, limit: Limit, refusal: Refusal): boolean {
  const { closed, at } = bucket;
  // Sent before somebody opened it by hand, or before a request whose answer is known: it says nothing new.
  if (refusal.generation < closed.generation) return false;
  const sentAt = at - Math.max(0, refusal.sentAgo);
  if (sentAt < closed.sentAt) return false;
  const before = closed.until;
  closed.sentAt = sentAt;
  const most = boundedClosing(refusal.for, windowOf(bucket, limit), limit.longestClosing);
  closed.until = at + Math.max(0, most - Math.max(0, refusal.answeredAgo));
  return closed.until !== before;
}

/** By hand: what was sent before closes it no more. */
export function open(bucket: Bucket): void {
  bucket.closed.generation++;
  bucket.closed.until = 0;
  delete bucket.belief;
}

export function closedFor(bucket: Bucket): number {
  return Math.max(0, bucket.closed.until - bucket.at);
}

/**
 * Seconds: no bucket is closed for longer, whatever an upstream says, for a year would hold for ever. Anything but a
 * number means the usual hold.
 */
export function boundedClosing(seconds: number, window: number | undefined, longest?: number): number {
  const most = longest ?? Math.max(FIGURES.closedWindows * (window ?? 0), FIGURES.closedLeast);
  return Math.min(Number.isNaN(seconds) ? FIGURES.closedUsual : Math.max(0, seconds), most);
}
