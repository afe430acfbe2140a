/**
 * First asks: a key that is made of an answer's header which nobody knows yet is asked for by one node at a time, for N
 * nodes that each ask once may be too many for a bucket that is nearly empty. A node claims the question in the
 * database before it asks, and the others wait for what it learns. Kept by `learned.ts`, asked by `probe.ts`.
 */

/**
 * A question is another node's after so long, seconds: the one that claimed it may be gone. A node stops asking under a
 * claim somewhat before that.
 */
export const CLAIM = 10;
const SPARE = 2;
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

  /** Whether this node is the one that asks; if not, it tries to become that. */
  may(question: Question): boolean {
    const name = nameOf(question);
    if ((this.mine.get(name) ?? -Infinity) > this.now()) return true;
    this.mine.delete(name);
    this.wanted.set(name, question);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.claim();
    }, URGENT_MS);
    return false;
  }

  takeWanted(): Question[] {
    const wanted = [...this.wanted.values()];
    this.wanted = new Map();
    return wanted;
  }

  /** @param asked before the database was, monotonic */
  granted(questions: readonly Question[], asked: number): void {
    for (const question of questions) this.mine.set(nameOf(question), asked + CLAIM - SPARE);
  }

  close(): void {
    clearTimeout(this.timer);
  }
}

const nameOf = ({ upstream, kind }: Question): string => `${upstream} ${kind}`;
