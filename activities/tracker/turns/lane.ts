/**
 * A node's one connection for writing, shared by two kinds of transaction: the values of a flush (`shift/flush.ts`) and
 * the turns of members (`committer.ts`). One at a time, so that no two of a node hold a fence together; where both
 * wait they take turns (`member/writer.ts` has the rule).
 */
import { nextTransaction } from '../member/writer';

type Kind = 'turns' | 'values';

export class Lane {
  private readonly waiting: Record<Kind, (() => void)[]> = { turns: [], values: [] };
  private busy = false;
  private last: Kind = 'values';

  /** A transaction of values is cut short for them. */
  get turnsWait(): boolean {
    return this.waiting.turns.length > 0;
  }

  /** Runs the work when it is its turn; the next one begins when it has ended. */
  async run<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((begin) => {
      this.waiting[kind].push(begin);
      this.next();
    });
    try {
      return await work();
    } finally {
      this.busy = false;
      this.next();
    }
  }

  private next(): void {
    if (this.busy) return;
    const { turns, values } = this.waiting;
    const kind = nextTransaction(turns.length > 0, values.length > 0, this.last);
    if (!kind) return;
    this.busy = true;
    this.last = kind;
    this.waiting[kind].shift()!();
  }
}
