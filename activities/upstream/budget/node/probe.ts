/**
 * The place of the request whose answer tells which bucket it spends from: a key that is made of a header which no
 * answer has had yet. One at a time for each operation of a node; the others wait for what it tells.
 */
import type { UpstreamLimit, Use, Waiter } from '../spender';
import { Line } from './line';
import type { Place, Taken, Verdict } from './place';

export class Probe implements Place {
  readonly key = '';
  readonly isClosed = false;
  private underWay = 0;
  private readonly line: Line;
  /** Set once it is known: those who wait are woken, and find their bucket. */
  private isKnown = false;

  constructor(
    readonly limit: UpstreamLimit,
    shares: ConstructorParameters<typeof Line>[1],
    now: () => number,
  ) {
    const lined = { may: () => this.may(), wait: Infinity };
    this.line = new Line(lined, shares, now);
  }

  get wait(): number {
    return Infinity;
  }

  may(): boolean {
    return this.isKnown || this.underWay === 0;
  }

  take(use: Use): Taken {
    this.underWay++;
    this.line.spent(use.class, this.limit.rule.greatestCost);
    return new TakenProbe(this, () => this.over());
  }

  earmark(): undefined {
    return undefined;
  }

  join(waiter: Waiter): () => void {
    return this.line.join(waiter);
  }

  want(): () => void {
    return () => undefined;
  }

  overdraw(): void {
    // Nothing is counted here: what an answer costs is counted where it belongs.
  }

  /** Everybody looks again. */
  known(): void {
    this.isKnown = true;
    this.line.stir();
  }

  close(): void {
    this.line.close();
  }

  private over(): void {
    this.underWay--;
    this.line.stir();
  }
}

class TakenProbe implements Taken {
  private isOver = false;

  constructor(
    readonly place: Probe,
    private readonly over: () => void,
  ) {}

  mayStillSend(): boolean {
    return true;
  }

  settle(_verdict: Verdict): void {
    this.release();
  }

  lose(): void {
    this.release();
  }

  release(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.over();
  }
}
