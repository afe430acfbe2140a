/**
 * Time for simulations: timers and `performance.now` of this test file are replaced by a queue, and time jumps to the
 * next of them when nothing is left to do. So an hour of leases and outages passes in milliseconds, in the same order
 * each time. Used by `durable/lease-world.ts`.
 */
interface Timer {
  at: number;
  order: number;
  run: () => void;
  cancelled: boolean;
}

/** Not faked: one turn of the event loop, in which all promises that can go on do so. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class VirtualTime {
  now = 0;
  private order = 0;
  private readonly timers: Timer[] = [];
  private readonly real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  private spy: jest.SpyInstance | undefined;

  install(): void {
    const set = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => this.set(() => run(...args), ms);
    const clear = (timer: { cancel?: () => void } | undefined) => timer?.cancel?.();
    globalThis.setTimeout = set as unknown as typeof setTimeout;
    globalThis.clearTimeout = clear as unknown as typeof clearTimeout;
    this.spy = jest.spyOn(performance, 'now').mockImplementation(() => this.now);
  }

  uninstall(): void {
    Object.assign(globalThis, this.real);
    this.spy?.mockRestore();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.set(resolve, ms));
  }

  /** Lets time pass until `done` says so. @returns false: nothing was left to do, or it took longer than `untilMs`. */
  async run(done: () => boolean, untilMs: number): Promise<boolean> {
    for (;;) {
      await turn();
      if (done()) return true;
      const next = this.pop();
      if (!next || next.at > untilMs) return false;
      this.now = Math.max(this.now, next.at);
      next.run();
    }
  }

  private set(run: () => void, ms: number): object {
    const timer: Timer = { at: this.now + Math.max(0, ms), order: this.order++, run, cancelled: false };
    // Sorted; there are a few dozen at most.
    let place = this.timers.length;
    while (place > 0 && this.timers[place - 1]!.at > timer.at) place -= 1;
    this.timers.splice(place, 0, timer);
    const handle = { cancel: () => (timer.cancelled = true), unref: () => handle, ref: () => handle };
    return handle;
  }

  private pop(): Timer | undefined {
    let next = this.timers.shift();
    while (next?.cancelled) next = this.timers.shift();
    return next;
  }
}
