/**
 * One pool whose members receive, while a shift keeps it: its members in memory, its handlers that run, and what the
 * shift tells of its roster. Made by `node-turns.ts` when the shift has begun; the shift calls what stands under
 * `PoolLife` (`shift/host.ts`).
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { ReceiveOptions } from '../../../workflows/tracker/options';
import { holds, slotOf, type Slots } from '../../../workflows/tracker/slots';
import { MEMBER, type MemberLimits } from '../member/constants';
import { isIdle, type While } from '../member/idle';
import { PoolMembers } from '../member/pool-members';
import { NOTHING_STRUCK, PoolStrikes, type Struck } from '../member/strikes';
import type { KeptPool } from '../member/writer';
import type { PoolLife } from '../shift/host';
import type { PoolOwner } from '../store/fence';
import type { Placing } from '../route';
import type { LifeCode } from './code';
import { Door } from './door';
import { ShiftOver } from './over';

/** After an outage, nothing is read for so long. Milliseconds. */
const STORE_MS = 250;

/** The shift of a pool, as its turns need it. */
export interface TurnsShift {
  readonly claim: PoolOwner['claim'];
  readonly token: number;
  readonly log: Logger;
  rosterVersion: number;
  hinted: boolean;
  /** Told whom a message or a timer has woken; by the node's clock. */
  readonly awake: { woke(id: string, now: number): void };
}

export interface PoolTurnsSetup {
  readonly shift: TurnsShift;
  readonly code: LifeCode;
  readonly options: ReceiveOptions;
  readonly slots: Slots;
  /** The place of an id among the tracker's pools. */
  readonly placing: Placing;
  /** Values of members were written that `apply` is to have. */
  readonly wrote: (pool: PoolTurns, keys: readonly number[]) => void;
  /** These are in memory no more: a split has given them to another pool. For the user's `unload`. */
  readonly gone: (pool: PoolTurns, ids: readonly string[]) => void;
  /** Now, by the database's clock. */
  readonly now: () => number;
  /** Something is there to do. */
  readonly stirred: () => void;
  readonly limits?: MemberLimits;
  /** The strikes of the keepers before this one. */
  readonly struck?: Struck;
}

export class PoolTurns implements KeptPool, PoolLife {
  readonly members: PoolMembers;
  readonly strikes: PoolStrikes;
  readonly shift: TurnsShift;
  readonly code: LifeCode;
  options: ReceiveOptions;
  slots: Slots;
  /** Handlers that run: each is ended by this, if it must end before its time. */
  readonly running = new Set<{ readonly id: string; abort(reason: Error): void }>();
  /** Turns that have begun and not ended. */
  begun = 0;
  /** No more turns begin. */
  isClosed = false;
  /** No turn begins, for its tracker is paused; one that is under way ends. */
  isPaused = false;
  /** For the commits of turns that have transactions of their own. */
  readonly door = new Door();
  reading = false;
  /** To be read once more, when the reading under way has ended. */
  readAgain = false;
  /** Nothing is read before that: the last reading failed. Monotonic milliseconds. */
  readNotBefore = 0;
  private readonly limits: { -readonly [K in keyof MemberLimits]: MemberLimits[K] };

  constructor(private readonly setup: PoolTurnsSetup) {
    const { shift, code, options, slots } = setup;
    this.shift = shift;
    this.code = code;
    this.options = options;
    this.slots = slots;
    this.limits = { ...(setup.limits ?? MEMBER) };
    // With a transaction of its own, each turn begins on what is stored.
    if (code.transaction) this.limits.ahead = { entries: 1, bytes: 0 };
    this.take(options);
    this.strikes = new PoolStrikes(setup.struck ?? NOTHING_STRUCK);
    this.members = new PoolMembers(shift.claim.tracker, shift.claim.pool, this.limits, code.states);
  }

  get tracker(): string {
    return this.shift.claim.tracker;
  }

  readonly fence = (): { token: number; rosterVersion: number } => {
    const { token, rosterVersion } = this.shift;
    return { token, rosterVersion };
  };

  get owner(): PoolOwner {
    return this.shift;
  }

  /** Whether turns may begin now. */
  get mayBegin(): boolean {
    return !this.isClosed && !this.isPaused;
  }

  holds(id: string): boolean {
    return holds(this.slots, this.slotOf(id));
  }

  /** The slot in which a member's mail is to lie. */
  slotOf(id: string): number {
    return slotOf(this.setup.placing(id));
  }

  /** The store does not answer: nothing is read of it for a moment. */
  waitsForStore(): void {
    this.readNotBefore = performance.now() + STORE_MS;
    setTimeout(this.setup.stirred, STORE_MS).unref();
  }

  // ── PoolLife ──

  /** The memory has them as they were before. */
  changed(ids: Iterable<string>): void {
    for (const id of ids) this.members.removed(id, 0);
    this.setup.stirred();
  }

  /** The whole roster was read anew. */
  reloaded(isMember: (id: string) => boolean): void {
    this.members.recheck(isMember);
    this.setup.stirred();
  }

  wrote(keys: readonly number[]): void {
    this.setup.wrote(this, keys);
  }

  narrow(slots: Slots): void {
    this.slots = slots;
    for (const run of [...this.running]) if (!this.holds(run.id)) run.abort(new ShiftOver());
    this.setup.gone(
      this,
      this.members.narrow((id) => this.holds(id)),
    );
    this.setup.stirred();
  }

  isAwake(id: string, operations: readonly While[]): boolean {
    if (operations.includes('always')) return true;
    const member = this.members.member(id);
    if (!member) return false;
    const activity = { usedAt: member.wokenAt, hasMail: member.memory.entries > 0 };
    return !isIdle(activity, operations, this.setup.now(), this.options.idleMs);
  }

  follow(options: ReceiveOptions | undefined, isPaused: boolean): void {
    this.isPaused = isPaused;
    this.setup.stirred();
    if (!options) return;
    this.options = options;
    this.take(options);
  }

  /** Bounds that are options. A change counts for what is decided from now on. */
  private take({ attempts, retryBaseMs, retryCapMs, maxMail, maxMailBytes }: ReceiveOptions): void {
    Object.assign(this.limits, {
      attempts,
      backoffMs: retryBaseMs,
      backoffMaxMs: retryCapMs,
      memberMail: { entries: maxMail, bytes: maxMailBytes },
    });
  }
}
