/**
 * The time by which a node works: the database's, as well as the node knows it, so that a worker whose own clock is
 * wrong does no harm. Between readings it runs on the monotonic clock; small differences are left
 * alone, since each correction would make every run look late or early.
 */
import { performance } from 'node:perf_hooks';

/** Differences up to this are the network's noise, milliseconds. */
const TOLERANCE_MS = 100;

export class Clock {
  private offset = Date.now() - performance.now();
  private read = false;

  /** Epoch milliseconds, with fractions. */
  now(): number {
    return performance.now() + this.offset;
  }

  /** A time that the machine's clock will show, as this clock will: what a run says of its result goes by that one. */
  ofMachine(epochMs: number): number {
    return epochMs + this.now() - Date.now();
  }

  /** A reading of the database's clock, asked for at `askedAt` (by this clock) and just received. */
  set(databaseMs: number, askedAt: number): void {
    const difference = databaseMs - (askedAt + this.now()) / 2;
    if (this.read && Math.abs(difference) <= TOLERANCE_MS) return;
    this.offset += difference;
    this.read = true;
  }
}
