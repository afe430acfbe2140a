/**
 * Keeps the leases of a node while their code runs: one timer, one statement for all that are due. Only a
 * compare-and-set that misses is a lost lease; an error of the database is tried again until the time to live is over.
 * Times here are those of the process's monotonic clock, so a wrong or changed wall clock makes no difference. Used by
 * `execute.ts`.
 */
import type { Logger } from 'pino';
import type { Database } from '../lib/database';
import type { Service } from '../lib/service';
import { renewTasks, type TaskClaim } from './store/tasks';

/** The abort reason of {@link Lease.lost}. */
class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
  constructor(
    readonly task: string,
    readonly reason: string,
  ) {
    super(`the lease of ${task} is lost: ${reason.replaceAll('_', ' ')}`);
  }
}

/** A lease that this node holds. Made by `LeaseKeeper.keep`, which renews it until it is released or lost. */
export class Lease {
  private readonly abort = new AbortController();
  /** When the next renewal is due. */
  dueAt = 0;
  /** Until then nobody else can have taken it. */
  safeUntil = 0;

  constructor(
    private readonly keeper: LeaseKeeper,
    readonly claim: TaskClaim,
    readonly renewMs: number,
    confirmedAt: number,
  ) {
    this.confirm(confirmedAt);
  }

  /** Fires when it is lost; its reason says why. */
  get lost(): AbortSignal {
    return this.abort.signal;
  }

  /** Whether the database has confirmed it within its time to live, as far as this process knows. */
  get fresh(): boolean {
    return this.keeper.now() < this.safeUntil;
  }

  /** Renews now. False: it is lost. @throws StoreUnavailable */
  async renew(): Promise<boolean> {
    await this.keeper.renew([this]);
    return !this.lost.aborted;
  }

  release(): void {
    this.keeper.release(this);
  }

  /** The database has it as ours, by a statement that was sent then. */
  confirm(sentAt: number): void {
    this.dueAt = sentAt + this.renewMs;
    this.safeUntil = sentAt + this.claim.spec.ttlMs;
  }

  /** Stops its code. The keeper has let go of it. */
  lose(reason: string): void {
    this.abort.abort(new LeaseLostError(this.claim.spec.task, reason));
  }
}

const MIN_RETRY_MS = 250;
/** Longer than a few thousand rows take; more go in a second statement. */
const BATCH = 20_000;

export const retryAfterMs = (renewMs: number): number => Math.max(renewMs / 4, MIN_RETRY_MS);

export class LeaseKeeper implements Service {
  private readonly leases = new Map<string, Lease>();
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Infinity;
  private renewing = false;
  /** Leases end by a timer of their own: a renewal may hang for longer than they have left. */
  private endTimer: NodeJS.Timeout | undefined;
  private endTimerAt = Infinity;

  constructor(
    private readonly database: Database,
    readonly owner: string,
    private readonly log: Logger,
    readonly now: () => number = () => performance.now(),
  ) {}

  get size(): number {
    return this.leases.size;
  }

  /** @param takenAt `now()` before the statement that took it was sent. */
  keep(claim: TaskClaim, renewMs: number, takenAt: number): Lease {
    const lease = new Lease(this, claim, renewMs, takenAt);
    // This very node may have it again, before it has noticed that it had lost it.
    const before = this.leases.get(claim.spec.task);
    if (before) this.lose(before, 'attempt_mismatch');
    this.leases.set(claim.spec.task, lease);
    this.schedule(lease.dueAt);
    this.watchEnd(lease.safeUntil);
    return lease;
  }

  /** Its code has ended. */
  release(lease: Lease): void {
    const { task } = lease.claim.spec;
    if (this.leases.get(task) === lease) this.leases.delete(task);
  }

  /** Renews them now, in one statement; those that it misses are lost. @throws StoreUnavailable */
  async renew(batch: readonly Lease[]): Promise<void> {
    if (batch.length === 0) return;
    const sentAt = this.now();
    try {
      const claims = batch.map((lease) => lease.claim);
      const lost = await renewTasks(this.database, this.owner, claims);
      for (const lease of batch) {
        lease.confirm(sentAt);
        const reason = lost.get(lease.claim.spec.task);
        // A lease that was released meanwhile has nobody to tell.
        if (reason !== undefined) this.lose(lease, reason);
      }
    } catch (error) {
      const now = this.now();
      for (const lease of batch) {
        lease.dueAt = now + retryAfterMs(lease.renewMs);
        if (now >= lease.safeUntil) this.lose(lease, 'could_not_be_renewed');
      }
      this.log.warn({ err: error, leases: batch.length }, 'leases could not be renewed; trying again');
      throw error;
    }
  }

  /** Why a claim does not hold any more, or undefined when it does (and is renewed by this). */
  async reasonOf(claim: TaskClaim): Promise<string | undefined> {
    return (await renewTasks(this.database, this.owner, [claim])).get(claim.spec.task);
  }

  /** Its timers run while there are leases. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    clearTimeout(this.timer);
    clearTimeout(this.endTimer);
    this.leases.clear();
    return Promise.resolve();
  }

  private schedule(at: number): void {
    if (at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => void this.tick(), Math.max(0, at - this.now()));
    this.timer.unref();
  }

  private watchEnd(at: number): void {
    if (at >= this.endTimerAt) return;
    clearTimeout(this.endTimer);
    this.endTimerAt = at;
    this.endTimer = setTimeout(() => this.end(), Math.max(0, Math.ceil(at - this.now())));
    this.endTimer.unref();
  }

  /**
   * From its safe time on another one may have it: the code stops then, whatever a renewal that is under way will say.
   */
  private end(): void {
    this.endTimerAt = Infinity;
    const now = this.now();
    let next = Infinity;
    for (const lease of this.leases.values()) {
      if (lease.safeUntil <= now) this.lose(lease, 'could_not_be_renewed');
      else next = Math.min(next, lease.safeUntil);
    }
    if (next < Infinity) this.watchEnd(next);
  }

  /** Renews what is due, and what will be soon, so that leases fall into step and share a statement. */
  private async tick(): Promise<void> {
    this.timerAt = Infinity;
    // The one that is under way looks at all of them when it ends.
    if (this.renewing) return;
    this.renewing = true;
    const now = this.now();
    const due = [...this.leases.values()].filter((lease) => lease.dueAt - lease.renewMs / 4 <= now);
    for (let from = 0; from < due.length; from += BATCH) {
      await this.renew(due.slice(from, from + BATCH)).catch(() => undefined);
    }
    this.renewing = false;
    let next = Infinity;
    for (const lease of this.leases.values()) next = Math.min(next, lease.dueAt);
    if (next < Infinity) this.schedule(next);
  }

  private lose(lease: Lease, reason: string): void {
    const { task } = lease.claim.spec;
    if (this.leases.get(task) !== lease) return;
    this.leases.delete(task);
    this.log.warn({ task, owner: this.owner, attempt: lease.claim.used, reason }, 'a lease was lost');
    lease.lose(reason);
  }
}
