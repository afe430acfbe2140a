/**
 * The time by which a node works: the database's as it was first read, so that a worker whose own clock is wrong does
 * no harm. From there it runs on the monotonic clock and never jumps: due times, time-outs and holds in memory stay
 * what they are when the database's clock is put right, or a failover brings a database whose clock differs. Only what
 * is written to the store, or read from it, is moved by the difference (`toStore`, `fromStore`).
 */
import { performance } from 'node:perf_hooks';

/** Differences up to this are the network's noise, milliseconds. */
const TOLERANCE_MS = 100;

export class Clock {
  private offset = Date.now() - performance.now();
  /** How far the database's clock is ahead of this one. */
  private ahead = 0;
  private read = false;

  /** Epoch milliseconds, with fractions. */
  now(): number {
    return performance.now() + this.offset;
  }

  /** A time that the machine's clock will show, as this clock will: what a run says of its result goes by that one. */
  ofMachine(epochMs: number): number {
    return epochMs + this.now() - Date.now();
  }

  /** A time of this clock, as the database's shows it. */
  toStore(ms: number): number {
    return ms + this.ahead;
  }

  fromStore(ms: number): number {
    return ms - this.ahead;
  }

  /**
   * A reading of the database's clock, asked for at `askedAt` (by this clock) and just received. The first one sets the
   * clock; read it before anything has a due time. A later one counts only where it cannot be right: outside of the
   * time between question and answer. However long that was (a collection of garbage, user code that does not yield),
   * it does not bend the clock.
   */
  set(databaseMs: number, askedAt: number): void {
    const answeredAt = this.now();
    if (!this.read) {
      this.read = true;
      this.offset += databaseMs - (askedAt + answeredAt) / 2;
      return;
    }
    const early = this.toStore(askedAt) - TOLERANCE_MS;
    const late = this.toStore(answeredAt) + TOLERANCE_MS;
    if (databaseMs < early || databaseMs > late) this.ahead = databaseMs - (askedAt + answeredAt) / 2;
  }
}
