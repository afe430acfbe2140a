/**
 * One member's mail in memory, and which of it is next. `member.ts` has one of these; `pool-members.ts` puts in what
 * was read.
 *
 * Each sender has a **lane**: what it sent to this member, in the order of its numbers. A lane whose first message
 * waits (it has failed, or one before it has not been seen) lets the other lanes go on. Among lanes the oldest
 * message is next, so none starves. Each timer and each operation's `apply` has a lane too.
 */
import type { MemberLimits } from './constants';
import { Heap } from './heap';
import { toldOf } from './marks';
import type { Brought, Image, Mail, Timer } from './types';

export type What =
  | { readonly kind: 'mail'; readonly mail: Mail }
  | { readonly kind: 'timer'; readonly timer: Timer }
  | { readonly kind: 'apply'; readonly brought: Brought; readonly attempts: number };

export interface Entry {
  readonly what: What;
  /** The smallest of all lanes is next. */
  readonly order: number;
  /** The reading of the mail that brought it. */
  readonly reading: number;
}

export type Dropped = 'twice' | 'too old' | 'too late' | 'removed';

export interface Next {
  readonly entry: Entry;
  /** Undefined: a handler is to run. */
  readonly drop?: Dropped;
}

/** The member, as the box must know it to judge its mail. */
export interface View {
  readonly image: Image;
  /** The stamp of the last removal. */
  readonly removedAt: number;
  /** Requests that have been handled here and whose commit is under way, or was a short while ago. */
  readonly asked: (request: string) => boolean;
}

interface Lane {
  readonly name: string;
  readonly entries: Entry[];
  /** After a failure, its first one waits until then. */
  until: number;
  /** Its order in the heap; undefined: it does not stand there. */
  ready: number | undefined;
}

export class Mailbox {
  private readonly lanes = new Map<string, Lane>();
  private readonly ready = new Heap<{ lane: Lane; order: number }>();
  /** Lanes whose first one waits for a time. */
  private readonly waiting = new Set<Lane>();
  /** Lanes whose first one waits for one before it. */
  private readonly gaps = new Set<Lane>();
  /** Mail that stood behind a message which waits now: it need not be in memory as long. */
  private behind: Mail[] = [];
  /** A lane goes on of which not all is in memory. */
  private isFreed = false;
  /** The last reading that has looked for this member's mail, and how far it came. */
  private looked = { reading: 0, upTo: 0 };

  constructor(private readonly limits: MemberLimits) {}

  get isEmpty(): boolean {
    return this.lanes.size === 0;
  }
  get hasGaps(): boolean {
    return this.gaps.size > 0;
  }
  /** When the first of the lanes that wait for a time may go on; Infinity: none does. */
  get wakesAt(): number {
    let at = Infinity;
    for (const { until } of this.waiting) at = Math.min(at, until);
    return at;
  }

  /** Whether mail of this sender is here. */
  hasFrom(sender: string): boolean {
    return this.lanes.has(`from ${sender}`);
  }

  /** Senders whose first message waits for its time: the rest of theirs is not to be read before. */
  get blocked(): string[] {
    return [...this.waiting].flatMap(({ entries: [first] }) =>
      first?.what.kind === 'mail' ? first.what.mail.from : [],
    );
  }

  /** Whether one that stands in a gap waits for this, or for what comes after it. */
  fills({ from, number }: Mail): boolean {
    const lane = this.lanes.get(`from ${from}`);
    const first = lane && this.gaps.has(lane) ? numberOf(lane.entries[0]!) : undefined;
    return first !== undefined && number !== undefined && number < first;
  }

  /** Mail that is out of memory since the last call, to be read again later; and whether that is now. */
  takeBehind(): { mail: Mail[]; isFreed: boolean } {
    const { behind: mail, isFreed } = this;
    this.behind = [];
    this.isFreed = false;
    return { mail, isFreed };
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (const { entries } of this.lanes.values()) yield* entries;
  }

  put(entry: Entry): void {
    const name = laneOf(entry.what);
    let lane = this.lanes.get(name);
    if (!lane) this.lanes.set(name, (lane = { name, entries: [], until: 0, ready: undefined }));
    const { entries } = lane;
    if (entry.what.kind === 'apply') {
      // The value that was fetched later says all that the one before it said.
      const there = entries[0]?.what;
      if (there?.kind === 'apply' && there.brought.fetchedAt >= entry.what.brought.fetchedAt) return;
      entries.length = 0;
    }
    let at = entries.length;
    while (at > 0 && isBefore(entry, entries[at - 1]!)) at--;
    entries.splice(at, 0, entry);
    // Another one may be the first now.
    if (at === 0) this.queue(lane);
  }

  /** Gives back what could not be handled now: it is the first of its lane again. */
  putBack(entry: Entry, until = 0): void {
    this.put(entry);
    const lane = this.lanes.get(laneOf(entry.what))!;
    if (until > 0 && lane.entries[0] === entry) this.wait(lane, until);
  }

  /**
   * A reading has ended that has looked for this member's mail up to that id: what it did not find is not there.
   * @param crowded there was no room for what it found: mail that came later than that, and waits, makes room
   */
  lookedFor(reading: number, upTo: number, crowded: boolean): void {
    this.looked = { reading, upTo };
    for (const lane of [...this.gaps]) {
      const { what } = lane.entries[0]!;
      if (crowded && what.kind === 'mail' && what.mail.id > upTo) this.leave(lane, 0);
      else this.queue(lane);
    }
  }

  next(view: View, now: number): Next | undefined {
    for (const lane of [...this.waiting]) {
      if (lane.until > now) continue;
      this.isFreed ||= lane.name.startsWith('from ');
      this.queue(lane);
    }
    for (let first = this.ready.pop(); first; first = this.ready.pop()) {
      // It was put in again meanwhile, or waits.
      if (first.lane.ready !== first.order) continue;
      const found = this.take(first.lane, view, now);
      if (found) return found;
    }
    return undefined;
  }

  /** Forgets the mail and the timers, which are read again, and keeps what operations have brought. */
  clear(): void {
    for (const lane of this.lanes.values()) {
      if (lane.entries[0]?.what.kind !== 'apply') this.forget(lane);
    }
  }

  /** The first of a lane that is to be handled or dropped; undefined: the lane waits, or is empty. */
  private take(lane: Lane, view: View, now: number): Next | undefined {
    lane.ready = undefined;
    for (;;) {
      const entry = lane.entries[0];
      if (!entry) {
        this.forget(lane);
        return undefined;
      }
      const what = this.judge(entry, view, now);
      if (what === 'gap') {
        this.gaps.add(lane);
        return undefined;
      }
      if (typeof what === 'number') {
        this.wait(lane, what);
        return undefined;
      }
      lane.entries.shift();
      lane.until = 0;
      if (what === 'skip') continue;
      if (lane.entries.length > 0) this.queue(lane);
      else this.forget(lane);
      return what === 'run' ? { entry } : { entry, drop: what };
    }
  }

  /** Says what is to become of it; a number: it waits until then. */
  private judge(entry: Entry, view: View, now: number): Dropped | 'run' | 'skip' | 'gap' | number {
    const { what } = entry;
    const { image } = view;
    if (what.kind === 'timer') {
      // Cancelled, set anew, or gone with its member.
      const { name, set } = what.timer;
      return image.timers.get(name)?.set === set ? 'run' : 'skip';
    }
    if (what.kind === 'apply') {
      const applied = image.applied.get(what.brought.operation) ?? -Infinity;
      return image.present && what.brought.fetchedAt > applied ? 'run' : 'skip';
    }
    const { mail } = what;
    if (mail.id < view.removedAt) return 'removed';
    if (mail.request && (mail.answered === true || view.asked(mail.request.id))) return 'twice';
    const told = toldOf(image.marks, mail);
    if (told === 'gap' && !this.isLost(entry, mail)) return 'gap';
    const again = mail.request ? this.limits.requestAgainMs : this.limits.tellAgainMs;
    // A request whose reply is kept no longer is told so, also where it was handled.
    if (mail.storedAt - mail.toldAt > again) return 'too old';
    if (told === 'twice') return 'twice';
    if (mail.notBefore !== undefined && mail.notBefore > now) return mail.notBefore;
    return mail.request && mail.request.deadline <= now ? 'too late' : 'run';
  }

  /** Whether what is missing before it is nowhere: a reading that began after it was seen has not found it. */
  private isLost({ reading }: Entry, { id }: Mail): boolean {
    return this.looked.reading > reading && this.looked.upTo >= id;
  }

  private queue(lane: Lane): void {
    this.waiting.delete(lane);
    this.gaps.delete(lane);
    const { order } = lane.entries[0]!;
    if (lane.ready === order) return;
    lane.ready = order;
    this.ready.push(order, { lane, order });
  }

  private wait(lane: Lane, until: number): void {
    lane.ready = undefined;
    lane.until = until;
    this.waiting.add(lane);
    this.leave(lane, 1);
  }

  /** All of a lane's mail from that place on goes out of memory. */
  private leave(lane: Lane, from: number): void {
    for (const { what } of lane.entries.splice(from)) if (what.kind === 'mail') this.behind.push(what.mail);
    if (lane.entries.length === 0) this.forget(lane);
  }

  private forget(lane: Lane): void {
    lane.ready = undefined;
    lane.entries.length = 0;
    this.waiting.delete(lane);
    this.gaps.delete(lane);
    if (this.lanes.get(lane.name) === lane) this.lanes.delete(lane.name);
  }
}

export function laneOf(what: What): string {
  if (what.kind === 'mail') return `from ${what.mail.from}`;
  return what.kind === 'timer' ? `timer ${what.timer.name}` : `apply ${what.brought.operation}`;
}

/** The order within a lane: by number, where they have one; a repetition stands behind the first. */
function isBefore(a: Entry, b: Entry): boolean {
  const [one, other] = [numberOf(a), numberOf(b)];
  if (one !== undefined && other !== undefined && one !== other) return one < other;
  return a.order < b.order;
}

const numberOf = ({ what }: Entry): number | undefined => (what.kind === 'mail' ? what.mail.number : undefined);
