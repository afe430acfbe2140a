/**
 * For how long the store has refused what a shift has to write. Kept by `pool-shift.ts`; moments are monotonic
 * milliseconds.
 */

/**
 * Written alone and refused, a shift is tried again this much later, so that it does not keep the others waiting.
 * Milliseconds.
 */
const RETRY_ALONE_MS = 1_000;

export class Refusals {
  /** Written alone, and not before this: it has failed so just now. */
  notBefore = 0;
  private since: number | undefined;
  private count = 0;

  /** A flush that began then could not write for this shift. A shift that was never tried is not refused. */
  note(at: number): void {
    this.since ??= at;
    this.count++;
    this.notBefore = at + RETRY_ALONE_MS;
  }

  clear(): void {
    this.since = undefined;
    this.count = 0;
    this.notBefore = 0;
  }

  /**
   * For how long nothing could be written, milliseconds. One refusal says nothing of how long: the flush may have stood
   * still, with the whole process, until PostgreSQL ended it.
   */
  lastedFor(now: number): number {
    return this.since === undefined || this.count < 2 ? 0 : now - this.since;
  }
}
