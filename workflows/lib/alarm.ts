/**
 * One timer for a workflow's loop that waits for many things with times of their own. A wait with a timer of its own costs two events
 * whenever something else comes first, which in a busy workflow is each time; this one rings early rather than being set anew. Used by
 * `buffer/shard.ts`.
 */
import { CancellationScope, sleep } from '@temporalio/workflow';

export class Alarm {
  private set?: { at: number; scope: CancellationScope };

  /** @param ring what happens when the time has come, or an earlier one that was asked for before */
  constructor(private readonly ring: () => void) {}

  /** Rings at that time at the latest. Epoch milliseconds. */
  by(at: number): void {
    if (this.set && this.set.at <= at) return;
    this.set?.scope.cancel();
    const set = { at, scope: new CancellationScope() };
    this.set = set;
    void set.scope
      .run(() => sleep(Math.max(1, at - Date.now())))
      .then(
        () => {
          this.set = undefined;
          this.ring();
        },
        // An earlier time was asked for.
        () => undefined,
      );
  }
}
