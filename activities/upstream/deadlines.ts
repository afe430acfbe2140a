/**
 * One timer for thousands of requests. All calls of a list have the same timeout, so they end in the order in which
 * they began, and looking at the oldest now and then is enough. Used by `http.ts`, one list a timeout.
 */

/** A call in a list: the list owns `previous` and `next`. */
export interface Deadlined {
  previous: Deadlined | undefined;
  next: Deadlined | undefined;
  /** `performance.now()` at which it has taken too long. */
  deadline: number;
  expire(): void;
}

export class DeadlineList {
  private oldest: Deadlined | undefined;
  private newest: Deadlined | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly tickMs: number;

  /** Calls end at `timeoutMs`, or up to a tenth of it later (10 ms at least, 250 ms at most). */
  constructor(readonly timeoutMs: number) {
    this.tickMs = Math.min(250, Math.max(10, timeoutMs / 10));
  }

  add(call: Deadlined): void {
    call.deadline = performance.now() + this.timeoutMs;
    call.previous = this.newest;
    if (this.newest) this.newest.next = call;
    else this.oldest = call;
    this.newest = call;
    this.timer ??= setInterval(() => this.tick(), this.tickMs).unref();
  }

  remove(call: Deadlined): void {
    if (call.previous) call.previous.next = call.next;
    else if (this.oldest === call) this.oldest = call.next;
    if (call.next) call.next.previous = call.previous;
    else if (this.newest === call) this.newest = call.previous;
    call.previous = undefined;
    call.next = undefined;
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    const now = performance.now();
    while (this.oldest && this.oldest.deadline <= now) {
      const call = this.oldest;
      this.remove(call);
      call.expire();
    }
    // The timer goes when a whole tick saw no call, not when the last one ends: starting one costs.
    if (!this.oldest) this.stop();
  }
}
