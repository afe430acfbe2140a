/**
 * The runs of an operation that are under way, in the order of their starts, and when each times out (`operation.ts`).
 */
import type { Run } from './run';

/** A thread that has not begun an isolated run after this long never will: its config does not load. Milliseconds. */
export const THREAD_START_MS = 60_000;

export class InFlight {
  private readonly runs = new Set<Run>();
  private isolated = 0;

  get size(): number {
    return this.runs.size;
  }

  /** The one that began first. */
  get oldest(): Run | undefined {
    return this.runs.values().next().value;
  }

  /** All of them; one may be deleted meanwhile. */
  [Symbol.iterator](): IterableIterator<Run> {
    return this.runs.values();
  }

  add(run: Run): void {
    this.runs.add(run);
    if (run.isolated) this.isolated++;
  }

  delete(run: Run): void {
    if (this.runs.delete(run) && run.isolated) this.isolated--;
  }

  /** When the first of them times out; Infinity: none is under way. */
  timesOutAt(timeoutMs: number): number {
    let first = Infinity;
    for (const run of this.runs) {
      first = Math.min(first, expiryOf(run, timeoutMs));
      if (this.isolated === 0) break;
    }
    return first;
  }

  /** The runs that have lasted longer than the time-out; each may be deleted before the next is asked for. */
  *expired(now: number, timeoutMs: number): Generator<Run> {
    for (const run of this.runs) {
      if (expiryOf(run, timeoutMs) <= now) yield run;
      else if (this.isolated === 0) return;
    }
  }
}

/** The time-out of an isolated run begins with its code, not with the thread that loads it. */
function expiryOf(run: Run, timeoutMs: number): number {
  return run.begunAt === undefined ? run.startedAt + THREAD_START_MS : run.begunAt + timeoutMs;
}
