/**
 * A shared bucket on this node: its account with the ledger, those who wait for it, and what the node wants of it.
 * Kept by `spender.ts`; `renewal.ts` and `closings.ts` carry its words to the database and back.
 */
import { Account, type Clocks, type Ticket } from '../account';
import type { Refusal } from '../ledger/closing';
import type { Grant, Renewal } from '../ledger/messages';
import type { BucketName } from '../../store/bucket-row';
import type { UpstreamLimit, Use, Waiter } from '../spender';
import type { Question } from './first-asks';
import { Line } from './line';
import type { Place, Taken, Verdict } from './place';
import { RaisedCost } from './raised';

/** The requests of so many seconds say how many a second are wanted. */
const SPAN = 0.9;
/** Rates that a shortage cut off grow by as much a second. */
const GROWTH = 4;

/** Told of what the ledger should hear before the next second. */
export interface Ledger {
  /** Whether this node is the one to ask for a key that nobody knows yet; absent: it is alone. */
  mayAsk?(question: Question): boolean;
  /** The bucket has something to say or to ask for. */
  urge(bucket: SharedBucket): void;
  tellClosing(bucket: SharedBucket, refusal: Refusal, reason: string): void;
}

export class SharedBucket implements Place {
  readonly account: Account;
  private readonly line: Line;
  /** Waiters of other lines who need this bucket too. */
  private readonly wanting = new Set<Waiter>();
  /** Requests that could have been sent since `since`, and a second before that. */
  private asked = 0;
  private since: number;
  private rate = 0;
  /** When it was used last, seconds of the monotonic clock. */
  usedAt: number;
  /** Its row is known to be there. */
  hasRow = false;
  /** The limit with the greatest cost of answers lately; `given` is that of the config. */
  private current: UpstreamLimit;
  private readonly raised = new RaisedCost();

  constructor(
    readonly name: BucketName,
    private given: UpstreamLimit,
    private readonly clocks: Clocks,
    process: string,
    private readonly ledger: Ledger,
    shares: ConstructorParameters<typeof Line>[1],
  ) {
    this.current = given;
    this.account = new Account(process, given.rule, clocks);
    this.line = new Line(this.account, shares, () => clocks.monotonic());
    this.since = this.usedAt = clocks.monotonic();
  }

  get limit(): UpstreamLimit {
    return this.current;
  }

  /** The limit was changed while it runs. */
  adopt(limit: UpstreamLimit): void {
    this.given = this.current = limit;
    this.account.adopt(limit.rule);
    this.followCost();
  }

  /** As much is reserved as answers cost lately, or as the limit says, whichever is more. */
  private followCost(): void {
    const { given } = this;
    const greatestCost = Math.max(given.rule.greatestCost, this.raised.at(this.clocks.monotonic()));
    if (greatestCost === this.current.rule.greatestCost) return;
    this.current = { ...given, rule: { ...given.rule, greatestCost } };
    this.account.adopt(this.current.rule);
  }

  get key(): string {
    return this.name.key;
  }

  get isClosed(): boolean {
    return this.account.isClosed;
  }

  get wait(): number {
    return this.account.wait;
  }

  may(requests: number, isFurther: boolean): boolean {
    this.usedAt = this.clocks.monotonic();
    if (!isFurther && this.line.isTaken) return false;
    const may = this.account.may(Math.min(requests, this.line.most), !isFurther);
    // It is wanted, also where another bucket of the same request has nothing just now.
    if (may) this.asked++;
    return may;
  }

  take(use: Use): Taken {
    const ticket = this.account.reserve();
    this.line.spent(use.class, ticket.reserved);
    return new TakenTicket(this, ticket, use.by);
  }

  earmark(requests: number): Taken | undefined {
    if (requests > this.line.most) return undefined;
    return new TakenTicket(this, this.account.earmark(requests), '');
  }

  join(waiter: Waiter): () => void {
    this.usedAt = this.clocks.monotonic();
    const leave = this.line.join(waiter);
    // A node that has no part of it does not wait for the second.
    if (this.account.isWithout) this.ledger.urge(this);
    return leave;
  }

  want(waiter: Waiter): () => void {
    this.usedAt = this.clocks.monotonic();
    this.wanting.add(waiter);
    if (this.account.isWithout) this.ledger.urge(this);
    return () => this.wanting.delete(waiter);
  }

  overdraw({ cost, refusedFor, reason }: Verdict, sentAt: number): void {
    const { account } = this;
    account.overdraw(Number.isFinite(cost) ? cost : this.current.rule.greatestCost);
    if (refusedFor === undefined) return;
    const refusal = account.close({ generation: account.generation, sentAt }, refusedFor);
    if (refusal) this.tellClosing(refusal, reason);
  }

  /** An answer that costs more than the greatest raises that, for this bucket. */
  noteCost(cost: number, by: string): void {
    this.line.paid(by, cost);
    if (!(cost > this.given.rule.greatestCost)) return;
    this.raised.note(cost, this.clocks.monotonic());
    this.followCost();
  }

  /** Something came back, or became known. */
  stirred(): void {
    if (this.account.urgent) this.ledger.urge(this);
    this.line.stir();
  }

  tellClosing(refusal: Refusal, reason: string): void {
    this.ledger.tellClosing(this, refusal, reason);
  }

  /** Whether the ledger need hear of it this second. */
  get isOfInterest(): boolean {
    return this.line.size > 0 || this.wanting.size > 0 || this.asked > 0 || this.rate > 0 || !this.account.isIdle;
  }

  /** The ledger has a part of it that this node may have spent from. */
  get isGranted(): boolean {
    return !this.account.isWithout || !this.account.isIdle;
  }

  /** @param isLast the node ends: all that is in hand goes back */
  renewal(isLast = false): Renewal {
    if (isLast) return this.account.renewal(0);
    this.followCost();
    const now = this.clocks.monotonic();
    if (now - this.since >= SPAN) {
      this.rate = this.asked / (now - this.since);
      this.asked = 0;
      this.since = now;
    }
    const { size } = this.line;
    let { requests } = this.line;
    for (const waiter of this.wanting) requests += Math.max(1, waiter.requests);
    // Code that sends one request after another wants more than shows, where it ran out: more is asked for than it had.
    const growth = size > 0 && this.account.wait === Infinity ? GROWTH : 1;
    return this.account.renewal(requests + growth * Math.max(this.rate, this.asked), growth);
  }

  granted(renewal: Renewal, grant: Grant | undefined): void {
    this.account.granted(renewal, grant);
    this.line.stir();
  }

  hearClosed(closedFor: number, generation: number, told: boolean): void {
    this.account.hearClosed(closedFor, generation, told);
    this.line.stir();
  }

  /** Requests that wait for it. */
  get waiting(): number {
    return this.line.size === 0 ? 0 : this.line.requests;
  }

  close(): void {
    this.line.close();
  }
}

class TakenTicket implements Taken {
  constructor(
    readonly place: SharedBucket,
    private readonly ticket: Ticket,
    private readonly by: string,
  ) {}

  mayStillSend(): boolean {
    return this.place.account.mayStillSend(this.ticket) && !this.place.isClosed;
  }

  settle({ cost, told, refusedFor, reason }: Verdict): void {
    const { account } = this.place;
    if (this.ticket.isPaid) return;
    this.place.noteCost(cost, this.by);
    account.settle(this.ticket, { cost, told, refusedFor });
    if (refusedFor !== undefined) {
      const refusal = account.close(this.ticket, refusedFor);
      if (refusal) this.place.tellClosing(refusal, reason);
    }
    this.place.stirred();
  }

  lose(): void {
    this.place.account.lose(this.ticket);
    this.place.stirred();
  }

  release(): void {
    this.place.account.release(this.ticket);
    this.place.stirred();
  }
}
