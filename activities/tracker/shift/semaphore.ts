/**
 * So many at a time, the others in the order in which they came. Used where a shared resource must not be taken up by
 * one kind of work.
 */
export class Semaphore {
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Waits for a place. @returns gives it back, once */
  async enter(): Promise<() => void> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      const next = this.waiting.shift();
      // The place is handed on, so that nobody who comes now takes it.
      if (next) next();
      else this.free++;
    };
  }
}
