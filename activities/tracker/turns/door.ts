/**
 * Lets turns go to the fence of a pool: many that share it, or one that needs it alone. It lets them in as they came,
 * so that none of them waits for ever: in PostgreSQL one that shares a lock goes past one that waits for it alone. Each
 * pool has one (`pool.ts`), for its turns that have transactions of their own (`alone.ts`).
 */
export class Door {
  private inside = 0;
  private isTaken = false;
  private readonly waiting: { readonly alone: boolean; readonly begin: () => void }[] = [];

  /** @returns what is to be called once, when the place is free again */
  async enter(alone: boolean): Promise<() => void> {
    await new Promise<void>((begin) => {
      this.waiting.push({ alone, begin });
      this.next();
    });
    return () => {
      this.inside--;
      this.isTaken = false;
      this.next();
    };
  }

  private next(): void {
    for (let [first] = this.waiting; first; [first] = this.waiting) {
      if (this.isTaken || (first.alone && this.inside > 0)) return;
      this.waiting.shift();
      this.inside++;
      this.isTaken = first.alone;
      first.begin();
    }
  }
}
