/**
 * Buckets of members: each member of a tracker has one of its own (ESI's group × character), and only the shift that
 * keeps the member spends from it, so there is no ledger. 100,000 of them live in typed arrays, under 100 bytes each: a
 * window in slots on the *ledger's* absolute grid, never re-dated, and a head. Stored only when changed, with the
 * member's values in the flush.
 *
 * The fence stops writes, not requests: a frozen or cut-off keeper may go on for its patience. So between two stores a
 * shift spends from a bucket no more than a reserve, and whoever takes over without a clean end counts that reserve as
 * spent, half a minute later. A new shift sends its first request of a bucket alone. Called by the shift: `load`, `may`
 * right before a request, `reserve`, then `settle` or `lose`; `store` in the flush and `flushed` after its commit.
 */
import { longer } from '../../lib/longer';
import type { Told } from './ledger/messages';
import { KEPT, ORIGIN, regridded, SLOTS, type MemberLimit, type MemberTicket, type StoredMember } from './member-slots';

export type { MemberLimit, MemberTicket } from './member-slots';

/** Tokens that a slot can count. */
const MOST = 65_535;
/**
 * Seconds after a take-over for which requests of the old keeper may still arrive: it goes on for its patience with the
 * store (ten), and what it was about to send when it froze goes out when it wakes up.
 */
export const OLD_KEEPER = 30;
/** Seconds that an answer takes at most: what it cost is counted when it comes, and was spent before. */
const FLIGHT = 10;
/** Seconds of the shortest window. */
export const SHORTEST = 3;

const NO_HEADER = -(2 ** 31);

/** A bucket a member, by an index that the caller keeps (0 to capacity − 1). One instance for a limit's group. */
export class MemberBuckets {
  /** Bytes of the worker's memory that a bucket takes. */
  static readonly bytes = KEPT * 2 + 4 + 2 + 4 + 2 + 1 + 4 + 4 + 4 + 4 + 2 + 2 + 1;

  /** Seconds of a slot, tokens that we may spend, and the most that one request costs. */
  private readonly width: number;
  private readonly tokens: number;
  private readonly one: number;
  /** The most that a shift spends from a bucket between two stores of it, and that a new keeper counts as spent. */
  readonly reserveAhead: number;
  private slots: Uint16Array;
  private newest: Uint32Array;
  /** Tokens that lie ahead: they count from now on, and fall into their slot when that has come. */
  private late: Uint16Array;
  private lateSlot: Uint32Array;
  private held: Uint16Array;
  private underWay: Uint8Array;
  /** Settled since it was loaded. */
  private spent: Uint32Array;
  /** The last header: remaining + what was settled when its request was sent, that, and the slot in which it came. */
  private seen: Int32Array;
  private seenSpent: Uint32Array;
  private seenAt: Uint32Array;
  /** Spent and in no committed store; spent and in one that is not committed yet. */
  private unstored: Uint16Array;
  private storing: Uint16Array;
  /** Counts the take-overs, by two; odd until the first request of one is back. */
  private life: Uint8Array;

  constructor(
    public capacity: number,
    readonly limit: MemberLimit,
  ) {
    if (!(limit.window >= SHORTEST))
      throw new RangeError(`the window of a member's bucket must have ${SHORTEST} s at least, not ${limit.window}`);
    this.width = limit.window / SLOTS;
    this.tokens = Math.min(MOST, Math.floor(limit.tokens * (1 - limit.headroom)));
    this.one = Math.max(1, Math.min(limit.greatestCost, this.tokens));
    this.reserveAhead = Math.min(this.tokens, Math.ceil(this.one + this.tokens / limit.window));
    this.slots = new Uint16Array(capacity * KEPT);
    this.newest = new Uint32Array(capacity);
    this.late = new Uint16Array(capacity);
    this.lateSlot = new Uint32Array(capacity);
    this.held = new Uint16Array(capacity);
    this.underWay = new Uint8Array(capacity);
    this.spent = new Uint32Array(capacity);
    this.seen = new Int32Array(capacity).fill(NO_HEADER);
    this.seenSpent = new Uint32Array(capacity);
    this.seenAt = new Uint32Array(capacity);
    this.unstored = new Uint16Array(capacity);
    this.storing = new Uint16Array(capacity);
    this.life = new Uint8Array(capacity);
  }

  /** Room for more members; tickets that are out stay good. */
  grow(capacity: number): void {
    if (capacity <= this.capacity) return;
    const before = this.capacity;
    this.slots = longer(this.slots, new Uint16Array(capacity * KEPT));
    this.newest = longer(this.newest, new Uint32Array(capacity));
    this.late = longer(this.late, new Uint16Array(capacity));
    this.lateSlot = longer(this.lateSlot, new Uint32Array(capacity));
    this.held = longer(this.held, new Uint16Array(capacity));
    this.underWay = longer(this.underWay, new Uint8Array(capacity));
    this.spent = longer(this.spent, new Uint32Array(capacity));
    this.seen = longer(this.seen, new Int32Array(capacity).fill(NO_HEADER, before));
    this.seenSpent = longer(this.seenSpent, new Uint32Array(capacity));
    this.seenAt = longer(this.seenAt, new Uint32Array(capacity));
    this.unstored = longer(this.unstored, new Uint16Array(capacity));
    this.storing = longer(this.storing, new Uint16Array(capacity));
    this.life = longer(this.life, new Uint8Array(capacity));
    this.capacity = capacity;
  }

  /**
   * Takes a member over. `isClean`: the shift before said that it was the last store, and nothing was under way. Else
   * what that one may spend until it notices is counted, as spent when nothing of it can arrive any more.
   */
  load(index: number, stored: StoredMember | undefined, isClean: boolean, now: number): void {
    this.slots.fill(0, index * KEPT, (index + 1) * KEPT);
    for (const counts of [this.late, this.lateSlot, this.held, this.underWay, this.spent, this.unstored, this.storing])
      counts[index] = 0;
    this.seen[index] = NO_HEADER;
    this.life[index] = (this.life[index]! + 2) | 1;
    // Nothing comes back early, also if our clock is behind.
    this.newest[index] = Math.max(this.slotAt(now), stored?.slot ?? 0);
    stored?.tokens.forEach((tokens, age) => this.put(index, stored.slot - age, tokens));
    if (stored?.late) this.chargeLate(index, stored.late.slot, stored.late.tokens);
    if (!isClean) this.chargeLate(index, this.slotAt(now + OLD_KEEPER), this.reserveAhead);
  }

  /**
   * Takes a bucket over from those of another limit: what no store has taken of it is spent from the reserve here too.
   */
  moveFrom(before: MemberBuckets, index: number, now: number): void {
    before.giveUp(index, now, OLD_KEEPER);
    this.load(index, regridded(before.stored(index), before.limit.window, this.limit.window), true, now);
    this.unstored[index] = Math.min(MOST, before.unstored[index]! + before.storing[index]!);
  }

  /**
   * Whether a request may go out: what it may cost is within the reserve, the account and the last header, and a new
   * keeper's first is back.
   */
  may(index: number, now: number): boolean {
    this.turn(index, now);
    const held = this.held[index]!;
    if ((this.life[index]! & 1) === 1 && held > 0) return false;
    if (this.underWay[index] === 255) return false;
    if (this.unstored[index]! + this.storing[index]! + held + this.one > this.reserveAhead) return false;
    return this.left(index) >= this.one;
  }

  /** Tokens that are left, less what is under way. */
  left(index: number): number {
    const held = this.held[index]!;
    const seen = this.seen[index]!;
    const own = this.tokens - this.used(index) - held;
    // Late tokens are settled here, and yet in no header.
    return seen === NO_HEADER ? own : Math.min(own, seen - this.spent[index]! - held - this.late[index]!);
  }

  /**
   * Seconds until enough is back for one request; Infinity: an answer or a store has to come first.
   */
  wait(index: number, now: number): number {
    if (this.may(index, now)) return 0;
    const unstored = this.unstored[index]! + this.storing[index]!;
    if (this.held[index]! > 0 || unstored + this.one > this.reserveAhead) return Infinity;
    let missing = this.one - this.left(index);
    const newest = this.newest[index]!;
    for (let slot = newest - KEPT + 1; slot <= newest; slot++) {
      missing -= this.slots[this.place(index, slot)]!;
      if (missing <= 0) return Math.max(0, ORIGIN + (slot + KEPT) * this.width - now);
    }
    return Math.max(this.width, this.limit.window - (newest - this.seenAt[index]!) * this.width);
  }

  /** Spent by a request that had reserved nothing here. */
  overdraw(index: number, cost: number, now: number): void {
    this.turn(index, now);
    const tokens = Math.ceil(Number.isFinite(cost) && cost >= 0 ? cost : this.one);
    this.put(index, this.newest[index]!, tokens);
    this.spent[index]! += tokens;
    this.unstored[index] = Math.min(MOST, this.unstored[index]! + tokens);
  }

  /** Only after `may`. */
  reserve(index: number): MemberTicket {
    const reserved = this.one;
    this.held[index]! += reserved;
    this.underWay[index]!++;
    return { index, reserved, spent: this.spent[index]!, life: this.life[index]! >> 1, isPaid: false };
  }

  /** An answer came. */
  settle(ticket: MemberTicket, cost: number, now: number, told?: Told): void {
    if (this.isOver(ticket)) return;
    const { index, spent } = ticket;
    const tokens = Math.ceil(Number.isFinite(cost) && cost >= 0 ? cost : ticket.reserved);
    this.turn(index, now);
    this.put(index, this.newest[index]!, tokens);
    this.pay(ticket, tokens);
    // A header of a request that was sent before another's is not news.
    if (told === undefined || (this.seen[index] !== NO_HEADER && spent < this.seenSpent[index]!)) return;
    this.seen[index] = Math.floor(Math.min(told.remaining - this.limit.headroom * this.limit.tokens, MOST)) + spent;
    this.seenSpent[index] = spent;
    this.seenAt[index] = this.newest[index]!;
  }

  /** No answer came: the greatest cost, as if spent when it can no longer arrive. `late`: seconds. */
  lose(ticket: MemberTicket, now: number, late: number): void {
    if (this.isOver(ticket)) return;
    this.turn(ticket.index, now);
    this.chargeLate(ticket.index, this.slotAt(now + late), ticket.reserved);
    this.pay(ticket, ticket.reserved);
  }

  /** It was never sent. */
  release(ticket: MemberTicket): void {
    if (this.isOver(ticket)) return;
    const { index, reserved } = ticket;
    ticket.isPaid = true;
    this.held[index] = Math.max(0, this.held[index]! - reserved);
    if (this.underWay[index]! > 0) this.underWay[index]!--;
  }

  /** Nothing is under way: a shift that ends waits for it before its last store. */
  isQuiet(index: number): boolean {
    return this.underWay[index] === 0;
  }

  /** Its keeper goes: requests under way count as spent, when nothing of them can arrive any more. */
  giveUp(index: number, now: number, late: number): void {
    const held = this.held[index]!;
    if (held === 0) return;
    this.turn(index, now);
    this.chargeLate(index, this.slotAt(now + late), held);
    this.unstored[index] = Math.min(MOST, this.unstored[index]! + held);
    this.held[index] = 0;
    this.underWay[index] = 0;
    // Their answers are not heard any more.
    this.life[index]! += 2;
  }

  isStored(index: number): boolean {
    return this.unstored[index] === 0 && this.storing[index] === 0 && this.held[index] === 0;
  }

  /** It has something that no store has taken yet. */
  isChanged(index: number): boolean {
    return this.unstored[index]! > 0;
  }

  /**
   * It should be stored now: soon no request would fit into its reserve. Less than that may wait, for whoever takes
   * over without a clean end counts the whole reserve.
   */
  isDue(index: number): boolean {
    const unstored = this.unstored[index]!;
    return unstored > 0 && 2 * (unstored + this.one) > this.reserveAhead;
  }

  /** The row to be written, if something changed since it was stored last. */
  store(index: number, now: number): StoredMember | undefined {
    if (this.unstored[index] === 0) return undefined;
    this.turn(index, now);
    this.storing[index] = Math.min(MOST, this.storing[index]! + this.unstored[index]!);
    this.unstored[index] = 0;
    return this.stored(index);
  }

  /** The flush that had it was committed, or failed. */
  flushed(index: number, isCommitted: boolean): void {
    if (!isCommitted) this.unstored[index] = Math.min(MOST, this.unstored[index]! + this.storing[index]!);
    this.storing[index] = 0;
  }

  /** As it is written. */
  stored(index: number): StoredMember {
    const slot = this.newest[index]!;
    const tokens = Array.from({ length: KEPT }, (_, age) => this.slots[this.place(index, slot - age)]!);
    while (tokens.length > 0 && tokens.at(-1) === 0) tokens.pop();
    const late = this.late[index]!;
    return late === 0 ? { slot, tokens } : { slot, tokens, late: { slot: this.lateSlot[index]!, tokens: late } };
  }

  private isOver({ isPaid, index, life }: MemberTicket): boolean {
    return isPaid || life !== this.life[index]! >> 1;
  }

  /** Spent and not back, and what may still be spent. */
  private used(index: number): number {
    let sum = this.late[index]!;
    for (let i = index * KEPT, end = i + KEPT; i < end; i++) sum += this.slots[i]!;
    return sum;
  }

  private pay(ticket: MemberTicket, tokens: number): void {
    const { index, reserved } = ticket;
    ticket.isPaid = true;
    this.held[index] = Math.max(0, this.held[index]! - reserved);
    if (this.underWay[index]! > 0) this.underWay[index]!--;
    this.spent[index]! += tokens;
    this.unstored[index] = Math.min(MOST, this.unstored[index]! + tokens);
    this.life[index]! &= ~1;
  }

  /** All that lies ahead falls into the last of its slots: later, never earlier. */
  private chargeLate(index: number, slot: number, tokens: number): void {
    this.late[index] = Math.min(MOST, this.late[index]! + tokens);
    this.lateSlot[index] = Math.max(this.lateSlot[index]!, slot);
  }

  private put(index: number, slot: number, tokens: number): void {
    if (slot <= this.newest[index]! - KEPT || slot > this.newest[index]!) return;
    const at = this.place(index, slot);
    this.slots[at] = Math.min(MOST, this.slots[at]! + tokens);
  }

  /** Slots that are out of the window come back, and what lay ahead falls into its slot. Time never goes back. */
  private turn(index: number, now: number): void {
    const slot = this.slotAt(now);
    const before = this.newest[index]!;
    if (slot <= before) return;
    const flight = Math.ceil(FLIGHT / this.width);
    for (let next = Math.max(before, slot - KEPT) + 1; next <= slot; next++) {
      const at = this.place(index, next);
      const back = this.slots[at]!;
      this.slots[at] = 0;
      // The header still counted it, for sure: now it is gone.
      const isInHeader = next - KEPT + SLOTS - flight > this.seenAt[index]! + 1;
      if (back > 0 && isInHeader && this.seen[index] !== NO_HEADER) this.seen[index]! += back;
    }
    this.newest[index] = slot;
    const late = this.late[index]!;
    if (late > 0 && this.lateSlot[index]! <= slot) {
      this.put(index, this.lateSlot[index]!, late);
      this.late[index] = 0;
      this.lateSlot[index] = 0;
    }
    // All that the header told of is out of the window.
    if (slot - this.seenAt[index]! > KEPT) this.seen[index] = NO_HEADER;
  }

  private place(index: number, slot: number): number {
    return index * KEPT + (slot % KEPT);
  }

  private slotAt(now: number): number {
    return Math.max(KEPT, Math.floor((now - ORIGIN) / this.width));
  }
}
