/**
 * The ledger's last word that a node has heard of a bucket. It outlives the node's part, for the row may be lost, or
 * its clock be set, while nobody can reach it. Kept by `account.ts`.
 */
import type { Reckoned } from './ledger/clock';
import type { Grant, Seen } from './ledger/messages';
import type { Instant } from './ticket';

type Granted = Extract<Grant, { kind: 'granted' }>;

/** Two clocks of one machine that is awake do not drift apart by so much between two words, seconds. */
const CLOCKS_DIFFER = 0.5;

export class LedgerWord {
  seen: Seen | undefined;
  /** Tokens of the part that were settled when the ledger said what it knows. */
  reported = 0;
  /** The bucket's time and lag then, and between which moments of the node's clocks that was. */
  private at = 0;
  private lag = 0;
  private asked: Instant = { monotonic: 0, wall: 0 };
  private got = 0;

  /** @param got monotonic */
  hear({ seen, at, lag }: Pick<Granted, 'seen' | 'at' | 'lag'>, asked: Instant, got: number): void {
    Object.assign(this, { seen, at, lag, asked, got });
  }

  /** As a renewal tells it. */
  get told(): { known: Seen | undefined; reported: number } {
    return { known: this.seen, reported: this.reported };
  }

  /** @param asked when the statement was sent that reads the row, monotonic @param now once the row is read */
  reckoned(asked: number, now: Instant): Reckoned | undefined {
    if (!this.seen) return undefined;
    const { at, lag } = this;
    const passed = now.monotonic - this.asked.monotonic;
    const least = Math.min(at + passed, at + Math.max(0, asked - this.got));
    const isDoubtful = Math.abs(now.wall - this.asked.wall - passed) > CLOCKS_DIFFER;
    return { era: this.seen.era, least, most: at + passed, lag, isDoubtful };
  }
}
