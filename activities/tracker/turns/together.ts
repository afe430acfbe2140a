/**
 * Asks for many by one statement: what is asked in the same moment, and what is asked while a statement is under way,
 * goes together. Used by `strikes.ts`.
 */

/** Rows of one statement. */
const MOST = 500;

export class Together<T, R> {
  private waiting: { readonly one: T; readonly answer: (found: Promise<R>) => void }[] = [];
  private isBusy = false;

  /** @param carryOut answers for each, in their order */
  constructor(private readonly carryOut: (all: readonly T[]) => Promise<readonly R[]>) {}

  /** Rejects as the statement did in which it was. */
  ask(one: T): Promise<R> {
    return new Promise((answer) => {
      this.waiting.push({ one, answer });
      if (!this.isBusy) void this.askAll();
    });
  }

  private async askAll(): Promise<void> {
    this.isBusy = true;
    // All that is asked in the same moment.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const asked = this.waiting.splice(0, MOST);
      const found = this.carryOut(asked.map(({ one }) => one));
      asked.forEach(({ answer }, at) => answer(found.then((all) => all[at]!)));
      await found.catch(() => undefined);
    }
    this.isBusy = false;
  }
}
