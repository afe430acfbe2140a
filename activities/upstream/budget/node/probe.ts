/**
 * The place of the request whose answer tells which bucket it spends from: a key that is made of a header which no
 * answer has had yet. One at a time for each operation, of all nodes; the others wait for what it tells. Kept by
 * `book.ts`.
 */
import { boundedClosing } from '../ledger/closing';
import type { UpstreamLimit, Use, Waiter } from '../spender';
import { Line } from './line';
import type { Place, Taken, Verdict } from './place';

/** Nobody has wanted to ask for so long, seconds: it need not be looked at. */
const IDLE = 10;

/** The requests that ask, of one limit and kind. It outlives the line of those who wait. */
interface Asking {
  underWay: number;
  /** The upstream refused one of them: nobody asks before then; monotonic seconds. */
  closedUntil: number;
  probe: Probe;
}

export interface ProbeHost {
  /** Seconds, monotonic. */
  now(): number;
  /** Seconds for which a person closed the limit for all keys. */
  closedFor(): number;
  /** Whether no other node asks. If this one does, it goes on to be the one that asks. */
  mayAsk(): boolean;
}

export class Probe implements Place {
  readonly key = '';
  private readonly asking: Asking;
  private readonly line: Line;
  /** Set once something is known: those who wait are woken, and find their bucket or the next probe. */
  private isKnown = false;
  private wantedAt: number;

  constructor(
    readonly limit: UpstreamLimit,
    private readonly shares: ConstructorParameters<typeof Line>[1],
    private readonly host: ProbeHost,
    asking?: Asking,
  ) {
    this.asking = asking ?? { underWay: 0, closedUntil: -Infinity, probe: this };
    this.asking.probe = this;
    this.line = new Line(this, shares, () => host.now());
    this.wantedAt = host.now();
  }

  get isClosed(): boolean {
    return this.closedFor > 0;
  }

  get wait(): number {
    return this.closedFor || Infinity;
  }

  private get closedFor(): number {
    return Math.max(0, this.asking.closedUntil - this.host.now(), this.host.closedFor());
  }

  may(): boolean {
    this.wantedAt = this.host.now();
    return this.isKnown || (this.asking.underWay === 0 && !this.isClosed && this.host.mayAsk());
  }

  take(use: Use): Taken {
    this.asking.underWay++;
    this.line.spent(use.class, this.limit.rule.greatestCost);
    return new TakenProbe(this, (refusedFor) => this.over(refusedFor));
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

  /** Everybody looks again. @returns the probe for those who still do not know, where one is needed */
  known(): Probe | undefined {
    const { limit, shares, host, asking } = this;
    this.isKnown = true;
    this.line.stir();
    return asking.underWay > 0 || this.isClosed ? new Probe(limit, shares, host, asking) : undefined;
  }

  open(): void {
    this.asking.closedUntil = -Infinity;
  }

  /** Called each second. */
  stir(): void {
    // Nobody else asks meanwhile: not what is being asked, nor before the upstream said one may.
    if (this.isOut) this.host.mayAsk();
    this.line.stir();
  }

  /** No other node asks. */
  get isToAsk(): boolean {
    return this.host.mayAsk();
  }

  /** A request is under way, or was refused for longer than now. */
  private get isOut(): boolean {
    const { underWay, closedUntil } = this.asking;
    return underWay > 0 || closedUntil > this.host.now();
  }

  /** Nobody wants to know. */
  get isIdle(): boolean {
    return this.line.size === 0 && !this.isOut && this.host.now() - this.wantedAt > IDLE;
  }

  close(): void {
    this.line.close();
  }

  private over(refusedFor: number | undefined): void {
    const { asking, limit } = this;
    asking.underWay--;
    if (refusedFor !== undefined) {
      const { window, longestClosing } = limit.rule;
      asking.closedUntil = this.host.now() + boundedClosing(refusedFor, window, longestClosing);
    }
    asking.probe.line.stir();
  }
}

class TakenProbe implements Taken {
  private isOver = false;

  constructor(
    readonly place: Probe,
    private readonly over: (refusedFor: number | undefined) => void,
  ) {}

  /** The process may have stood still since, for so long that another node asks. */
  mayStillSend(): boolean {
    return !this.place.isClosed && this.place.isToAsk;
  }

  settle({ refusedFor }: Verdict): void {
    this.end(refusedFor);
  }

  lose(): void {
    this.end(undefined);
  }

  release(): void {
    this.end(undefined);
  }

  private end(refusedFor: number | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.over(refusedFor);
  }
}
