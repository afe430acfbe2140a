/**
 * Requests that are under way, for who ends a connection. One that fails is tried again by Temporal's client after a
 * while, and a connection that was closed meanwhile throws in that timer, where nobody can catch it: the whole process
 * would end. Used by `connections.ts`.
 */
export class UnderWay {
  private readonly all = new Set<Promise<unknown>>();

  track<T>(work: Promise<T>): Promise<T> {
    this.all.add(work);
    const over = (): void => void this.all.delete(work);
    work.then(over, over);
    return work;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.all.size > 0) await Promise.allSettled(this.all);
  }
}
