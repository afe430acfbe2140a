/**
 * The members of one pool on the node that keeps it: what is in memory of their mail, who has the next turn, and what the
 * next commit has of them. The shift reads mail and runs handlers; the node's writer takes a part and brings the verdict
 * back. Nothing here is true before the store has said so.
 */
import {
  partOf,
  turnsThatFit,
  versionAfter,
  type Fence,
  type PoolPart,
  type Refused,
  type Room,
  type Verdict,
} from './commit';
import type { MemberLimits } from './constants';
import type { EndedTurn } from './ended';
import { Heap } from './heap';
import { Gauge, Member, type Stored } from './member';
import type { Turn } from './turn';
import type { Brought, Mail, Timer } from './types';

/** A reading of the mail that is under way. Its statement leaves out what is `known`, and the mail of who is `full`. */
export interface Reading {
  readonly number: number;
  readonly known: readonly number[];
  readonly full: readonly string[];
  readonly rows: number;
}

/** A part of a commit that is under way. */
export interface Handed {
  readonly part: PoolPart;
  readonly of: readonly { readonly member: Member; readonly life: number; readonly turns: number }[];
}

/** What a verdict came to. */
export interface Settled {
  /** Turns that are committed: their replies may leave. */
  readonly turns: readonly EndedTurn[];
  /** Members whose turns are void, and run again. */
  readonly void: readonly string[];
  readonly verdict: Verdict['verdict'];
}

export class PoolMembers {
  /** All mail of the pool that is in memory. */
  readonly memory = new Gauge();
  private readonly members = new Map<string, Member>();
  /** Who may have something to do, in turn. */
  private readonly ready = new Set<Member>();
  /** Who has turns to commit, the longest waiting first. */
  private readonly toCommit = new Set<Member>();
  private readonly toLoad = new Set<Member>();
  /** When something of a member is due: a message that has failed, a timer. */
  private readonly wakes = new Heap<{ member: Member; life: number; timer?: Timer }>();
  private readonly known = new Map<number, Member>();
  private reading: { number: number; gone: Set<number>; spoiled: Set<string>; full: Set<string> } | undefined;
  private readings = 0;
  private orders = 0;

  constructor(
    readonly tracker: string,
    readonly pool: number,
    private readonly limits: MemberLimits,
  ) {}

  get size(): number {
    return this.members.size;
  }
  get hasTurnsToCommit(): boolean {
    return this.toCommit.size > 0;
  }
  /** When something is due by itself. */
  get wakesAt(): number {
    return this.wakes.first;
  }

  // ── The mail ──

  /** Begins to read. One reading at a time. */
  beginReading(): Reading {
    const full = [...this.members.values()].filter(({ memory }) => !memory.fits(1, this.limits.memberMemory));
    const names = full.map(({ address }) => address.id);
    this.reading = { number: ++this.readings, gone: new Set(), spoiled: new Set(), full: new Set(names) };
    return { number: this.readings, known: [...this.known.keys()], full: names, rows: this.limits.readRows };
  }

  /**
   * What was read, by ids from the smallest on; as many rows as were asked for may not be all. A row that does not fit is
   * left, with all after it of its member: it is read again.
   */
  endReading(rows: readonly Mail[]): void {
    const { reading } = this;
    this.reading = undefined;
    if (!reading) return;
    let upTo = rows.length < this.limits.readRows ? Infinity : rows.at(-1)!.id;
    const left = new Map<string, number>();
    for (const mail of rows) {
      const { id, bytes } = mail;
      // Committed, or forgotten, since the reading began.
      if (this.known.has(id) || reading.gone.has(id) || reading.spoiled.has(mail.member)) continue;
      if (left.has(mail.member)) continue;
      if (!this.memory.fits(bytes, this.limits.poolMemory)) {
        upTo = Math.min(upTo, id - 1);
        break;
      }
      const member = this.of(mail.member);
      if (!member.memory.fits(bytes, this.limits.memberMemory)) {
        left.set(mail.member, id - 1);
        continue;
      }
      this.known.set(id, member);
      member.put({ what: { kind: 'mail', mail }, order: ++this.orders, reading: reading.number });
      this.stir(member);
    }
    for (const member of this.members.values()) {
      const { id } = member.address;
      if (!member.box.hasGaps || reading.full.has(id) || reading.spoiled.has(id)) continue;
      member.box.lookedFor(reading.number, Math.min(upTo, left.get(id) ?? Infinity));
      this.stir(member);
    }
  }

  /** The reading failed. */
  dropReading(): void {
    this.reading = undefined;
  }

  /** Timers that are due, of members that need not be in memory. */
  timersDue(rows: readonly { readonly member: string; readonly timer: Timer }[]): void {
    // A member that is here knows its own; for the others it is enough to be read.
    for (const { member } of rows) this.stir(this.of(member));
  }

  /** An operation has a value for `apply`. */
  bring(id: string, brought: Brought): void {
    const member = this.of(id);
    member.bring(brought, ++this.orders);
    this.stir(member);
  }

  // ── Members ──

  /** Who is to be read now; each is `loaded` or `notLoaded` once. */
  takeLoads(most: number): string[] {
    const ids: string[] = [];
    for (const member of this.toLoad) {
      if (ids.length >= most) break;
      this.toLoad.delete(member);
      member.phase = 'loading';
      ids.push(member.address.id);
    }
    return ids;
  }

  loaded(id: string, stored: Stored, now: number): void {
    const member = this.members.get(id);
    if (member?.phase !== 'loading') return;
    member.load(stored, now);
    this.setAlarms(member, stored.image.timers.values());
    this.stir(member);
  }

  notLoaded(id: string): void {
    const member = this.members.get(id);
    if (member?.phase !== 'loading') return;
    member.phase = 'away';
    this.stir(member);
  }

  /** The roster says so: what is in memory of it is of before. A newer message makes it anew. */
  removed(id: string, stamp: number): void {
    const member = this.members.get(id);
    if (!member) return;
    this.forget(member);
    member.removedAt = Math.max(member.removedAt, stamp);
  }

  /** The pool was split: what is not ours any more is forgotten. */
  narrow(isOurs: (id: string) => boolean): void {
    for (const [id, member] of this.members) {
      if (isOurs(id)) continue;
      this.forget(member);
      this.discard(member);
    }
    // It may have found mail of those.
    this.reading = undefined;
  }

  /** Members that had nothing to do since then, and are out of memory now: for the user's `unload`. */
  unload(before: number): string[] {
    const ids: string[] = [];
    for (const [id, member] of this.members) {
      if (!member.isIdle || member.phase !== 'here' || member.usedAt >= before) continue;
      this.discard(member);
      if (member.hooked) ids.push(id);
    }
    return ids;
  }

  member(id: string): Member | undefined {
    return this.members.get(id);
  }

  // ── Turns ──

  /** The next handler to run. Each member has one turn, then the others have theirs. */
  next(now: number): Turn | undefined {
    this.wake(now);
    for (const member of this.ready) {
      this.ready.delete(member);
      const turn = member.begin(now);
      // Not ready again before something has happened to it.
      this.note(member);
      if (turn) return turn;
    }
    return undefined;
  }

  ended(turn: Turn, now: number): EndedTurn | undefined {
    return this.end(turn, (member) => member.succeed(turn, now));
  }

  failed(turn: Turn, thrown: unknown, now: number): EndedTurn | undefined {
    return this.end(turn, (member) => member.fail(turn, thrown, now));
  }

  // ── The commit ──

  /** What goes into the next commit, as far as there is room; undefined: nothing. */
  hand({ token, rosterVersion }: Pick<Fence, 'token' | 'rosterVersion'>, room: Room): Handed | undefined {
    const of: Handed['of'][number][] = [];
    const parts: PoolPart['members'][number][] = [];
    for (const member of this.toCommit) {
      if (member.committing > 0) continue;
      const turns = turnsThatFit(member.ended, room);
      if (turns === 0) break;
      member.committing = turns;
      parts.push(partOf(member, turns));
      of.push({ member, life: member.life, turns });
    }
    if (parts.length === 0) return undefined;
    const { tracker, pool } = this;
    return { part: { tracker, pool, token, rosterVersion, members: parts }, of };
  }

  /** The store has answered. Fenced: this pool is another node's, and all of it is to be forgotten. */
  settle({ part, of }: Handed, { verdict, refused }: Verdict, now: number): Settled {
    const turns: EndedTurn[] = [];
    const isVoid: string[] = [];
    const why = new Map<string, Refused>(refused.map((one) => [one.id, one]));
    for (const [at, { member, life, turns: count }] of of.entries()) {
      if (member.life !== life) continue;
      member.committing = 0;
      if (verdict !== 'done') continue;
      const { id } = member.address;
      const no = why.get(id);
      if (no?.why === 'stale') {
        this.forget(member);
        isVoid.push(id);
      } else if (no) {
        this.cannotStore(id, new Error(no.error ?? 'a statement of ctx.write failed'), now);
      } else {
        turns.push(...this.committed(member, count, versionAfter(part.members[at]!)));
      }
      this.after(member);
    }
    return { turns, void: isVoid, verdict };
  }

  /** Nobody knows whether it was committed: the members are read again, and what is still there is handled again. */
  lost({ of }: Handed): void {
    for (const { member, life } of of) if (member.life === life) this.forget(member);
  }

  /** It was not committed, for the sake of none of them that is known: it may be tried again as it is. */
  notCommitted({ of }: Handed): void {
    for (const { member, life } of of) if (member.life === life) member.committing = 0;
  }

  /** This member's first turn alone cannot be stored. */
  cannotStore(id: string, thrown: unknown, now: number): EndedTurn | undefined {
    const member = this.members.get(id);
    if (!member) return undefined;
    const ended = member.firstFailed(thrown, now);
    if (ended === 'read again') this.forget(member);
    this.after(member);
    return ended === 'read again' ? undefined : ended;
  }

  private committed(member: Member, count: number, version: number): EndedTurn[] {
    const before = member.base.timers;
    const done = member.committed(count, version);
    // Behind the others, if it has more.
    this.toCommit.delete(member);
    for (const { gone } of done) if (gone !== undefined) this.leave(gone);
    this.setAlarms(
      member,
      [...member.base.timers.values()].filter((timer) => before.get(timer.name) !== timer),
    );
    return done;
  }

  private end(turn: Turn, how: (member: Member) => EndedTurn | undefined): EndedTurn | undefined {
    const member = this.members.get(turn.member.id);
    if (!member) return undefined;
    const ended = how(member);
    this.after(member);
    return ended;
  }

  /** Puts a member where it belongs after something has happened to it. */
  private after(member: Member): void {
    this.note(member);
    if (!member.box.isEmpty) this.stir(member);
  }

  private note(member: Member): void {
    if (this.members.get(member.address.id) !== member) return;
    if (member.ended.length > 0) this.toCommit.add(member);
    else this.toCommit.delete(member);
    const { wakesAt } = member.box;
    if (wakesAt >= member.alarm) return;
    member.alarm = wakesAt;
    this.wakes.push(wakesAt, { member, life: member.life });
  }

  private stir(member: Member): void {
    if (member.phase === 'away') this.toLoad.add(member);
    else if (member.phase === 'here' && !member.running) this.ready.add(member);
  }

  private wake(now: number): void {
    while (this.wakes.first <= now) {
      const { member, life, timer } = this.wakes.pop()!;
      if (member.life !== life || this.members.get(member.address.id) !== member) continue;
      if (!timer) member.alarm = Infinity;
      else member.put({ what: { kind: 'timer', timer }, order: ++this.orders, reading: 0 });
      this.stir(member);
    }
  }

  private setAlarms(member: Member, timers: Iterable<Timer>): void {
    for (const timer of timers) this.wakes.push(timer.at, { member, life: member.life, timer });
  }

  private forget(member: Member): void {
    for (const [id, whose] of this.known) if (whose === member) this.leave(id);
    this.reading?.spoiled.add(member.address.id);
    member.forget();
    this.ready.delete(member);
    this.toCommit.delete(member);
    this.toLoad.add(member);
  }

  private discard(member: Member): void {
    this.members.delete(member.address.id);
    this.ready.delete(member);
    this.toCommit.delete(member);
    this.toLoad.delete(member);
  }

  private leave(id: number): void {
    this.known.delete(id);
    this.reading?.gone.add(id);
  }

  private of(id: string): Member {
    let member = this.members.get(id);
    if (!member) {
      member = new Member({ tracker: this.tracker, id }, this.limits, this.memory);
      this.members.set(id, member);
    }
    return member;
  }
}
