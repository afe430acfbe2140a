/**
 * The ledger's last word that a node has heard of a bucket. It outlives the node's part, for the row may be lost, or
 * its clock be set, while nobody can reach it. Kept by `account.ts`.
 */
import type { Reckoned } from './ledger/clock';
import type { Seen } from './ledger/messages';

export class LedgerWord {
  seen: Seen | undefined;
  /** Tokens of the part that were settled when the ledger said what it knows. */
  reported = 0;
  /** The bucket's time then, and between which moments of the node's monotonic clock that was. */
  private at = 0;
  private asked = 0;
  private got = 0;

  hear(seen: Seen, at: number, asked: number, got: number): void {
    Object.assign(this, { seen, at, asked, got });
  }

  /** As a renewal tells it. */
  get told(): { known: Seen | undefined; reported: number } {
    return { known: this.seen, reported: this.reported };
  }

  /** @param asked when the statement was sent that reads the row @param now once the row is read; both monotonic */
  reckoned(asked: number, now: number): Reckoned | undefined {
    if (!this.seen) return undefined;
    const most = this.at + now - this.asked;
    const least = Math.min(most, this.at + Math.max(0, asked - this.got));
    return { era: this.seen.era, least, most };
  }
}
