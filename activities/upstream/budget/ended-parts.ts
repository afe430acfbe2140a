/**
 * The parts of a bucket that have ended while requests of them were under way: what each of them really spent is told
 * once all are back, and the ledger takes the rest out of the account. Kept by `account.ts`.
 */

interface Ended {
  epoch: number;
  settled: number;
  held: number;
}

/** So many are remembered. A part that is forgotten stays charged. */
const MOST = 16;

export class EndedParts {
  private parts: Ended[] = [];

  add(part: Ended): void {
    this.parts.push(part);
    if (this.parts.length > MOST) this.parts.shift();
  }

  /** An answer came, or will never come, to a request that was sent under it. */
  pay(epoch: number, reserved: number, cost: number): void {
    const part = this.parts.find((one) => one.epoch === epoch);
    if (!part) return;
    part.held -= reserved;
    part.settled += cost;
  }

  /** Parts of which nothing is under way any more. */
  get quiet(): { epoch: number; settled: number }[] {
    return this.parts.filter(({ held }) => held < 1e-9).map(({ epoch, settled }) => ({ epoch, settled }));
  }

  get isEmpty(): boolean {
    return this.parts.length === 0;
  }

  /** The ledger has heard of these. */
  told(parts: readonly { epoch: number }[]): void {
    const told = new Set(parts.map(({ epoch }) => epoch));
    this.parts = this.parts.filter(({ epoch }) => !told.has(epoch));
  }
}
