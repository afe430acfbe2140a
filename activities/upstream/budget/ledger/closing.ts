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

/** A person's last word on all keys of a limit. */
export interface LimitWord {
  /** Rises with each: a bucket follows each once. */
  serial: number;
  /** Seconds from now; 0: open. */
  closedFor: number;
  reason: string | null;
}

/**
 * A bucket follows what was said of its whole limit, once: what was said of the bucket itself since is newer.
 * @returns whether it is closed by that now
 */
export function followLimit(bucket: Bucket, word: LimitWord | null, now: number): boolean {
  if (word === null || word.serial <= (bucket.limitSerial ?? 0)) return false;
  bucket.limitSerial = word.serial;
  if (word.closedFor > 0) {
    closeUntil(bucket, Math.max(bucket.at, now + bucket.offset) + word.closedFor);
    bucket.limitGeneration = bucket.closed.generation;
    return true;
  }
  // `budget open` had passed by when its row was made, and closed, by the word of before.
  if (bucket.limitGeneration === bucket.closed.generation) open(bucket);
  return false;
}

/** By hand: answers to what was sent before may yet come, and say nothing of this. */
export function closeUntil(bucket: Bucket, until: number): void {
  bucket.closed.generation++;
  bucket.closed.until = until;
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
