/**
 * First asks: a key that is made of an answer's header which nobody knows yet is asked for by one node at a time, for N
 * nodes that each ask once may be too many for a bucket that is nearly empty. A node claims the question in the
 * database before it asks, and the others wait for what it learns. The question stays its own while its request is
 * under way, and while the upstream has put it off. Kept by `learned.ts`, asked by `probe.ts`.
 */

import type { Clocks, Instant } from '../ticket';

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
  /** Until when this node may ask, by both clocks: a suspended machine's monotonic one stands still. */
  private readonly mine = new Map<string, Instant>();
  private wanted = new Map<string, Question>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly clocks: Clocks,
    private readonly claim: () => void,
  ) {}

  /** Whether this node is the one that asks. If not, it tries to become that; if so, to stay it. */
  may(question: Question): boolean {
    const name = nameOf(question);
    const left = this.left(this.mine.get(name));
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

  /** Before the database is asked. */
  now(): Instant {
    return { monotonic: this.clocks.monotonic(), wall: this.clocks.wall() };
  }

  /** @param asked when the database was */
  granted(questions: readonly Question[], { monotonic, wall }: Instant): void {
    for (const [name, until] of this.mine) if (this.left(until) <= 0) this.mine.delete(name);
    const lasts = CLAIM - SPARE;
    for (const question of questions)
      this.mine.set(nameOf(question), { monotonic: monotonic + lasts, wall: wall + lasts });
  }

  private left(until: Instant | undefined): number {
    if (!until) return -Infinity;
    const { monotonic, wall } = this.now();
    return Math.min(until.monotonic - monotonic, until.wall - wall);
  }

  close(): void {
    clearTimeout(this.timer);
  }
}

const nameOf = ({ upstream, kind }: Question): string => `${upstream} ${kind}`;
