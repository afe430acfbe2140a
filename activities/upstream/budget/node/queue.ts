/**
 * The waiters of one class in a bucket's line: by the code that they wait for, and for each code in the order of their
 * coming. The code whose answers have cost least of late is next, so that the failures of one operation do not eat the
 * error budget of the others, and one that asks for much does not keep out one that asks for little. Kept by `line.ts`.
 */
import type { Waiter } from '../spender';

/** Costs fade over so many seconds. */
const MEMORY = 10;
/** One turn in so many is that of the code that was served longest ago, whatever it costs: nobody is kept out. */
const TURN_OF_ALL = 8;
/** Codes whose costs are remembered. */
const MOST = 1_000;

/** Tokens that each code's answers have cost, fading. One for all classes of a line. */
export class Costs {
  private readonly of = new Map<string, { tokens: number; at: number }>();

  constructor(private readonly now: () => number) {}

  paid(by: string, tokens: number): void {
    if (!(tokens > 0)) return;
    const before = this.get(by);
    if (this.of.size >= MOST) this.of.clear();
    this.of.set(by, { tokens: before + tokens, at: this.now() });
  }

  get(by: string): number {
    const known = this.of.get(by);
    return known === undefined ? 0 : known.tokens * Math.exp(-Math.max(0, this.now() - known.at) / MEMORY);
  }
}

export class Queue {
  /** Code that was served last is the last. */
  private readonly byCode = new Map<string, Set<Waiter>>();
  size = 0;
  private turns = 0;

  constructor(private readonly costs: Costs) {}

  /** Answers how to leave it. */
  add(waiter: Waiter, by: string): () => void {
    const waiters = this.byCode.get(by) ?? new Set<Waiter>();
    this.byCode.set(by, waiters);
    if (!waiters.has(waiter)) this.size++;
    waiters.add(waiter);
    return () => this.remove(waiter, by);
  }

  /** The next, which stays. */
  peek(): Waiter | undefined {
    const next = this.nextCode;
    if (next === undefined) return undefined;
    const [waiter] = this.byCode.get(next)!;
    return waiter;
  }

  /** Takes the next out. */
  take(): Waiter | undefined {
    const next = this.nextCode;
    this.turns++;
    if (next === undefined) return undefined;
    const waiters = this.byCode.get(next)!;
    const [waiter] = waiters;
    this.remove(waiter!, next);
    if (waiters.size > 0) {
      this.byCode.delete(next);
      this.byCode.set(next, waiters);
    }
    return waiter;
  }

  private get nextCode(): string | undefined {
    return (this.turns + 1) % TURN_OF_ALL === 0 ? this.first : this.cheapest;
  }

  *[Symbol.iterator](): Iterator<Waiter> {
    for (const waiters of this.byCode.values()) yield* waiters;
  }

  private get first(): string | undefined {
    const [by] = this.byCode.keys();
    return by;
  }

  /** The one that was served longest ago, where several cost the same. */
  private get cheapest(): string | undefined {
    let least = Infinity;
    let next: string | undefined;
    for (const by of this.byCode.keys()) {
      const cost = this.costs.get(by);
      if (cost < least) [least, next] = [cost, by];
    }
    return next;
  }

  private remove(waiter: Waiter, by: string): void {
    const waiters = this.byCode.get(by);
    if (!waiters?.delete(waiter)) return;
    this.size--;
    if (waiters.size === 0) this.byCode.delete(by);
  }
}
