/**
 * One member in memory: its mail, its one turn that runs, and its turns that have ended and are not committed.
 * Handlers run one after another; each begins where the last one ended, without waiting for the commit. When a commit
 * is refused, or its answer is lost, all of that is forgotten and read again. `pool-members.ts` has one of these for
 * each member that has something to do.
 */
import type { MemberLimits, Size } from './constants';
import { dropped, failed, handled, type EndedTurn, type Where } from './ended';
import { Mailbox, type Entry, type View } from './mailbox';
import { PLAIN_STATES, type StateCode } from './loading';
import { Turn } from './turn';
import type { Address, Brought, Image } from './types';

/** A member, as it was read. */
export interface Stored {
  /** The version of its row; 0: there is none. */
  readonly version: number;
  readonly image: Image;
  /** The stamp of its last removal; 0: none is known. */
  readonly removedAt: number;
}

const NOBODY: Image = {
  present: false,
  state: null,
  stateVersion: 1,
  marks: new Map(),
  applied: new Map(),
  timers: new Map(),
  sets: 0,
};
export const NOT_STORED: Stored = { version: 0, image: NOBODY, removedAt: 0 };

/** The wait of a member that is stale a second time, and the longest. Milliseconds. */
const STALE_MS = 50;
const STALE_MAX_MS = 5_000;

/** Requests that were handled here a short while ago: a repetition of one may be in memory already. */
const ASKED = 256;

/** Entries and bytes, of this and of all that it is a part of. */
export class Gauge {
  entries = 0;
  bytes = 0;
  constructor(private readonly whole?: Gauge) {}
  add(entries: number, bytes: number): void {
    this.entries += entries;
    this.bytes += bytes;
    this.whole?.add(entries, bytes);
  }
  /** Whether so much more fits; what is larger than all of it fits into nothing. */
  fits(bytes: number, limit: Size): boolean {
    return this.entries === 0 || (this.entries < limit.entries && this.bytes + bytes <= limit.bytes);
  }
}

export class Member {
  phase: 'away' | 'loading' | 'here' = 'away';
  version = 0;
  /** As it is stored. */
  base: Image = NOBODY;
  removedAt = 0;
  /** In their order. The first `committing` of them are in a commit that is under way. */
  readonly ended: EndedTurn[] = [];
  committing = 0;
  running: Turn | undefined;
  /** So many of its turns are committed one by one: one of them was refused, and it is not known which. */
  careful = 0;
  /** Counts what makes all before it void. */
  life = 0;
  /** Whether a turn has called the user's `load` since it was read. */
  hooked = false;
  /** The same, since it is in memory: it may have been read again meanwhile. */
  wasHooked = false;
  usedAt = 0;
  /** When it last had a message or a timer to handle, or was known to have had one. */
  wokenAt = -Infinity;
  /** How often in a row the store found it to be otherwise than it was thought to be. */
  stale = 0;
  /** It is not read before that. */
  readNotBefore = 0;
  /** When it is woken next, if nothing happens before. */
  alarm = Infinity;
  readonly box: Mailbox;
  /** Mail in memory, handled or not. */
  readonly memory: Gauge;
  private readonly asked = new Set<string>();
  private endedBytes = 0;

  constructor(
    readonly address: Address,
    private readonly limits: MemberLimits,
    memory: Gauge,
    private readonly states: StateCode = PLAIN_STATES,
  ) {
    this.box = new Mailbox(limits);
    this.memory = new Gauge(memory);
  }

  /** As it is after all of its turns. */
  get image(): Image {
    return this.ended.at(-1)?.after ?? this.base;
  }
  get isIdle(): boolean {
    return this.box.isEmpty && this.ended.length === 0 && this.running === undefined;
  }

  load({ version, image, removedAt }: Stored, now: number): void {
    this.phase = 'here';
    this.usedAt = now;
    this.version = version;
    this.base = image;
    this.removedAt = Math.max(this.removedAt, removedAt);
    this.hooked = false;
  }

  /** The next turn, if there is one now; what needs no handler ends at once. */
  begin(now: number): Turn | undefined {
    if (this.phase !== 'here' || this.running) return undefined;
    const { ahead } = this.limits;
    while (this.ended.length < ahead.entries && this.endedBytes <= ahead.bytes) {
      const next = this.box.next(this.view, now);
      if (!next) return undefined;
      const { entry, drop } = next;
      if (drop && entry.what.kind === 'mail') {
        this.end(dropped(this.where(now), entry, entry.what.mail, drop));
        continue;
      }
      this.usedAt = now;
      if (entry.what.kind !== 'apply') this.wokenAt = now;
      this.running = new Turn(this.address, entry, this.image, this.limits, now, this.states);
      return this.running;
    }
    return undefined;
  }

  /** The handler has ended well, or says so. @returns undefined: the turn was not its any more */
  succeed(turn: Turn, now: number): EndedTurn | undefined {
    if (this.running !== turn) return undefined;
    try {
      const effects = turn.end();
      this.running = undefined;
      this.hooked = this.wasHooked = true;
      return this.end(handled(this.where(now), turn.entry, effects));
    } catch (thrown) {
      // A state that JSON cannot say is the handler's failure.
      return this.fail(turn, thrown, now);
    }
  }

  /** The handler threw, or its time is over: its state goes back, and what it sent was never sent. */
  fail(turn: Turn, thrown: unknown, now: number): EndedTurn | undefined {
    if (this.running !== turn) return undefined;
    turn.close();
    this.running = undefined;
    return this.endFailed(turn.entry, thrown, now);
  }

  /** Its node cannot end the turn, for no fault of the turn's: its entry is mail again. */
  giveBack(turn: Turn): void {
    if (this.running !== turn) return;
    turn.close();
    this.running = undefined;
    this.box.putBack(turn.entry);
  }

  /** So many of the ended turns were committed, and the row has this version now. */
  committed(count: number, version: number): EndedTurn[] {
    const done = this.ended.splice(0, count);
    this.committing = 0;
    this.careful = Math.max(0, this.careful - count);
    this.version = version;
    this.stale = 0;
    if (done.length > 0) this.base = done.at(-1)!.after;
    for (const turn of done) {
      this.endedBytes -= turn.bytes;
      this.leave(turn);
    }
    return done;
  }

  /**
   * The first ended turn could not be stored for its own sake: it has failed, and those after it have not been. If it
   * is a failure already, the member can only be read again.
   */
  firstFailed(thrown: unknown, now: number): EndedTurn | 'read again' | undefined {
    const [first, ...rest] = this.ended;
    if (first?.outcome !== 'handled') return 'read again';
    this.stop(rest);
    return this.endFailed(first.entry, thrown, now);
  }

  /** All that is known of it may be wrong: forgotten, and read again. It keeps what operations have brought. */
  forget(): void {
    const applies = [this.running?.entry, ...this.ended.map(({ entry }) => entry)].filter(
      (entry): entry is Entry => entry?.what.kind === 'apply',
    );
    this.running?.close();
    this.running = undefined;
    this.ended.length = 0;
    this.endedBytes = 0;
    this.committing = this.careful = 0;
    this.box.clear();
    this.memory.add(-this.memory.entries, -this.memory.bytes);
    this.asked.clear();
    for (const entry of applies) this.box.put(entry);
    this.phase = 'away';
    this.base = NOBODY;
    this.version = 0;
    this.alarm = Infinity;
    this.life++;
  }

  /**
   * The store found its row, its mail or an answer otherwise than it was thought to be: forgotten, and read again. Once
   * that is the order of the day; one of which it is so again and again waits longer each time.
   */
  forgetStale(now: number): void {
    this.forget();
    this.stale++;
    if (this.stale > 1) this.readNotBefore = now + Math.min(STALE_MS * 2 ** Math.min(this.stale - 2, 10), STALE_MAX_MS);
  }

  put(entry: Entry): void {
    const { what } = entry;
    if (what.kind === 'mail') this.memory.add(1, what.mail.bytes);
    this.box.put(entry);
  }

  bring(brought: Brought, order: number): void {
    this.box.put({ what: { kind: 'apply', brought, attempts: 0 }, order, reading: 0 });
  }

  private endFailed(entry: Entry, thrown: unknown, now: number): EndedTurn | undefined {
    const turn = failed(this.where(now), entry, thrown);
    if ('waitMs' in turn) {
      const { what } = entry;
      if (what.kind === 'apply') {
        this.box.putBack({ ...entry, what: { ...what, attempts: what.attempts + 1 } }, now + turn.waitMs);
      }
      return undefined;
    }
    return this.end(turn);
  }

  private end(turn: EndedTurn): EndedTurn {
    this.ended.push(turn);
    this.endedBytes += turn.bytes;
    const { what } = turn.entry;
    if (what.kind === 'mail' && turn.again) {
      // Until that is stored it is not tried again; its stream waits, and the others go on.
      const mail = { ...what.mail, attempts: turn.again.attempts, notBefore: turn.again.notBefore };
      this.box.putBack({ ...turn.entry, what: { kind: 'mail', mail } }, turn.again.notBefore);
    }
    return turn;
  }

  /** Turns that end, or run, on a state that will not be: their entries are mail again. */
  private stop(rest: EndedTurn[]): void {
    const running = this.running?.entry;
    this.running?.close();
    this.running = undefined;
    this.ended.length = 0;
    this.endedBytes = 0;
    this.committing = this.careful = 0;
    // An entry that failed is in the box already, as it was before.
    for (const { entry, again } of rest) if (!again) this.box.putBack(entry);
    if (running) this.box.putBack(running);
  }

  /** Its mail is out of the tables, so it is out of memory. */
  private leave({ entry: { what }, gone }: EndedTurn): void {
    if (what.kind !== 'mail' || gone === undefined) return;
    this.memory.add(-1, -what.mail.bytes);
    if (!what.mail.request) return;
    this.asked.add(what.mail.request.id);
    for (const oldest of this.asked) {
      if (this.asked.size <= ASKED) break;
      this.asked.delete(oldest);
    }
  }

  private where(now: number): Where {
    const { address, image, limits, box, wokenAt } = this;
    const awaited = (sender: string): boolean => box.hasFrom(sender);
    return { address, image, limits, awaited, wokenAt, now };
  }

  private get view(): View {
    const isEnded = (request: string): boolean =>
      this.ended.some(({ entry: { what } }) => what.kind === 'mail' && what.mail.request?.id === request);
    const { image, removedAt } = this;
    return { image, removedAt, asked: (request) => this.asked.has(request) || isEnded(request) };
  }
}
