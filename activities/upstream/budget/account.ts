/**
 * A node's side of one shared bucket: may it send, what is reserved for what is under way, what the answers really
 * cost, and what it tells the ledger each second. The dispatcher asks `may`, right before it sends, and `reserve`;
 * every answer comes to `settle`, what has none to `lose`; the node's renewal carries `renewal` to
 * `ledger/statement.ts` and brings the grant back to `granted`.
 *
 * The greatest cost is reserved and the true one settled, so that nothing under way can pass the limit. How long a part
 * may be spent is in `part-time.ts`.
 */
import { FIGURES } from './figures';
import { Closed } from './closed';
import { EndedParts } from './ended-parts';
import { KeptHeader } from './kept-header';
import { LedgerWord } from './ledger-word';
import type { Refusal } from './ledger/closing';
import type { Grant, Renewal, Seen, Told } from './ledger/messages';
import { givesLess, type Limit } from './limit';
import { Pace } from './pace';
import { PartTime } from './part-time';
import type { Clocks, Heard, Ticket } from './ticket';

export type { Clocks, Ticket } from './ticket';

export class Account {
  private epoch: number;
  private seq = 0;
  private has = 0;
  private settled = 0;
  private held = 0;
  private late = 0;
  private mute = 0;
  /** Settled when the last renewal was sent. */
  private lastSettled = 0;
  private readonly time: PartTime;
  private rate = 0;
  private one: number;
  private known: Seen | undefined;
  private readonly word = new LedgerWord();
  private readonly header = new KeptHeader();
  private refused = false;
  private slowest = 0;
  private readonly ended = new EndedParts();
  private readonly pace: Pace;
  private readonly closed = new Closed();
  private unknown = true;
  /** Something was spent, given back or learned that the ledger has not confirmed. */
  private untold = false;
  /** Something was learned that the ledger should hear before the next second. */
  urgent = false;

  constructor(
    /** A name of this process and no other, nor of an earlier life of it. */
    private readonly node: string,
    private limit: Limit,
    private readonly clocks: Clocks,
  ) {
    // The process may have had an account of this bucket before, and forgotten it: none of its parts goes on.
    this.epoch = Math.floor(clocks.monotonic() * 1_000);
    this.one = limit.greatestCost;
    this.pace = new Pace(limit.greatestCost);
    this.time = new PartTime(clocks);
  }

  /**
   * The rule was changed while it runs, and the ledger grants by the new one from now on. Tokens in hand go back
   * first, if that gives less.
   */
  adopt(limit: Limit): void {
    if (limit === this.limit) return;
    this.one = Math.max(this.one, limit.greatestCost);
    if (givesLess(limit, this.limit)) this.giveBack();
    this.limit = limit;
  }

  /**
   * Whether a request may go out now. Asked right before it is sent: a part never ends by a timer.
   * @param requests of a run: the first at its greatest cost, the others at what requests cost in the mean
   * @param isPaced false: a further request of a run that has begun
   */
  may(requests = 1, isPaced = true): boolean {
    // A place that is another node's by now is not used again: it goes back with the next message.
    if (this.limit.shape === 'concurrent' && this.held >= this.rate) return false;
    if (this.isClosed || !this.time.lives || (isPaced && this.clocks.monotonic() < this.pace.next)) return false;
    return this.free >= this.one + this.further(requests) - 1e-9;
  }

  /** Seconds until the pace or a closing lets it ask again; Infinity: it has to wait for tokens. */
  get wait(): number {
    const now = this.clocks.monotonic();
    if (this.closed.until > now) return this.closed.until - now;
    if (!this.time.lives || this.free < this.one - 1e-9) return Infinity;
    // More places are taken than are this node's by now: one has to come back.
    if (this.limit.shape === 'concurrent' && this.held >= this.rate) return Infinity;
    return Math.max(0, this.pace.next - now);
  }

  /** Takes what one request can cost at most. Only after `may`. */
  reserve(): Ticket {
    this.pace.sent(this.clocks.monotonic(), this.rate, this.limit);
    return this.take(this.one);
  }

  /**
   * Sets aside for one of the further requests of a run, which gives it back before it reserves: all of them together
   * no more than `may` looked for. Nothing is sent for it, so it takes no place in the pace: the request itself does.
   */
  earmark(requests: number): Ticket {
    return this.take(this.further(requests) / Math.max(1, requests - 1));
  }

  private further(requests: number): number {
    return this.pace.further(requests, this.one, this.rate, this.limit);
  }

  private take(reserved: number): Ticket {
    const { monotonic: now, wall } = this.time.now();
    this.held += reserved;
    this.pace.holds(this.held);
    this.untold = true;
    const seen = this.known && { era: this.known.era, spent: this.known.spent + this.settled - this.word.reported };
    return {
      epoch: this.epoch,
      reserved,
      seen,
      generation: this.closed.generation,
      sentAt: now,
      sentAtWall: wall,
      isPaid: false,
    };
  }

  /**
   * Whether what was reserved may still go out: asked in the last moment before the bytes leave, for the process may
   * have been frozen since. The ledger counts a part that ended for `late` seconds more, and a request needs a part's
   * time of that to arrive. If not: `release` it.
   */
  mayStillSend(ticket: Ticket): boolean {
    const { monotonic, wall } = this.time.now();
    return Math.max(monotonic - ticket.sentAt, wall - ticket.sentAtWall) < this.limit.late - FIGURES.part;
  }

  /** An answer came. */
  settle(ticket: Ticket, heard: Heard): void {
    if (ticket.isPaid) return;
    const cost = Number.isFinite(heard.cost) && heard.cost >= 0 ? heard.cost : ticket.reserved;
    const isRefused = heard.refusedFor !== undefined;
    if (!isRefused) this.pace.note(cost);
    this.slowest = Math.max(this.slowest, this.clocks.monotonic() - ticket.sentAt);
    this.pay(ticket, cost);
    if (isRefused && (heard.told?.remaining ?? Infinity) >= ticket.reserved) this.refused = true;
    if (heard.told) this.keep(ticket, heard.told);
    else if (ticket.epoch === this.epoch) this.mute++;
  }

  /** No answer came, and may never. It counts as the greatest cost, and late: the request may still arrive. */
  lose(ticket: Ticket): void {
    if (ticket.isPaid) return;
    this.slowest = Math.max(this.slowest, this.clocks.monotonic() - ticket.sentAt);
    this.pay(ticket, ticket.reserved);
    if (ticket.epoch === this.epoch) this.late += ticket.reserved;
  }

  /**
   * Something was spent that nobody had reserved: a request turned out to be of this bucket by its answer. It is told
   * like all else, also where the node has no part.
   */
  overdraw(cost: number): void {
    if (!(Number.isFinite(cost) && cost > 0)) return;
    // Nobody hears any more of what is spent of a part that has ended.
    if (this.time.isOver) this.begin();
    this.settled += cost;
    this.has = Math.max(this.has, this.settled + this.held);
    this.untold = true;
  }

  /** It was never sent: nothing was spent. */
  release(ticket: Ticket): void {
    this.pay(ticket, 0);
  }

  /** The ledger's generation as far as this node knows it: `budget open` raises it. */
  get generation(): number {
    return this.closed.generation;
  }

  /** Closed by an answer: at once here; the ledger is told what comes back of this (undefined: nothing new). */
  close(ticket: Pick<Ticket, 'generation' | 'sentAt'>, forSeconds: number): Refusal | undefined {
    const { window = this.header.window, longestClosing: longest } = this.limit;
    // Granted by a limit that may have been another one: refusals after it opens would be as many as are in hand.
    this.giveBack();
    return this.closed.close(ticket, forSeconds, { window, longest }, this.clocks.monotonic());
  }

  /** The ledger says how long it is closed: after a refusal of ours (`told`), or by NOTIFY. */
  hearClosed(closedFor: number, generation: number, told = false): void {
    const now = this.clocks.monotonic();
    this.closed.hear(closedFor, generation, told, now, now);
    if (this.isClosed) this.giveBack();
  }

  /** The statement that was to tell the ledger of a closing failed. */
  closingLost(): void {
    this.closed.notTold();
  }

  /**
   * The message to the ledger now. Tokens that are too few for a request, or more than the next second needs, go back
   * with it.
   * @param requests that are ready now or will be within a second
   * @param growth above 1: somebody waits, and it had too little
   */
  renewal(requests: number, growth = 1): Renewal {
    if (this.time.isOver) this.begin();
    const isReady = requests > 0;
    const tokens = this.pace.wants(requests, growth, this.held);
    const wants = this.limit.shape === 'concurrent' ? this.held + requests : isReady ? tokens : 0;
    this.has = this.settled + this.held + this.kept(wants, isReady);
    const asked = this.time.ask();
    this.lastSettled = this.settled;
    const { node, epoch, settled, late, held, refused, mute, slowest, generation } = this;
    const closedFor = Math.max(0, this.closed.until - asked.monotonic);
    const counts = { node, epoch, settled, late, held, refused, mute, slowest, generation, closedFor };
    this.untold = true;
    this.slowest = 0;
    this.refused = false;
    this.urgent = false;
    const rest = { floor: this.has, wants, ended: this.ended.quiet };
    return { ...counts, ...rest, ...this.word.told, seq: ++this.seq, header: this.header.at(asked) };
  }

  /**
   * The answer to a renewal; undefined: none came, or it failed. An answer to another than the last one is not heard:
   * it was given back since.
   */
  granted(renewal: Renewal, grant: Grant | undefined): void {
    if (grant === undefined) {
      // Its words may not have been heard.
      this.refused ||= renewal.refused;
      this.slowest = Math.max(this.slowest, renewal.slowest);
      return;
    }
    if (renewal.epoch !== this.epoch || renewal.seq !== this.seq) return;
    this.ended.told(renewal.ended);
    if (grant.kind === 'ended') return this.begin();
    if (grant.kind === 'stale') return;
    this.untold = this.settled !== renewal.settled;
    if (this.known?.era !== grant.seen.era) this.header.forget();
    this.has = grant.granted;
    const { closedFor, generation, lasts } = grant;
    const asked = this.time.asked!;
    this.time.begin(lasts);
    this.known = grant.seen;
    this.word.hear(grant, asked, this.clocks.monotonic());
    this.word.reported = this.lastSettled;
    this.rate = grant.rate;
    this.one = grant.reserve;
    this.unknown = grant.unknown;
    this.closed.hear(closedFor, generation, false, asked.monotonic, this.clocks.monotonic());
  }

  /** The time of the bucket by what was heard of it. @param asked when the statement was sent that has read its row */
  reckoned(asked: number): ReturnType<LedgerWord['reckoned']> {
    return this.word.reckoned(asked, this.time.now());
  }

  /** Tokens in hand and under way, for `budget show`. */
  get shown(): { has: number; held: number; settled: number; rate: number; epoch: number } {
    const { has, held, settled, rate, epoch } = this;
    return { has: this.time.lives ? has - settled : held, held, settled, rate, epoch };
  }

  /** Nothing is in hand, under way or untold: it needs no renewal while nobody wants anything. */
  get isIdle(): boolean {
    const isEmpty = this.held < 1e-9 && (!this.time.lives || this.free < 1e-9);
    return isEmpty && !this.untold && !this.refused && !this.urgent && this.ended.isEmpty;
  }

  /** It has no part that it may spend, so whoever wants something waits for the ledger's word. */
  get isWithout(): boolean {
    return !this.time.lives;
  }

  get isClosed(): boolean {
    return this.closed.until > this.clocks.monotonic();
  }

  private get free(): number {
    return this.has - this.settled - this.held;
  }

  /** Another part; what is under way of the last one is settled there. */
  private begin(): void {
    if (this.has > 0) this.ended.add({ epoch: this.epoch, settled: this.settled, held: this.held });
    this.epoch++;
    this.seq = 0;
    this.has = this.settled = this.held = this.late = this.mute = 0;
    this.word.reported = 0;
    this.rate = 0;
    this.known = undefined;
    this.header.forget();
    this.time.end();
  }

  private pay(ticket: Ticket, cost: number): void {
    if (ticket.isPaid) return;
    ticket.isPaid = true;
    this.untold = true;
    if (ticket.epoch === this.epoch) {
      this.held -= ticket.reserved;
      this.settled += cost;
      return;
    }
    this.ended.pay(ticket.epoch, ticket.reserved, cost);
  }

  /** The header that had most in it is told; and no more is in hand than was seen to be left. */
  private keep(ticket: Ticket, told: Told): void {
    // One of a part that has ended was compared with a count of then.
    if (!ticket.seen || ticket.epoch !== this.epoch || ticket.seen.era !== this.known?.era) return;
    if (!this.header.hear(told, ticket.seen, this.time.now())) return;
    if (this.unknown) this.urgent = true;
    this.has = Math.min(this.has, this.settled + this.held + Math.max(0, told.remaining));
  }

  private kept(wants: number, isReady: boolean): number {
    const { free } = this;
    if (this.limit.shape === 'concurrent')
      return Math.max(0, Math.min(free, Math.min(Math.ceil(wants), this.rate) - this.held));
    if (!isReady || free < this.one) return 0;
    return Math.min(free, wants * FIGURES.inHand + this.one);
  }

  private giveBack(): void {
    this.has = Math.min(this.has, this.settled + this.held);
    this.untold = true;
  }
}
