/**
 * One timer for a workflow's loop that waits for many things with times of their own. A wait with a timer of its own
 * costs two events whenever something else comes first, which in a busy workflow is each time; one that rings for
 * nothing costs a task. So it is set anew only where it would ring too late, or for nothing and not at once. Used by
 * `buffer/shard.ts`.
 */
import { CancellationScope, sleep } from '@temporalio/workflow';

export class Alarm {
  private set?: { at: number; sinceMs: number; scope: CancellationScope };

  /**
   * @param ring what happens when the time has come, or an earlier one that was asked for before
   * @param youngMs one that is younger is left as it is: what made it superfluous so soon may soon be over
   */
  constructor(
    private readonly ring: () => void,
    private readonly youngMs: number,
  ) {}

  /** Rings at that time at the latest. Epoch milliseconds; Infinity: there is nothing to wait for. */
  by(at: number): void {
    const nowMs = Date.now();
    if (this.set && (this.set.at === at || (this.set.at < at && nowMs - this.set.sinceMs < this.youngMs))) return;
    this.set?.scope.cancel();
    this.set = undefined;
    if (at === Infinity) return;
    const set = { at, sinceMs: nowMs, scope: new CancellationScope() };
    this.set = set;
    void set.scope
      .run(() => sleep(Math.max(1, at - nowMs)))
      .then(
        () => {
          this.set = undefined;
          this.ring();
        },
        // Another time was asked for.
        () => undefined,
      );
  }
}
