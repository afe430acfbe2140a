/**
 * Batches in parts, one request of the node and one transaction each; so many at once, of all batches together. The
 * next part is taken from the batch that has the fewest left: batches that began together end one after the other, so
 * that the node has work while the next one is made, and a new head does not wait for thousands of old blocks. Used by
 * `blocks.ts` and `receipts.ts`, each its own.
 */

/** As many calls as a request has before anything is learned (`rpc/client.ts`). */
const PART = 250;
/** While the node answers some, others are decoded and written. */
const AT_ONCE = 4;

/** The parts of a batch that have not begun. */
type Waiting = (() => Promise<void>)[];

export class Parts {
  private underWay = 0;
  private batches: Waiting[] = [];

  /** @throws what a part threw, when none of the batch runs any more; no other is begun then. */
  async each<T>(batch: readonly T[], work: (part: T[]) => Promise<void>): Promise<void> {
    let failed = false;
    const waiting: Waiting = [];
    const ended: Promise<void>[] = [];
    for (let from = 0; from < batch.length; from += PART) {
      const part = batch.slice(from, from + PART);
      const begin = async (): Promise<void> => {
        try {
          if (!failed) await work(part);
        } catch (error) {
          failed = true;
          throw error;
        }
      };
      ended.push(new Promise((resolve, reject) => void waiting.push(() => begin().then(resolve, reject))));
    }
    this.batches.push(waiting);
    this.begin();
    for (const end of await Promise.allSettled(ended)) if (end.status === 'rejected') throw end.reason;
  }

  private begin(): void {
    while (this.underWay < AT_ONCE) {
      this.batches = this.batches.filter(({ length }) => length > 0);
      const [oldest] = this.batches;
      if (!oldest) return;
      const next = this.batches.reduce((fewest, one) => (one.length < fewest.length ? one : fewest), oldest);
      this.underWay++;
      void next.shift()!().finally(() => {
        this.underWay--;
        this.begin();
      });
    }
  }
}
