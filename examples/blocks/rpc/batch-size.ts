/**
 * How much a node takes at once, which it does not say (50 to 1,000 calls in a batch, 1,000 to 10,000 blocks in a range
 * are usual): halved when it was too much, grown again slowly. Used by `client.ts` for calls and by `chain.ts` for
 * ranges of logs.
 */
export class BatchSize {
  private size: number;
  private successes = 0;
  /** The least that was too much. */
  private failed = Infinity;

  /** @param most never more than this, and where it starts. */
  constructor(private readonly most: number) {
    this.size = most;
  }

  get current(): number {
    return this.size;
  }

  /** So much was too much. @param suggested what the node says would do. */
  tooLarge(count: number, suggested?: number): void {
    this.successes = 0;
    this.failed = Math.min(this.failed, suggested === undefined ? count : suggested + 1);
    // Other requests that were under way may have taught the same before.
    this.size = Math.max(1, Math.min(this.size, suggested ?? count >> 1));
  }

  /** So much went through. Only a full size says something about the next one. */
  worked(count: number): void {
    // The node has changed its mind.
    if (count >= this.failed) this.failed = Infinity;
    if (count < this.size || this.size === this.most) return;
    // Far below what failed it is soon back: a node that hung for a while has failed at everything.
    const near = this.size * 2 >= this.failed * 0.75;
    if (++this.successes < (near ? SUCCESSES_NEAR_A_FAILURE : SUCCESSES)) return;
    this.successes = 0;
    this.size = Math.min(this.most, this.size + (near ? Math.max(1, this.size >> 3) : this.size));
  }
}

const SUCCESSES = 2;
/** So that a node with a hard limit refuses one batch in twenty at most while the size is tried. */
const SUCCESSES_NEAR_A_FAILURE = 20;
