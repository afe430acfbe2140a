/**
 * How a shift whose time is up ends without throwing runs away. An operation with a run that takes long starts no other
 * one; the rest of the pool goes on meanwhile, for a run may last an hour and its members must not wait for it. When
 * the long ones have ended or timed out, everything stands still for the moment that the short ones need. The shift
 * still holds the fence and flushes. Stepped by `keep.ts`; knows no timer.
 */
import type { PoolShift } from './pool-shift';

/** A run that takes longer is a long one, milliseconds. Nothing starts for so long when a pool is handed over. */
export const SHORT_RUN_MS = 100;

export class WindDown {
  private stillSince: number | undefined;

  /** @param until then it is over, whatever runs: milliseconds by the node's clock */
  constructor(
    private readonly shift: PoolShift,
    private until: number,
  ) {}

  /** It is over by then, if not sooner. */
  atMost(until: number): void {
    this.until = Math.min(this.until, until);
  }

  /** Every few milliseconds. True when the pool may be handed over. */
  step(now: number): boolean {
    const { shift } = this;
    const loops = [...shift.loops.values()];
    if (now >= this.until) return true;
    if (this.stillSince !== undefined) {
      if (shift.inFlight === 0) return true;
      if (now - this.stillSince < SHORT_RUN_MS) return false;
      // One that was short until now is not: the others go on, and wait for it.
      for (const loop of loops) if (loop.inFlightCount > 0) loop.stop(now);
      this.stillSince = undefined;
      shift.standStill(false, now);
      return false;
    }
    for (const loop of loops) if (loop.oldestStart <= now - SHORT_RUN_MS) loop.stop(now);
    if (loops.some((loop) => loop.isStopped && loop.inFlightCount > 0)) return false;
    this.stillSince = now;
    shift.standStill(true, now);
    return shift.inFlight === 0;
  }

  /** The shift does not end now: all of it goes on. */
  callOff(now: number): void {
    const { shift } = this;
    if (shift.isOver) return;
    for (const loop of shift.loops.values()) loop.stop(now, false);
    shift.standStill(false, now);
  }
}
