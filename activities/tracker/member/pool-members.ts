/**
 * The members of one pool on the node that keeps it: what is in memory of their mail, who has the next turn, and what
 * the next commit has of them. The shift reads mail and runs handlers; the node's writer takes a part and brings the
 * verdict back. Nothing here is true before the store has said so.
 */
import { partsThatFit, refusal, versionAfter } from './commit';
import type { Fence, Handed, Refused, Room, Settled, Verdict } from './commit';
import type { MemberLimits } from './constants';
import type { EndedTurn } from './ended';
import { Alarms } from './alarms';
import { PLAIN_STATES, type StateCode } from './loading';
import { Member, type Gauge, type Stored } from './member';
import { PoolMail, type Reading } from './pool-mail';
import type { Turn } from './turn';
import type { Brought, Mail, Timer } from './types';

export class PoolMembers {
  private readonly mail: PoolMail;
  private readonly members = new Map<string, Member>();
  /** Members that may have something to do, in turn. */
  private readonly ready = new Set<Member>();
  /** Members that have turns to commit, the longest waiting first. */
  private readonly toCommit = new Set<Member>();
  private readonly toLoad = new Set<Member>();
  /** When something of a member is due: a message that has failed, a timer. */
  private readonly wakes = new Alarms();

  constructor(
    readonly tracker: string,
    readonly pool: number,
    private readonly limits: MemberLimits,
    private readonly states: StateCode = PLAIN_STATES,
  ) {
    this.mail = new PoolMail(limits);
  }

  get memory(): Gauge {
    return this.mail.memory;
  }
  /** Mail may be there that can be taken in now: a reading need not wait for the next second. */
  get wantsReading(): boolean {
    return this.mail.wantsReading;
  }
  /** There was no room for all of it at the last reading. */
  get hasMore(): boolean {
    return this.mail.hasMore;
  }
  /** When the oldest message that is in memory was stored. @param none where there is none */
  oldestAt(none: number): number {
    return this.mail.oldestAt(none);
  }
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

  /** Begins to read. One reading at a time. @param rows at most so many; default: as many as one reading may have */
  beginReading(rows?: number): Reading {
    return this.mail.begin(this.members, rows);
  }

  /** Takes in what was read, by ids from the smallest on. */
  endReading(rows: readonly Mail[]): void {
    for (const member of this.mail.end(rows, this.members, (id) => this.of(id))) this.after(member);
  }

  dropReading(): void {
    this.mail.drop();
  }

  /**
   * Timers that are due, as a statement has found them. A member that is here rings them by itself; if it does not
   * know one, a commit that was given up has set it after all, and the member is read again.
   */
  timersDue(rows: readonly { readonly member: string; readonly timer: Pick<Timer, 'name' | 'set'> }[]): void {
    for (const { member: id, timer } of rows) {
      const member = this.of(id);
      const { phase, committing, base } = member;
      if (phase === 'here' && committing === 0 && base.timers.get(timer.name)?.set !== timer.set) this.forget(member);
      this.stir(member);
    }
  }

  /** An operation has a value for `apply`. */
  bring(id: string, brought: Brought): void {
    const member = this.of(id);
    member.bring(brought, this.mail.order());
    this.stir(member);
  }

  /** Members that are to be read now; each is `loaded` or `notLoaded` once. */
  takeLoads(most: number, now: number): string[] {
    const ids: string[] = [];
    for (const member of this.toLoad) {
      if (ids.length >= most) break;
      if (member.readNotBefore > now) continue;
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
    this.wakes.setTimers(member, stored.image.timers.values());
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

  /** Its turn did not come to a commit: the member is read, and the message handled, once more. */
  readAgain(id: string, now: number): void {
    if (this.members.has(id)) this.forget(this.members.get(id)!, now);
  }

  /** The roster was read anew: whoever it says otherwise of is read again. */
  recheck(isMember: (id: string) => boolean): void {
    for (const member of this.members.values()) {
      const { id } = member.address;
      if (member.phase === 'loading' || (member.phase === 'here' && member.image.present !== isMember(id)))
        this.forget(member);
    }
  }

  /** The pool was split: what is not ours any more is forgotten. @returns those that `load` ran for: for `unload` */
  narrow(isOurs: (id: string) => boolean): string[] {
    const ids: string[] = [];
    for (const [id, member] of this.members) {
      if (isOurs(id)) continue;
      this.forget(member);
      this.discard(member);
      if (member.wasHooked) ids.push(id);
    }
    // It may have found mail of those.
    this.mail.drop();
    return ids;
  }

  /** Members that had nothing to do since then (default: all), and are out of memory now: for the user's `unload`. */
  unload(before?: number): string[] {
    const ids: string[] = [];
    for (const [id, member] of this.members) {
      if (before !== undefined && (!member.isIdle || member.phase !== 'here' || member.usedAt >= before)) continue;
      this.discard(member);
      if (member.wasHooked) ids.push(id);
    }
    return ids;
  }

  /** These had something to do on another node, a short while ago. */
  wokenBefore(woken: Iterable<{ readonly id: string; readonly at: number }>): void {
    for (const { id, at } of woken) {
      const member = this.of(id);
      member.wokenAt = Math.max(member.wokenAt, at);
      this.stir(member);
    }
  }

  member(id: string): Member | undefined {
    return this.members.get(id);
  }

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

  giveBack(turn: Turn): void {
    this.end(turn, (member) => (member.giveBack(turn), undefined));
  }

  /**
   * The pool's part of the next commit, as far as there is room; undefined: it has none.
   * @param only of this member, and one turn of it
   */
  hand(
    { token, rosterVersion }: Pick<Fence, 'token' | 'rosterVersion'>,
    room: Room,
    only?: string,
  ): Handed | undefined {
    const { parts, of } = partsThatFit(this.toCommit, room, only);
    if (parts.length === 0) return undefined;
    const { tracker, pool } = this;
    return { part: { tracker, pool, token, rosterVersion, members: parts }, of };
  }

  /** The store has answered. Fenced: this pool is another node's, and all of it is to be forgotten. */
  settle({ part, of }: Handed, { verdict, refused }: Verdict, now: number): Settled {
    const turns: EndedTurn[] = [];
    const isVoid: string[] = [];
    const failed: Settled['failed'][number][] = [];
    const why = new Map<string, Refused>(refused.map((one) => [one.id, one]));
    for (const [at, { member, life, turns: count }] of of.entries()) {
      if (member.life !== life) continue;
      member.committing = 0;
      if (verdict !== 'done') continue;
      const { id } = member.address;
      const no = why.get(id);
      if (no?.why === 'stale') {
        this.forget(member, now);
        isVoid.push(id);
      } else if (no && count > 1) {
        member.careful = count;
      } else if (no) {
        const turn = this.cannotStore(id, refusal(no), now);
        if (turn) failed.push({ id, turn });
      } else {
        turns.push(...this.committed(member, count, versionAfter(part.members[at]!)));
      }
      this.after(member);
    }
    return { turns, failed, void: isVoid, verdict };
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
    const ended = member?.firstFailed(thrown, now);
    if (!member) return undefined;
    if (ended === 'read again') this.forget(member);
    // A timer that a turn had replaced, or cancelled, is there again, and may have rung meanwhile.
    else this.wakes.setTimers(member, member.base.timers.values());
    this.after(member);
    return ended === 'read again' ? undefined : ended;
  }

  private committed(member: Member, count: number, version: number): EndedTurn[] {
    const before = member.base.timers;
    const done = member.committed(count, version);
    // Behind the others, if it has more.
    this.toCommit.delete(member);
    this.mail.committed(done.flatMap(({ gone }) => gone ?? []));
    this.wakes.setTimers(
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
    this.mail.putOut(member);
    const { wakesAt } = member.box;
    if (wakesAt >= member.alarm) return;
    member.alarm = wakesAt;
    this.wakes.set(member, wakesAt);
  }

  private stir(member: Member): void {
    if (member.phase === 'away') this.toLoad.add(member);
    else if (member.phase === 'here' && !member.running) this.ready.add(member);
  }

  private wake(now: number): void {
    for (const { member, timer } of this.wakes.due(now)) {
      if (this.members.get(member.address.id) !== member) continue;
      if (!timer) member.alarm = Infinity;
      else member.put({ what: { kind: 'timer', timer }, order: this.mail.order(), reading: 0 });
      this.stir(member);
    }
  }

  /** @param stale when the store has found it to be otherwise than it was thought to be */
  private forget(member: Member, stale?: number): void {
    this.mail.forget(member);
    if (stale === undefined) member.forget();
    else member.forgetStale(stale);
    if (member.readNotBefore > 0) this.wakes.set(member, member.readNotBefore);
    for (const set of [this.ready, this.toCommit]) set.delete(member);
    this.toLoad.add(member);
  }

  private discard(member: Member): void {
    this.members.delete(member.address.id);
    for (const set of [this.ready, this.toCommit, this.toLoad]) set.delete(member);
  }

  private of(id: string): Member {
    let member = this.members.get(id);
    if (!member) {
      member = new Member({ tracker: this.tracker, id }, this.limits, this.mail.memory, this.states);
      this.members.set(id, member);
    }
    return member;
  }
}
