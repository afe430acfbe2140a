/**
 * How long a node takes a bucket for closed: by refusals of its own at once, then by the ledger's word, which comes as
 * the answer to what it told, by NOTIFY, or with a grant, and may be older than what it knows. Kept by `account.ts`;
 * moments are of the node's monotonic clock.
 */
import { boundedClosing, type Refusal } from './ledger/closing';

/** A request that was refused. */
interface Sent {
  generation: number;
  sentAt: number;
}

export class Closed {
  until = -Infinity;
  /** Raised by whoever opens the bucket by hand. */
  generation = 0;
  /** When the last request that closed it was sent. */
  private by = -Infinity;
  /** When a closing or an opening was heard last. */
  private heardAt = -Infinity;
  /** Refusals that the ledger has not confirmed. */
  private untold = 0;
  /** The ledger could not be told: it holds here all the same. */
  private untoldUntil = -Infinity;

  /**
   * Closes it; answers what the ledger is told. Undefined: an answer to an older request, or one of before an opening.
   */
  close(
    { generation, sentAt }: Sent,
    forSeconds: number,
    { window, longest }: { window: number | undefined; longest?: number | undefined },
    now: number,
  ): Refusal | undefined {
    if (generation < this.generation || sentAt < this.by) return undefined;
    this.by = sentAt;
    this.heardAt = now;
    this.until = now + boundedClosing(forSeconds, window, longest);
    this.untold++;
    return { for: forSeconds, sentAgo: now - sentAt, answeredAgo: 0, generation };
  }

  /** The ledger's word. `told`: the answer to a refusal of ours. `asOf`: said no earlier than this moment. */
  hear(closedFor: number, generation: number, told: boolean, asOf: number, now: number): void {
    if (told) this.untold = Math.max(0, this.untold - 1);
    if (generation < this.generation) return;
    const isNew = generation > this.generation;
    if (isNew) this.untoldUntil = -Infinity;
    // We may know more than the ledger did: the longer one holds.
    const isAhead = !isNew && (this.untold > 0 || asOf < this.heardAt);
    this.until = Math.max(now + closedFor, this.untoldUntil, isAhead ? this.until : -Infinity);
    this.generation = generation;
    this.heardAt = Math.max(this.heardAt, asOf);
  }

  /** The statement that was to tell the ledger failed. */
  notTold(): void {
    this.untold = Math.max(0, this.untold - 1);
    this.untoldUntil = this.until;
  }
}
