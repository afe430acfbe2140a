/**
 * One member's mail in memory, and which of it is next. `member.ts` has one of these; `pool-members.ts` puts in what
 * was read.
 *
 * Each sender has a **stream**: what it sent to this member, in the order of its numbers. A stream whose first message
 * waits (it has failed, or one before it has not been seen) lets the other streams go on. Among streams the oldest
 * message is next, so none starves. Each timer and each operation's `apply` has a stream too.
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
  /** The smallest of all streams is next. */
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

interface Stream {
  readonly name: string;
  readonly entries: Entry[];
  /** After a failure, its first one waits until then. */
  until: number;
  /** Its order in the heap; undefined: it does not stand there. */
  ready: number | undefined;
}

const NOBODY: readonly string[] = [];

export class Mailbox {
  private readonly streams = new Map<string, Stream>();
  private readonly ready = new Heap<{ stream: Stream; order: number }>();
  /** Streams whose first one waits for a time. */
  private readonly waiting = new Set<Stream>();
  /** Streams whose first one waits for one before it. */
  private readonly gaps = new Set<Stream>();
  /** Mail that stood behind a message which waits now: it need not be in memory as long. */
  private behind: Mail[] = [];
  /** A stream goes on of which not all is in memory. */
  private isFreed = false;
  /** The last reading that has looked for this member's mail, and how far it came. */
  private looked = { reading: 0, upTo: 0 };

  constructor(private readonly limits: MemberLimits) {}

  get isEmpty(): boolean {
    return this.streams.size === 0;
  }
  get hasGaps(): boolean {
    return this.gaps.size > 0;
  }
  /** When the first of the streams that wait for a time may go on; Infinity: none does. */
  get wakesAt(): number {
    let at = Infinity;
    for (const { until } of this.waiting) at = Math.min(at, until);
    return at;
  }

  /** Whether mail of this sender is here. */
  hasFrom(sender: string): boolean {
    return this.streams.has(`from ${sender}`);
  }

  /** Senders whose first message waits for its time: the rest of theirs is not to be read before. */
  get blocked(): readonly string[] {
    // Each reading asks all members in memory, and nearly none has such a sender.
    if (this.waiting.size === 0) return NOBODY;
    return [...this.waiting].flatMap(({ entries: [first] }) =>
      first?.what.kind === 'mail' ? first.what.mail.from : [],
    );
  }

  /** Whether one that stands in a gap waits for this, or for what comes after it. */
  fills({ from, number }: Mail): boolean {
    const stream = this.streams.get(`from ${from}`);
    const first = stream && this.gaps.has(stream) ? numberOf(stream.entries[0]!) : undefined;
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
    for (const { entries } of this.streams.values()) yield* entries;
  }

  put(entry: Entry): void {
    const name = streamOf(entry.what);
    let stream = this.streams.get(name);
    if (!stream) this.streams.set(name, (stream = { name, entries: [], until: 0, ready: undefined }));
    const { entries } = stream;
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
    if (at === 0) this.queue(stream);
  }

  /** Gives back what could not be handled now: it is the first of its stream again. */
  putBack(entry: Entry, until = 0): void {
    this.put(entry);
    const stream = this.streams.get(streamOf(entry.what))!;
    if (until > 0 && stream.entries[0] === entry) this.wait(stream, until);
  }

  /**
   * A reading has ended that has looked for this member's mail up to that id: what it did not find is not there.
   * @param crowded there was no room for what it found: mail that came later than that, and waits, makes room
   */
  lookedFor(reading: number, upTo: number, crowded: boolean): void {
    this.looked = { reading, upTo };
    for (const stream of [...this.gaps]) {
      const { what } = stream.entries[0]!;
      if (crowded && what.kind === 'mail' && what.mail.id > upTo) this.leave(stream, 0);
      else this.queue(stream);
    }
  }

  next(view: View, now: number): Next | undefined {
    for (const stream of [...this.waiting]) {
      if (stream.until > now) continue;
      this.isFreed ||= stream.name.startsWith('from ');
      this.queue(stream);
    }
    for (let first = this.ready.pop(); first; first = this.ready.pop()) {
      // It was put in again meanwhile, or waits.
      if (first.stream.ready !== first.order) continue;
      const found = this.take(first.stream, view, now);
      if (found) return found;
    }
    return undefined;
  }

  /** Forgets the mail and the timers, which are read again, and keeps what operations have brought. */
  clear(): void {
    for (const stream of this.streams.values()) {
      if (stream.entries[0]?.what.kind !== 'apply') this.forget(stream);
    }
  }

  /** The first of a stream that is to be handled or dropped; undefined: the stream waits, or is empty. */
  private take(stream: Stream, view: View, now: number): Next | undefined {
    stream.ready = undefined;
    for (;;) {
      const entry = stream.entries[0];
      if (!entry) {
        this.forget(stream);
        return undefined;
      }
      const what = this.judge(entry, view, now);
      if (what === 'gap') {
        this.gaps.add(stream);
        return undefined;
      }
      if (typeof what === 'number') {
        this.wait(stream, what);
        return undefined;
      }
      stream.entries.shift();
      stream.until = 0;
      if (what === 'skip') continue;
      if (stream.entries.length > 0) this.queue(stream);
      else this.forget(stream);
      return what === 'run' ? { entry } : { entry, drop: what };
    }
  }

  /** Says what is to become of it; a number: it waits until then. */
  private judge(entry: Entry, view: View, now: number): Dropped | 'run' | 'skip' | 'gap' | number {
    const { what } = entry;
    const { image } = view;
    if (what.kind === 'timer') {
      // Cancelled, set anew, or gone with its member.
      const timer = image.timers.get(what.timer.name);
      // If it has failed meanwhile it rings again by itself.
      return timer?.set === what.timer.set && timer.at <= now ? 'run' : 'skip';
    }
    if (what.kind === 'apply') {
      const applied = image.applied.get(what.brought.operation) ?? -Infinity;
      return image.present && what.brought.fetchedAt > applied ? 'run' : 'skip';
    }
    const { mail } = what;
    if (mail.request && (mail.answered === true || view.asked(mail.request.id))) return 'twice';
    const told = toldOf(image.marks, mail);
    if (told === 'gap' && mail.id >= view.removedAt && !this.isLost(entry, mail)) return 'gap';
    const again = mail.request ? this.limits.requestAgainMs : this.limits.tellAgainMs;
    // A request whose reply is kept no longer is told so, also where it was handled.
    if (mail.storedAt - mail.toldAt > again) return 'too old';
    if (told === 'twice') return 'twice';
    if (mail.id < view.removedAt) return 'removed';
    if (mail.notBefore !== undefined && mail.notBefore > now) return mail.notBefore;
    return mail.request && mail.request.deadline <= now ? 'too late' : 'run';
  }

  /** Whether what is missing before it is nowhere: a reading that began after it was seen has not found it. */
  private isLost({ reading }: Entry, { id }: Mail): boolean {
    return this.looked.reading > reading && this.looked.upTo >= id;
  }

  private queue(stream: Stream): void {
    this.waiting.delete(stream);
    this.gaps.delete(stream);
    const { order } = stream.entries[0]!;
    if (stream.ready === order) return;
    stream.ready = order;
    this.ready.push(order, { stream, order });
  }

  private wait(stream: Stream, until: number): void {
    stream.ready = undefined;
    stream.until = until;
    this.waiting.add(stream);
    this.leave(stream, 1);
  }

  /** All of a stream's mail from that place on goes out of memory. */
  private leave(stream: Stream, from: number): void {
    for (const { what } of stream.entries.splice(from)) if (what.kind === 'mail') this.behind.push(what.mail);
    if (stream.entries.length === 0) this.forget(stream);
  }

  private forget(stream: Stream): void {
    stream.ready = undefined;
    stream.entries.length = 0;
    this.waiting.delete(stream);
    this.gaps.delete(stream);
    if (this.streams.get(stream.name) === stream) this.streams.delete(stream.name);
  }
}

export function streamOf(what: What): string {
  if (what.kind === 'mail') return `from ${what.mail.from}`;
  return what.kind === 'timer' ? `timer ${what.timer.name}` : `apply ${what.brought.operation}`;
}

/** The order within a stream: by number, where they have one; a repetition stands behind the first. */
function isBefore(a: Entry, b: Entry): boolean {
  const [one, other] = [numberOf(a), numberOf(b)];
  if (one !== undefined && other !== undefined && one !== other) return one < other;
  return a.order < b.order;
}

const numberOf = ({ what }: Entry): number | undefined => (what.kind === 'mail' ? what.mail.number : undefined);
