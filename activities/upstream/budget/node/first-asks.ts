/**
 * First asks: a key that is made of an answer's header which nobody knows yet is asked for by one node at a time, for N
 * nodes that each ask once may be too many for a bucket that is nearly empty. A node claims the question in the
 * database before it asks, and the others wait for what it learns. The question stays its own while its request is
 * under way, and while the upstream has put it off. Kept by `learned.ts`, asked by `probe.ts`.
 */

/**
 * A question is another node's after so long, seconds: the one that claimed it may be gone. A node stops asking under a
 * claim somewhat before that.
 */
export const CLAIM = 10;
const SPARE = 2;
/** With less left than this, a question that is still needed is claimed again, seconds. */
const RENEWED = 5;
/** Questions are urgent: they go together with those that come within so many milliseconds. */
const URGENT_MS = 10;

/** A limit, and the code and kind of path of its requests. */
export interface Question {
  upstream: string;
  kind: string;
}

export class FirstAsks {
  /** Until when this node may ask, seconds of the monotonic clock. */
  private readonly mine = new Map<string, number>();
  private wanted = new Map<string, Question>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly now: () => number,
    private readonly claim: () => void,
  ) {}

  /** Whether this node is the one that asks. If not, it tries to become that; if so, to stay it. */
  may(question: Question): boolean {
    const name = nameOf(question);
    const left = (this.mine.get(name) ?? -Infinity) - this.now();
    if (left > RENEWED) return true;
    this.wanted.set(name, question);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.claim();
    }, URGENT_MS);
    return left > 0;
  }

  takeWanted(): Question[] {
    const wanted = [...this.wanted.values()];
    this.wanted = new Map();
    return wanted;
  }

  /** @param asked before the database was, monotonic */
  granted(questions: readonly Question[], asked: number): void {
    for (const [name, until] of this.mine) if (until <= this.now()) this.mine.delete(name);
    for (const question of questions) this.mine.set(nameOf(question), asked + CLAIM - SPARE);
  }

  close(): void {
    clearTimeout(this.timer);
  }
}

const nameOf = ({ upstream, kind }: Question): string => `${upstream} ${kind}`;
