/**
 * One member's bucket of one limit, while somebody takes from it or waits for it. Made by `purse.ts` for each request,
 * and kept only while it has a line: 100,000 members cost their arrays and nothing else.
 */
import { boundedClosing } from '../ledger/closing';
import { FIGURES } from '../figures';
import type { MemberBuckets, MemberTicket } from '../member';
import type { UpstreamLimit, Use, Waiter } from '../spender';
import { Line, type Lined } from './line';
import type { Place, Taken, Verdict } from './place';
import type { Group } from './group';

/** An answer or a flush is looked for again after so many seconds, whatever happened to what should have told. */
const LOOK = 1;

export class MemberPlace implements Place {
  line: Line | undefined;

  constructor(
    readonly group: Group,
    readonly slot: number,
  ) {}

  get limit(): UpstreamLimit {
    return this.group.rule;
  }

  get key(): string {
    return this.group.key;
  }

  get isClosed(): boolean {
    return this.group.heldFor(this.slot) > 0;
  }

  get wait(): number {
    const closed = this.group.heldFor(this.slot);
    if (closed > 0) return closed;
    const buckets = this.group.filledFor(this.slot);
    const wait = buckets?.wait(this.slot, this.group.host.now()) ?? LOOK;
    return wait === Infinity || this.group.stoodStill ? LOOK : wait;
  }

  may(_requests: number, isFurther: boolean): boolean {
    const { group, slot } = this;
    if (!isFurther && group.lineOf(slot)?.isTaken) return false;
    if (group.heldFor(slot) > 0 || group.stoodStill) return false;
    const buckets = group.filledFor(slot);
    return buckets ? buckets.may(slot, group.host.now()) : group.asking === 0;
  }

  take(use: Use): Taken {
    const { group, slot } = this;
    group.lineOf(slot)?.spent(use.class, group.rule.rule.greatestCost);
    const buckets = group.filledFor(slot);
    return buckets ? new TakenOfMember(this, buckets, buckets.reserve(slot)) : new TakenToAsk(this);
  }

  earmark(): undefined {
    return undefined;
  }

  join(waiter: Waiter): () => void {
    const lined = this.group.lined(this);
    lined.line ??= new Line(new LinedMember(lined), undefined, () => lined.group.host.monotonic());
    return lined.line.join(waiter);
  }

  /** Its tokens wait for nobody else. */
  want(): () => void {
    return () => undefined;
  }

  overdraw({ cost, told, refusedFor, isMute }: Verdict): void {
    const { group, slot } = this;
    group.learn(told, isMute);
    group.noteCost(cost);
    group.filledFor(slot)?.overdraw(slot, cost, group.host.now());
    if (refusedFor !== undefined) this.closeFor(refusedFor);
  }

  closeFor(seconds: number): void {
    const { window, longestClosing } = this.limit.rule;
    this.group.closeFor(this.slot, boundedClosing(seconds, window, longestClosing));
  }

  /** @returns false: nobody waits any more. */
  stir(): boolean {
    if (!this.line || this.line.size === 0) return false;
    this.line.stir();
    return true;
  }

  close(): void {
    this.line?.close();
  }
}

/** The bucket as its line asks it: whoever is woken stands in no line any more. */
class LinedMember implements Lined {
  constructor(private readonly place: MemberPlace) {}

  may(): boolean {
    return this.place.may(1, true);
  }

  get wait(): number {
    return this.place.wait;
  }
}

class TakenOfMember implements Taken {
  private readonly sentAt: number;

  constructor(
    readonly place: MemberPlace,
    private readonly buckets: MemberBuckets,
    private readonly ticket: MemberTicket,
  ) {
    this.sentAt = place.group.host.monotonic();
  }

  mayStillSend(): boolean {
    const { group, isClosed } = this.place;
    return !isClosed && !group.stoodStill && group.host.monotonic() - this.sentAt < FIGURES.late - FIGURES.part;
  }

  settle({ cost, told, refusedFor, isMute }: Verdict): void {
    const { group, slot } = this.place;
    this.buckets.settle(this.ticket, cost, group.host.now(), told);
    group.learn(told, isMute);
    group.noteCost(cost);
    if (refusedFor !== undefined) this.place.closeFor(refusedFor);
    group.stir(slot);
  }

  lose(): void {
    const { group, slot } = this.place;
    this.buckets.lose(this.ticket, group.host.now(), FIGURES.late);
    group.stir(slot);
  }

  release(): void {
    const { group, slot } = this.place;
    this.buckets.release(this.ticket);
    group.stir(slot);
  }
}

/** The one request of a group that asks what the limit is. */
class TakenToAsk implements Taken {
  private isOver = false;

  constructor(readonly place: MemberPlace) {
    place.group.asking++;
  }

  mayStillSend(): boolean {
    return !this.place.isClosed && !this.place.group.stoodStill;
  }

  settle(verdict: Verdict): void {
    if (this.isOver) return;
    this.over();
    this.place.overdraw(verdict);
    this.place.group.stir();
  }

  lose(): void {
    if (this.isOver) return;
    this.over();
    this.place.group.stir();
  }

  release(): void {
    this.lose();
  }

  private over(): void {
    this.isOver = true;
    this.place.group.asking--;
  }
}
