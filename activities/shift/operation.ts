/**
 * One operation of one pool while a shift keeps it: runs the definition's code for the members that its agenda
 * hands out, within its concurrency and time-out, and keeps what came of it for the next flush. The node's ring (`ring.ts`) says
 * when it may start one; what one member's run does, however badly, stays with that member.
 */
import type { Logger } from 'pino';
import type { OperationDefinition, RunContext } from '../../workers/config/definition';
import { boundsOf, type OperationOptions } from '../../workflows/tracker/options';
import { errorOf } from '../failures';
import { readHold } from '../upstream/errors';
import { enterLane } from '../upstream/lane';
import { Agenda, type Joining, type Schedule } from './agenda';
import type { Clock } from './clock';
import type { Holds } from './holds';
import type { Lateness } from './lateness';
import type { Members } from './members';
import { Patience } from './patience';
import { PendingResults } from './pending';
import { errorText } from '../store/text';
import { readResult, type Failure, type Success } from './results';
import type { Place, Ring, Seat, Starter } from './ring';
import { Run } from './run';

/** A thread that has not begun an isolated run after this long never will: its config does not load. Milliseconds. */
const THREAD_START_MS = 60_000;

/** A node hears within this that members are to be asked anew: a run of before, told of no refetch, has ended by then and its time-out. Milliseconds. */
const HEARD_MS = 2_000;

/** One that gives way to another operation looks this often whether that one still lags. Milliseconds. */
const YIELD_LOOK_MS = 100;

/** Why an operation stands still; 'lag': it gives way to another one (`skipWhile`); 'over': its shift starts nothing more. */
export type Frozen = 'disabled' | 'paused' | 'gate' | 'hold' | 'lag' | 'over';

/** What an operation needs of its node. */
export interface OperationHost {
  clock: Clock;
  holds: Holds;
  ring: Ring;
  /** Runs an isolated operation in a worker thread; `begun` is called when its code begins there. */
  isolated(context: RunContext, part: 'run' | 'whenClosed', begun: () => void): Promise<unknown>;
  onError(error: Error, operation: OperationLoop, id: string): void;
  /** Notes which operation's code is about to run, for the watchdog. */
  entering(operation: OperationLoop): void;
  /** A pass over the members has ended. */
  roundEnded(operation: OperationLoop): void;
}

/** What an operation needs of its shift. */
export interface OperationShift {
  readonly claim: { readonly tracker: string; readonly pool: number };
  readonly members: Members;
  /** Why gated operations, or all of them, stand still. */
  closed(): 'paused' | 'gate' | 'over' | undefined;
  /** Another operation of the same pool, for backpressure. */
  loop(name: string): OperationLoop | undefined;
  /** Something of ours is broken: the shift crashes and is taken over. */
  end(error: Error): void;
}

export class OperationLoop implements Starter {
  readonly agenda: Agenda;
  readonly counts = {
    fetched: 0,
    failed: 0,
    timedOut: 0,
    /** Ended without a result, because the shift had to end. */
    abandoned: 0,
    skippedLate: 0,
    skippedLag: 0,
    warnedLag: 0,
    warnedBacklog: 0,
  };
  /** What the store does not have yet. */
  readonly results = new PendingResults();
  /** Failures in a row, of members that have any: begun by what is stored (`pool-shift.ts`). */
  readonly failuresInARow = new Map<number, number>();
  /** Members whose last value the store would not have: `unchanged` says nothing of what it has. */
  private readonly unstored = new Set<number>();
  readonly fetchedAt: (number | undefined)[] = [];
  /** These two stay empty where the operation has none: they count, at a hundred thousand members. */
  readonly expiresAt: number[] = [];
  readonly etags: (string | undefined)[] = [];
  /** Whose requests these are where connections are shared. */
  private readonly lane: string;
  private warnedOfExpiry = false;
  private warnedOfScope = false;
  private warnedOfVersion = false;
  private readonly inFlight = new Set<Run>();
  private isolatedInFlight = 0;
  private frozen: Frozen | undefined;
  private over = false;
  private seenRounds = 0;
  /** When it last found that it must give way. */
  private yieldedAt = 0;
  private readonly heldUntil: () => number;
  readonly patience: Patience;
  private readonly seat: Seat;

  constructor(
    private readonly shift: OperationShift,
    readonly name: string,
    readonly definition: OperationDefinition,
    public options: OperationOptions,
    readonly host: OperationHost,
    readonly log: Logger,
    /** Shared by all pools of the node. */
    readonly lateness: Lateness,
    /** Since when the tracker has the operation, or has it enabled, where that was after its start: a first run counts from then at the earliest. */
    private beganAt: number | undefined,
  ) {
    this.agenda = new Agenda(scheduleOf(options));
    this.lane = `${this.tracker}/${name}`;
    this.heldUntil = host.holds.watch(this.tracker, name);
    this.patience = new Patience(host.holds.health(this.tracker, name));
    this.frozen = this.frozenNow(host.clock.now());
    this.seat = host.ring.join(this);
    this.warnOfVersion();
  }

  get tracker(): string {
    return this.shift.claim.tracker;
  }

  get pool(): number {
    return this.shift.claim.pool;
  }

  get members(): Members {
    return this.shift.members;
  }

  get frozenBy(): Frozen | undefined {
    return this.frozen;
  }

  get inFlightCount(): number {
    return this.inFlight.size;
  }

  /** When the oldest run that is under way began; Infinity: none is. */
  get oldestStart(): number {
    return this.inFlight.values().next().value?.startedAt ?? Infinity;
  }

  /** Call `joined` when all of a moment have joined. */
  join(slot: number, joining: Joining, now: number, crowd: boolean): void {
    const addedAt = Math.max(joining.addedAt, this.beganAt ?? -Infinity);
    this.agenda.join(slot, { ...joining, addedAt }, now, crowd);
  }

  joined(now: number): void {
    this.agenda.joined(now, this.options.concurrency);
    this.host.ring.touch(this.seat);
  }

  leave(slot: number): void {
    for (const run of this.inFlight) if (run.slot === slot) this.drop(run, 'the member was removed');
    this.agenda.leave(slot);
    this.results.forget(slot);
    this.failuresInARow.delete(slot);
    this.patience.forget(slot);
    this.unstored.delete(slot);
    // The slot may be given to another member.
    if (slot < this.fetchedAt.length) this.fetchedAt[slot] = undefined;
    if (slot < this.expiresAt.length) this.expiresAt[slot] = 0;
    if (slot < this.etags.length) this.etags[slot] = undefined;
    this.host.ring.touch(this.seat);
  }

  /** @param beganAt since when it has been declared or enabled, where that is known */
  reconfigure(options: OperationOptions, beganAt: number | undefined, now: number): void {
    const isNew = (options.version ?? 1) !== (this.options.version ?? 1);
    this.options = options;
    // Whose code made them is not known any more.
    if (isNew) this.forgetCached();
    this.agenda.reschedule(scheduleOf(options), now);
    const anew = beganAt !== undefined && beganAt > (this.beganAt ?? -Infinity);
    this.beganAt = beganAt ?? this.beganAt;
    // Disabled and enabled again between two looks; else it is seen below.
    if (anew && options.enabled && this.frozen !== 'disabled') this.agenda.restart(now, beganAt);
    this.host.ring.watch(this.seat);
    this.recheck(now);
    this.warnOfVersion();
  }

  /** Something that may hold it back has changed: options, state, gate, a hold that was lifted. */
  recheck(now: number): void {
    this.freeze(now);
    this.host.ring.touch(this.seat);
  }

  /** Holds were lifted by hand: who was held by its own failure is asked again too. */
  lift(now: number): void {
    const failing = [...this.failuresInARow.keys()];
    for (const slot of failing) this.patience.forget(slot);
    this.agenda.release(failing, now, this.options.concurrency);
    this.recheck(now);
  }

  /** ETags and expiries of these members (of all) do not count any more; values stay until there are others. */
  askAnew(slots: readonly number[] | undefined, now: number): void {
    if (slots === undefined) this.forgetCached();
    for (const slot of slots ?? []) {
      if (slot < this.etags.length) this.etags[slot] = undefined;
      if (slot < this.expiresAt.length) this.expiresAt[slot] = 0;
    }
    const asked = slots && new Set(slots);
    for (const run of this.inFlight) if (asked === undefined || asked.has(run.slot)) run.overtaken = true;
    this.agenda.askAnew(slots, now, this.options.concurrency);
    this.recheck(now);
  }

  private forgetCached(): void {
    this.etags.length = 0;
    this.expiresAt.length = 0;
  }

  /**
   * Whether this worker's code is of the version that the tracker runs. Where it is not (a deployment that rolls, or was rolled back),
   * ETags and expiries are neither used nor stored: values of one version are not taken for those of the other, in either direction.
   */
  get isOfVersion(): boolean {
    return (this.definition.version ?? 1) === (this.options.version ?? 1);
  }

  /** Starts nothing more; the rest of the pool goes on (`wind-down.ts`). */
  stop(now: number): void {
    this.over = true;
    this.recheck(now);
  }

  get isStopped(): boolean {
    return this.over;
  }

  /** The shift ends: starts nothing more; runs that are under way may still give results, or time out. */
  close(): void {
    this.over = true;
    this.frozen = 'over';
    this.host.ring.leave(this.seat);
  }

  /** How far the operation is behind, milliseconds: what other operations' `skipWhile` looks at. */
  lag(now: number): number {
    const oldest = this.inFlight.values().next().value;
    return this.agenda.lagNow(now, oldest ? oldest.due : Infinity);
  }

  // ── What the ring asks and does ──

  get isolated(): boolean {
    return this.options.isolate;
  }

  get mostPlaces(): number {
    return this.options.enabled ? Math.min(this.options.concurrency, this.agenda.members) : 0;
  }

  get wakeAt(): number {
    if (this.frozen === undefined) return this.agenda.nextDue;
    if (this.frozen === 'lag') return this.yieldedAt + YIELD_LOOK_MS;
    return this.frozen === 'hold' ? this.heldUntil() : Infinity;
  }

  get isReady(): boolean {
    return (
      this.frozen === undefined && this.agenda.backlog > 0 && this.agenda.running < this.agenda.schedule.concurrency
    );
  }

  get timesOutAt(): number {
    let first = Infinity;
    for (const run of this.inFlight) {
      first = Math.min(first, this.expiryOf(run));
      // They are in the order of their starts.
      if (this.isolatedInFlight === 0) break;
    }
    return first;
  }

  wake(now: number): void {
    this.freeze(now);
    if (this.frozen === undefined || this.frozen === 'lag') this.agenda.ripen(now);
  }

  startOne(now: number, place: Place): void {
    this.freeze(now);
    if (this.frozen !== undefined) return;
    const slot = this.agenda.take();
    if (slot < 0) return;
    this.start(slot, now, place, this.shift.closed() === 'gate' && this.options.gated ? 'whenClosed' : 'run');
  }

  /** Aborts what has run for longer than the time-out. */
  expire(now: number): void {
    for (const run of this.inFlight) {
      if (this.expiryOf(run) > now) {
        if (this.isolatedInFlight === 0) return;
        continue;
      }
      this.counts.timedOut++;
      const inTime = run.begunAt !== undefined;
      const ms = inTime ? this.options.timeoutMs : THREAD_START_MS;
      this.fail(run, new Error(inTime ? `timed out after ${ms} ms` : `no thread could begin it within ${ms} ms`));
      run.abort('timed out');
    }
  }

  broken(error: unknown): void {
    this.shift.end(errorOf(error));
  }

  /** The store will not have this result, whatever is tried: a failure of its member, which is asked for its value anew. */
  refuse(slot: number, result: Success | Failure): void {
    this.counts.failed++;
    if (!('json' in result) || !this.members.holds(slot, result.key)) return;
    this.failuresInARow.set(slot, (this.failuresInARow.get(slot) ?? 0) + 1);
    // A value that has come since has an ETag of its own.
    if (!this.results.dropUnchanged(slot)) return;
    if (slot < this.etags.length) this.etags[slot] = undefined;
    this.unstored.add(slot);
  }

  /** Ends all runs without a result: the shift is over, and the next one fetches these members at once. */
  abandon(reason: string): void {
    this.counts.abandoned += this.inFlight.size;
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
    const hold = Math.max(0, this.heldUntil() - now);
    let stale = 0;
    this.members.forEach((slot) => {
      const fetchedAt = this.fetchedAt[slot] ?? this.host.clock.fromStore(this.members.addedAt(slot));
      const lifetime = Math.max(this.options.everyMs, (this.expiresAt[slot] ?? 0) - fetchedAt, hold);
      if (now - fetchedAt > 3 * lifetime) stale++;
    });
    return stale;
  }

  /** Looks whether it may run; what a standstill held up is spread when it ends. */
  private freeze(now: number): void {
    const before = this.frozen;
    const frozen = this.frozenNow(now);
    this.frozen = frozen;
    if (before === 'lag') this.counts.skippedLag += this.agenda.passedOver(this.yieldedAt, now);
    if (frozen === 'lag') {
      if (before !== 'lag') this.counts.skippedLag += this.agenda.passedOver(-Infinity, now);
      this.yieldedAt = now;
    }
    if (before === 'disabled' && frozen !== 'disabled') this.agenda.restart(now, this.beganAt ?? now);
    else if (before !== undefined && frozen === undefined) this.agenda.resume(now);
  }

  private frozenNow(now: number): Frozen | undefined {
    const closed = this.over ? 'over' : this.shift.closed();
    if (closed === 'over') return 'over';
    if (!this.options.enabled) return 'disabled';
    if (closed === 'paused') return 'paused';
    if (closed === 'gate' && this.options.gated && !this.definition.whenClosed) return 'gate';
    if (this.heldUntil() > now) return 'hold';
    return this.mustYield(now) ? 'lag' : undefined;
  }

  private mustYield(now: number): boolean {
    const { skipWhile } = this.options;
    if (!skipWhile) return false;
    const other = this.shift.loop(skipWhile.operation);
    return other !== undefined && other.frozen === undefined && other.lag(now) > skipWhile.slowerThanMs;
  }

  private start(slot: number, now: number, place: Place, part: 'run' | 'whenClosed'): void {
    const isolated = this.seat.isolated;
    const run = new Run(this, slot, now, this.agenda.dueOf(slot), place, isolated);
    this.lateness.add(now - run.due, now);
    this.inFlight.add(run);
    if (isolated) this.isolatedInFlight++;
    this.host.ring.take(place, isolated);
    if (isolated || this.inFlight.size === 1) this.host.ring.watch(this.seat);
    let returned: unknown;
    try {
      this.host.entering(this);
      enterLane(this.lane);
      returned = isolated
        ? this.host.isolated(run, part, () => this.begun(run))
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

  /** The time-out of an isolated run begins with its code, not with the thread that loads it. */
  private begun(run: Run): void {
    if (run.settled) return;
    run.begunAt = this.host.clock.now();
    this.host.ring.watch(this.seat);
  }

  private expiryOf(run: Run): number {
    return run.begunAt === undefined ? run.startedAt + THREAD_START_MS : run.begunAt + this.options.timeoutMs;
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
    if (this.unstored.size > 0 && this.unstored.has(slot)) {
      if (read.json === null) {
        this.fail(run, new Error('unchanged since a value that could not be stored; it is asked for anew'));
        return;
      }
      this.unstored.delete(slot);
    }
    if (read.oddExpiry) this.warnOfExpiry(run.id);
    const expiresAt =
      read.expiresAt === null
        ? null
        : Math.min(now + boundsOf(this.options).maxExpiryMs, this.host.clock.ofMachine(read.expiresAt));
    // It began before it was to be asked anew, or before this node had heard of that.
    const anew = run.overtaken || run.startedAt <= this.host.holds.askedAt(this.tracker, this.name, run.id);
    // Not the last word: code of another version must not take it for its own.
    const passing = anew || !this.isOfVersion;
    const keptUntil = passing ? null : expiresAt;
    const etag = passing ? null : (read.etag ?? (read.json === null ? (this.etags[slot] ?? null) : null));
    this.results.succeed(slot, {
      key: this.members.key(slot),
      json: read.json,
      etag,
      fetchedAt: now,
      expiresAt: keptUntil,
    });
    this.failuresInARow.delete(slot);
    this.patience.succeeded(slot);
    this.fetchedAt[slot] = now;
    if (keptUntil !== null || this.expiresAt.length > 0) this.expiresAt[slot] = keptUntil ?? 0;
    if (etag !== null || this.etags.length > 0) this.etags[slot] = etag ?? undefined;
    this.settle(run, now, this.leftAloneUntil(slot, anew ? null : expiresAt));
    if (!run.overtaken) return;
    this.agenda.askAnew([slot], now, 1);
    this.host.ring.touch(this.seat);
  }

  private fail(run: Run, error: Error): void {
    // Too late: the run was given up, and its member has gone on.
    if (run.settled) return;
    const now = this.host.clock.now();
    const { maxHoldMs, maxBackoffMs } = boundsOf(this.options);
    const alone = this.patience.failed(run.slot, error, this.options.everyMs, maxBackoffMs);
    const wish = readHold(error, maxHoldMs);
    const holdMs = wish ? wish.forMs : alone > 0 ? alone : null;
    const heldUntil = holdMs === null ? null : now + holdMs;
    if (wish?.oddScope !== undefined) this.warnOfScope(wish.oddScope);
    if (wish && wish.scope !== 'member') {
      const operation = wish.scope === 'operation' ? this.name : undefined;
      this.host.holds.hold(this.tracker, operation, heldUntil!, { at: now, reason: errorText(error) });
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
    this.settle(run, now, this.leftAloneUntil(run.slot, heldUntil));
    this.host.onError(error, this, run.id);
  }

  /**
   * The one place that says how long a member is left alone after a run, besides its interval: until the result's expiry, or the end
   * of the hold that its failure asked for, or of the longer interval of one that fails again and again; 0: its next time is soon enough.
   */
  private leftAloneUntil(_slot: number, until: number | null): number {
    return until ?? 0;
  }

  /**
   * Whether a stored ETag and expiry still count. A run that was under way when they were to be asked anew, or that began before its node
   * had heard of it, may have stored them again; so what was fetched right after that is asked once more.
   */
  isCurrent(id: string, fetchedAt: number): boolean {
    const askedAt = this.host.holds.askedAt(this.tracker, this.name, id);
    return this.isOfVersion && (askedAt === 0 || fetchedAt > askedAt + this.options.timeoutMs + HEARD_MS);
  }

  /** What was told then does not hold any more: it was lifted by hand. */
  wasLifted(toldAt: number): boolean {
    return toldAt <= this.host.holds.liftedAt(this.tracker, this.name);
  }

  /** What a member was told in an earlier shift, within today's bounds: they count from when it was told. */
  notBefore(known: {
    fetchedAt?: number | null;
    expiresAt?: number | null;
    failedAt?: number | null;
    heldUntil?: number | null;
  }): number {
    const { maxExpiryMs, maxHoldMs, maxBackoffMs } = boundsOf(this.options);
    const lifted = this.wasLifted(known.failedAt ?? 0);
    return Math.max(
      Math.min(known.expiresAt ?? 0, (known.fetchedAt ?? 0) + maxExpiryMs),
      lifted ? 0 : Math.min(known.heldUntil ?? 0, (known.failedAt ?? 0) + Math.max(maxHoldMs, maxBackoffMs)),
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

  /** Once a shift, as above. */
  private warnOfScope(scope: string): void {
    if (this.warnedOfScope) return;
    this.warnedOfScope = true;
    this.log.warn(
      { scope },
      "a HoldError came with a scope that there is not; it holds the operation. Use 'member', 'operation' or 'tracker'",
    );
  }

  /** Once a shift: it costs every 304 until one of the two is mended. */
  private warnOfVersion(): void {
    if (this.isOfVersion || this.warnedOfVersion) return;
    this.warnedOfVersion = true;
    this.log.warn(
      { code: this.definition.version ?? 1, declared: this.options.version ?? 1 },
      "this worker's code is of another version than the tracker runs: ETags and expiries are not used here " +
        `until both are the same (longwatch start ${this.tracker} --update)`,
    );
  }

  private drop(run: Run, reason: string): void {
    this.settle(run, this.host.clock.now(), 0);
    run.abort(reason);
  }

  private settle(run: Run, now: number, notBefore: number): void {
    run.settled = true;
    this.inFlight.delete(run);
    if (run.isolated) this.isolatedInFlight--;
    this.counts.skippedLate += this.agenda.finish(run.slot, now, notBefore);
    if (this.agenda.rounds !== this.seenRounds) this.host.roundEnded(this);
    const { ring } = this.host;
    ring.release(run.place, run.isolated);
    // The next in line need not wait for the tick.
    ring.touch(this.seat);
  }
}

function scheduleOf(options: OperationOptions): Schedule {
  const { everyMs, concurrency, stagger } = options;
  return { everyMs, concurrency, baseMs: stagger.baseMs, windowMs: stagger.windowMs };
}

function isThenable(value: unknown): value is Promise<unknown> {
  return value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function';
}
