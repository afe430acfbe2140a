/**
 * How long this process was not allowed to run. The upstream lives on the machine of the nodes: a request that it hears
 * late after such a moment was not sent late. Owned by `beats.ts`.
 */

/** So often it looks whether the process runs. */
const LOOK_MS = 25;
/** A longer time between two looks is the machine's. */
const MOST_MS = 100;

export class Standstill {
  private stoodMs = 0;
  private last = performance.now();
  private timer: NodeJS.Timeout | undefined;

  start(): void {
    this.last = performance.now();
    this.timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Since the start, milliseconds. */
  look(): number {
    const now = performance.now();
    this.stoodMs += Math.max(0, now - this.last - MOST_MS);
    this.last = now;
    return this.stoodMs;
  }
}
