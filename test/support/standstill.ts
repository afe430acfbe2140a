/**
 * How long this process was not allowed to run: what it does or hears late after such a moment is not late by itself.
 * Used by the stopwatch of tests, and by the upstream of `eve --nodes`, which lives on the machine of the nodes.
 */

/** Milliseconds. */
interface Looks {
  /** So often it looks whether the process runs. */
  everyMs: number;
  /** A longer time between two looks is the machine's. */
  mostMs: number;
}

export class Standstill {
  private stoodMs = 0;
  private last = performance.now();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly looks: Looks) {}

  start(): void {
    this.last = performance.now();
    this.timer = setInterval(() => this.look(), this.looks.everyMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Since the start, milliseconds. */
  look(): number {
    const now = performance.now();
    this.stoodMs += Math.max(0, now - this.last - this.looks.mostMs);
    this.last = now;
    return this.stoodMs;
  }
}
