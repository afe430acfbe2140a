/**
 * One operation of one pool while a shift keeps it: runs the definition's code for the members that its agenda
 * hands out, within its concurrency and time-out, and keeps what came of it for the next flush. Driven by the node's tick
 * (`node.ts`); what one member's run does, however badly, stays with that member.
 */
import type { Logger } from 'pino';
import type { OperationDefinition, RunContext } from '../../workers/config/definition';
import { boundsOf, type OperationOptions } from '../../workflows/tracker/options';
import { errorOf } from '../failures';
import { boundedHold, HoldError } from '../upstream/errors';
import { enterLane } from '../upstream/lane';
import { Agenda, type Joining, type Schedule } from './agenda';
import type { Clock } from './clock';
import type { Holds } from './holds';
import type { Lateness } from './lateness';
import type { Members } from './members';
import { PendingResults } from './pending';
import { errorText } from '../store/text';
import { readResult } from './results';

/** Why an operation stands still. */
export type Frozen = 'disabled' | 'paused' | 'gate' | 'hold';

/** What an operation needs of its node. */
export interface OperationHost {
  clock: Clock;
  holds: Holds;
  /** Runs that may still be started on this node. */
  capacity: { free: number };
  /** Runs an isolated operation in a worker thread. */
  isolated(context: RunContext, part: 'run' | 'whenClosed'): Promise<unknown>;
  onError(error: Error, operation: OperationLoop, id: string): void;
  /** Notes which operation's code is about to run, for the watchdog. */
  entering(operation: OperationLoop): void;
}

export class OperationLoop {
  readonly agenda: Agenda;
  readonly counts = {
    fetched: 0,
    failed: 0,
    timedOut: 0,
    skippedLate: 0,
    skippedLag: 0,
    warnedLag: 0,
    warnedBacklog: 0,
  };
  /** What the store does not have yet. */
  readonly results = new PendingResults();
  /** Failures in a row, of members that have any: begun by what is stored (`pool-shift.ts`). */
  readonly failuresInARow = new Map<number, number>();
  readonly fetchedAt: number[] = [];
  /** These two stay empty where the operation has none: they count, at a hundred thousand members. */
  readonly expiresAt: number[] = [];
  readonly etags: (string | undefined)[] = [];
  /** Whose requests these are where connections are shared. */
  private readonly lane: string;
  private warnedOfExpiry = false;
  private readonly inFlight = new Set<Run>();
  private frozen: Frozen | undefined;
  private pumping = false;
  private seenRounds = 0;

  constructor(
    readonly tracker: string,
    readonly pool: number,
    readonly name: string,
    readonly definition: OperationDefinition,
    public options: OperationOptions,
    readonly members: Members,
    readonly host: OperationHost,
    readonly log: Logger,
    /** Shared by all pools of the node. */
    readonly lateness: Lateness,
    /** Another operation of the same pool, for backpressure. */
    private readonly sibling: (name: string) => OperationLoop | undefined,
  ) {
    this.agenda = new Agenda(scheduleOf(options));
    this.lane = `${tracker}/${name}`;
  }

  get frozenBy(): Frozen | undefined {
    return this.frozen;
  }

  get inFlightCount(): number {
    return this.inFlight.size;
  }

  join(slot: number, joining: Joining, now: number, crowd: boolean): void {
    this.agenda.join(slot, joining, now, crowd);
  }

  leave(slot: number): void {
    this.agenda.leave(slot);
    this.results.forget(slot);
    this.failuresInARow.delete(slot);
    if (this.etags.length > 0) this.etags[slot] = undefined;
    for (const run of this.inFlight) if (run.slot === slot) this.drop(run, 'the member was removed');
  }

  reconfigure(options: OperationOptions, now: number): void {
    this.options = options;
    this.agenda.reschedule(scheduleOf(options), now, (slot) => this.members.share(slot));
  }

  /** How far the operation is behind, milliseconds: what other operations' `skipWhile` looks at. */
  lag(now: number): number {
    const oldest = this.inFlight.values().next().value;
    return this.agenda.lagNow(now, oldest ? oldest.due : Infinity);
  }

  /** Starts what is due. `closed`: the tracker is paused or its gate is closed. */
  pump(now: number, closed: 'paused' | 'gate' | undefined): void {
    const frozen = this.frozenNow(now, closed);
    if (frozen !== this.frozen) {
      if (this.frozen !== undefined && frozen === undefined) this.agenda.realign(now);
      this.frozen = frozen;
    }
    if (frozen !== undefined) return;
    this.pumping = true;
    try {
      this.startReady(now, closed);
    } finally {
      this.pumping = false;
    }
  }

  private startReady(now: number, closed: 'paused' | 'gate' | undefined): void {
    this.agenda.ripen(now);
    const code = closed === 'gate' && this.options.gated ? 'whenClosed' : 'run';
    while (this.host.capacity.free > 0) {
      const slot = this.agenda.take();
      if (slot < 0) return;
      if (this.mustYield(now)) {
        this.counts.skippedLag++;
        this.agenda.skip(slot, now);
      } else {
        this.start(slot, now, code);
      }
    }
  }

  /** Aborts what has run for longer than the time-out. */
  expire(now: number): void {
    for (const run of this.inFlight) {
      if (now - run.startedAt < this.options.timeoutMs) return;
      this.counts.timedOut++;
      this.fail(run, new Error(`timed out after ${this.options.timeoutMs} ms`));
      run.abort('timed out');
    }
  }

  /** Ends all runs without a result: the shift is over, and the next one fetches these members at once. */
  abandon(reason: string): void {
    for (const run of this.inFlight) this.drop(run, reason);
  }

  /** Rounds that lagged more than `warnLag` since the last call. */
  lagWarning(): number | undefined {
    if (this.agenda.rounds === this.seenRounds) return undefined;
    this.seenRounds = this.agenda.rounds;
    if (this.agenda.lastRoundMs <= this.options.warnLagMs) return undefined;
    this.counts.warnedLag++;
    return this.agenda.lastRoundMs;
  }

  /** Members whose value is older than 3 × max(interval, expiry, hold), as `status` counts them from the store. */
  staleCount(now: number): number {
    if (!this.options.enabled) return 0;
    const hold = Math.max(0, this.host.holds.until(this.tracker, this.name) - now);
    let stale = 0;
    this.members.forEach((slot) => {
      const fetchedAt = this.fetchedAt[slot] ?? this.members.addedAt(slot);
      const lifetime = Math.max(this.options.everyMs, (this.expiresAt[slot] ?? 0) - fetchedAt, hold);
      if (now - fetchedAt > 3 * lifetime) stale++;
    });
    return stale;
  }

  private frozenNow(now: number, closed: 'paused' | 'gate' | undefined): Frozen | undefined {
    if (!this.options.enabled) return 'disabled';
    if (closed === 'paused') return 'paused';
    if (closed === 'gate' && this.options.gated && !this.definition.whenClosed) return 'gate';
    if (this.host.holds.until(this.tracker, this.name) > now) return 'hold';
    return undefined;
  }

  private mustYield(now: number): boolean {
    const { skipWhile } = this.options;
    if (!skipWhile) return false;
    const other = this.sibling(skipWhile.operation);
    return other !== undefined && other.frozen === undefined && other.lag(now) > skipWhile.slowerThanMs;
  }

  private start(slot: number, now: number, part: 'run' | 'whenClosed'): void {
    const run = new Run(this, slot, now, this.agenda.dueOf(slot));
    this.lateness.add(now - run.due, now);
    this.inFlight.add(run);
    this.host.capacity.free--;
    let returned: unknown;
    try {
      this.host.entering(this);
      enterLane(this.lane);
      returned = this.options.isolate
        ? this.host.isolated(run, part)
        : (part === 'run' ? this.definition.run : this.definition.whenClosed!)(run);
      // What only looks like a promise is made one: its `then` may throw, or call back twice.
      if (!(returned instanceof Promise) && isThenable(returned)) returned = Promise.resolve(returned);
    } catch (thrown) {
      this.fail(run, errorOf(thrown));
      return;
    } finally {
      enterLane(undefined);
    }
    if (returned instanceof Promise) {
      returned.then(
        (result) => this.succeed(run, result),
        (thrown) => this.fail(run, errorOf(thrown)),
      );
    } else {
      this.succeed(run, returned);
    }
  }

  private succeed(run: Run, result: unknown): void {
    if (run.settled) return;
    const now = this.host.clock.now();
    let read;
    try {
      read = readResult(result, `operation ${this.name}`);
    } catch (error) {
      this.fail(run, errorOf(error));
      return;
    }
    const { slot } = run;
    if (read.oddExpiry) this.warnOfExpiry(run.id);
    const expiresAt =
      read.expiresAt === null
        ? null
        : Math.min(now + boundsOf(this.options).maxExpiryMs, this.host.clock.ofMachine(read.expiresAt));
    const etag = read.etag ?? (read.json === null ? (this.etags[slot] ?? null) : null);
    this.results.succeed(slot, {
      key: this.members.key(slot),
      json: read.json,
      etag,
      fetchedAt: now,
      expiresAt,
    });
    this.failuresInARow.delete(slot);
    this.fetchedAt[slot] = now;
    if (expiresAt !== null || this.expiresAt.length > 0) this.expiresAt[slot] = expiresAt ?? 0;
    if (etag !== null || this.etags.length > 0) this.etags[slot] = etag ?? undefined;
    this.settle(run, now, expiresAt ?? 0);
  }

  private fail(run: Run, error: Error): void {
    // Too late: the run was given up, and its member has gone on.
    if (run.settled) return;
    const now = this.host.clock.now();
    const { maxHoldMs } = boundsOf(this.options);
    const heldUntil = error instanceof HoldError ? now + boundedHold(error.afterMs, maxHoldMs) : null;
    if (error instanceof HoldError && error.scope !== 'member') {
      this.host.holds.hold(this.tracker, error.scope === 'operation' ? this.name : undefined, heldUntil!);
    }
    this.counts.failed++;
    const inARow = (this.failuresInARow.get(run.slot) ?? 0) + 1;
    this.failuresInARow.set(run.slot, inARow);
    this.results.fail(run.slot, {
      key: this.members.key(run.slot),
      failedAt: now,
      error: errorText(error),
      heldUntil,
      inARow,
    });
    this.settle(run, now, heldUntil ?? 0);
    this.host.onError(error, this, run.id);
  }

  /** What a member was told in an earlier shift, within today's bounds: they count from when it was told. */
  notBefore(known: {
    fetchedAt?: number | null;
    expiresAt?: number | null;
    failedAt?: number | null;
    heldUntil?: number | null;
  }): number {
    const { maxExpiryMs, maxHoldMs } = boundsOf(this.options);
    return Math.max(
      Math.min(known.expiresAt ?? 0, (known.fetchedAt ?? 0) + maxExpiryMs),
      Math.min(known.heldUntil ?? 0, (known.failedAt ?? 0) + maxHoldMs),
    );
  }

  /** Once a shift: it is the code's mistake, made for every member. */
  private warnOfExpiry(id: string): void {
    if (this.warnedOfExpiry) return;
    this.warnedOfExpiry = true;
    this.log.warn(
      { id },
      'a run returned an expiresAt that is no time; its value is kept, and it runs again at its interval',
    );
  }

  private drop(run: Run, reason: string): void {
    this.settle(run, this.host.clock.now(), 0);
    run.abort(reason);
  }

  private settle(run: Run, now: number, notBefore: number): void {
    run.settled = true;
    this.inFlight.delete(run);
    this.host.capacity.free++;
    this.counts.skippedLate += this.agenda.finish(run.slot, now, notBefore);
    // The next in line need not wait for the tick. (While pumping, the loop there goes on by itself.)
    if (!this.pumping && this.agenda.backlog > 0 && this.frozen === undefined) this.startNext(now);
  }

  private startNext(now: number): void {
    if (this.host.capacity.free <= 0) return;
    const gate = this.closedNow();
    if (gate !== 'ended') this.pump(now, gate);
  }

  /** Asked between ticks: what the shift says now. Set by the shift. */
  closedNow: () => 'paused' | 'gate' | undefined | 'ended' = () => undefined;
}

/** One run for one member, and what its code is told. */
class Run implements RunContext {
  settled = false;
  private controller: AbortController | undefined;

  constructor(
    private readonly loop: OperationLoop,
    readonly slot: number,
    readonly startedAt: number,
    readonly due: number,
  ) {}

  get id(): string {
    return this.loop.members.id(this.slot);
  }
  get tracker(): string {
    return this.loop.tracker;
  }
  get operation(): string {
    return this.loop.name;
  }
  get etag(): string | undefined {
    return this.loop.etags[this.slot];
  }
  get fetchedAt(): number | undefined {
    return this.loop.fetchedAt[this.slot];
  }
  get log(): Logger {
    return this.loop.log;
  }
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.settled && !this.controller.signal.aborted) this.controller.abort(new Error('the run is over'));
    return this.controller.signal;
  }

  abort(reason: string): void {
    this.controller?.abort(new Error(reason));
  }
}

function scheduleOf(options: OperationOptions): Schedule {
  const { everyMs, concurrency, stagger } = options;
  return { everyMs, concurrency, baseMs: stagger.baseMs, windowMs: stagger.windowMs };
}

function isThenable(value: unknown): value is Promise<unknown> {
  return value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function';
}
