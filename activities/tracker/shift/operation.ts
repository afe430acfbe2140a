/**
 * One operation of one pool while a shift keeps it: runs the definition's code for the members that its agenda hands
 * out, within its concurrency and time-out. The node's ring (`ring.ts`) says when it may start one; `standing.ts` why
 * it stands still, `outcome.ts` what a run came to, `known.ts` what is known of the last ones. One member's run,
 * however bad, affects that member alone.
 */
import type { Logger } from 'pino';
import type { OperationDefinition } from '../../../config/define/tracker';
import type { OperationOptions } from '../../../workflows/tracker/options';
import { errorOf } from '../../lib/failures';
import type { RunSpending } from '../../upstream/spend/run';
import { Agenda } from './agenda';
import { budgetedOf, type Budgeted } from './budgeted';
import { callCode } from './code';
import { Counts, Rounds } from './counts';
import { scheduleOf } from './grid';
import type { Operation, OperationHost, OperationSetup, OperationShift } from './host';
import { InFlight, THREAD_START_MS } from './in-flight';
import { Known } from './known';
import type { Joining } from './joining';
import type { Lateness } from './lateness';
import type { Members } from './members';
import { Outcome } from './outcome';
import type { PendingResults } from './pending';
import type { Failure, Success } from './results';
import type { Place, Seat, Starter } from './ring';
import { Run, type Start } from './run';
import { Sleepers } from './sleepers';
import { Standing, type Frozen } from './standing';

export class OperationLoop implements Starter, Operation {
  readonly name: string;
  readonly definition: OperationDefinition;
  readonly host: OperationHost;
  readonly log: Logger;
  readonly lateness: Lateness;
  private readonly shift: OperationShift;
  private current: OperationOptions;
  private began: number | undefined;
  readonly agenda: Agenda;
  readonly counts = new Counts();
  readonly rounds: Rounds;
  readonly known: Known;
  /** The owner of these requests where connections are shared. */
  readonly lane: string;
  private readonly inFlight = new InFlight();
  readonly standing: Standing;
  private readonly outcome: Outcome;
  private readonly sleepers: Sleepers;
  private readonly seat: Seat;
  /** Takes tokens for its runs; undefined: it asks no upstream that has limits. */
  readonly budgeted: Budgeted | undefined;

  constructor(setup: OperationSetup) {
    const { shift, name, options, host } = setup;
    this.shift = shift;
    this.name = name;
    this.definition = setup.definition;
    this.current = options;
    this.host = host;
    this.log = setup.log;
    this.lateness = setup.lateness;
    this.began = setup.beganAt;
    this.agenda = new Agenda(scheduleOf(options));
    this.lane = `${this.tracker}/${name}`;
    this.rounds = new Rounds(this.agenda, this.counts);
    this.known = new Known(this, host.holds);
    this.outcome = new Outcome(this);
    this.sleepers = new Sleepers(this, (slot) => shift.awake.is(slot));
    this.standing = new Standing(this, shift, host.holds.watch(this.tracker, name), host.clock.now());
    this.seat = host.ring.join(this);
    this.budgeted = budgetedOf(this, setup, () => host.ring.touch(this.seat));
    this.known.warnOfVersion();
  }

  get options(): OperationOptions {
    return this.current;
  }

  /** See {@link OperationSetup.beganAt}. */
  get beganAt(): number | undefined {
    return this.began;
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
    return this.standing.frozen;
  }

  /** Results that the store does not have yet. */
  get results(): PendingResults {
    return this.outcome.results;
  }

  get inFlightCount(): number {
    return this.inFlight.size;
  }

  /** When the oldest run that is under way began; Infinity: none is. */
  get oldestStart(): number {
    return this.inFlight.oldest?.startedAt ?? Infinity;
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
    this.budgeted?.leave(slot);
    this.sleepers.leave(slot);
    this.agenda.leave(slot);
    this.results.forget(slot);
    this.known.forget(slot);
    this.host.ring.touch(this.seat);
  }

  /** @param beganAt since when it has been declared or enabled, where that is known */
  reconfigure(options: OperationOptions, beganAt: number | undefined, now: number): void {
    const isNew = (options.version ?? 1) !== (this.options.version ?? 1) || options.codec !== this.options.codec;
    this.current = options;
    // It is not known any more whose code made them.
    if (isNew) this.known.forgetCached(undefined);
    this.agenda.reschedule(scheduleOf(options), now);
    const anew = beganAt !== undefined && beganAt > (this.beganAt ?? -Infinity);
    this.began = beganAt ?? this.began;
    // Disabled and enabled again between two looks; else it is seen below.
    if (anew && options.enabled && this.frozenBy !== 'disabled') this.agenda.restart(now, beganAt);
    this.host.ring.watch(this.seat);
    this.recheck(now);
    this.known.warnOfVersion();
  }

  /** Something that may hold it back has changed: options, state, gate, a hold that was lifted. */
  recheck(now: number): void {
    this.standing.look(now);
    if (this.frozenBy !== undefined) this.budgeted?.giveBack();
    this.host.ring.touch(this.seat);
  }

  /** Holds were lifted by hand: who was held by its own failure is asked again too. */
  lift(now: number): void {
    const failing = [...this.known.failuresInARow.keys()];
    for (const slot of failing) this.known.patience.forget(slot);
    this.agenda.release(failing, now, this.options.concurrency);
    this.recheck(now);
  }

  /** ETags and expiries of these members (of all) do not count any more; values stay until there are others. */
  askAnew(slots: readonly number[] | undefined, now: number): void {
    this.known.forgetCached(slots);
    const asked = slots && new Set(slots);
    for (const run of this.inFlight) if (asked === undefined || asked.has(run.slot)) run.overtaken = true;
    this.agenda.askAnew(slots, now, this.options.concurrency);
    this.recheck(now);
  }

  /** It is awake, or (undefined) who is may have changed: if it slept, its time has come. */
  wakeMember(slot: number | undefined, now: number): void {
    const slept = slot === undefined ? this.sleepers.wakeAll(now) : this.sleepers.wake(slot, now);
    if (slept) this.host.ring.touch(this.seat);
  }

  /** Starts nothing more, while the rest of the pool goes on, or goes on as well (`wind-down.ts`). */
  stop(now: number, stopped = true): void {
    this.standing.stop(stopped);
    this.recheck(now);
  }

  get isStopped(): boolean {
    return this.standing.isStopped;
  }

  /** The shift ends: starts nothing more; runs that are under way may still give results, or time out. */
  close(): void {
    this.standing.stop();
    this.standing.frozen = 'over';
    this.budgeted?.close();
    this.host.ring.leave(this.seat);
  }

  /** How far the operation is behind, milliseconds: what other operations' `skipWhile` looks at. */
  lag(now: number): number {
    return this.agenda.lagNow(now, this.inFlight.oldest?.due ?? Infinity);
  }

  // ── What the ring asks and does ──

  get isolated(): boolean {
    return this.options.isolate;
  }
  get mostPlaces(): number {
    return this.options.enabled ? Math.min(this.options.concurrency, this.agenda.members) : 0;
  }
  get wakeAt(): number {
    return this.standing.wakeAt;
  }
  get isReady(): boolean {
    return this.agenda.backlog > 0 && this.room > 0;
  }

  /** Runs that it could start now, as far as it is its own to say. */
  get room(): number {
    return this.frozenBy === undefined ? this.agenda.schedule.concurrency - this.agenda.running : 0;
  }

  get timesOutAt(): number {
    return this.inFlight.timesOutAt(this.options.timeoutMs);
  }
  wake(now: number): void {
    this.standing.look(now);
    if (this.frozenBy === undefined || this.frozenBy === 'lag') this.agenda.ripen(now);
  }

  startOne(now: number, place: Place): void {
    this.standing.look(now);
    if (this.frozenBy !== undefined) return;
    const slot = this.agenda.take();
    if (slot < 0 || this.sleepers.takes(slot)) return;
    const part = this.shift.closed() === 'gate' && this.options.gated ? 'whenClosed' : 'run';
    if (part === 'whenClosed' || this.budgeted === undefined) return this.start({ slot, now, place, part });
    let spending: RunSpending | undefined;
    try {
      spending = this.budgeted.take(slot);
    } catch (thrown) {
      return this.start({ slot, now, place, part, refused: errorOf(thrown) });
    }
    if (spending) this.start({ slot, now, place, part, spending });
  }

  /** Aborts what has run for longer than the time-out. */
  expire(now: number): void {
    for (const run of this.inFlight.expired(now, this.options.timeoutMs)) {
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

  /** The store will not have this result, whatever is tried. */
  refuse(slot: number, result: Success | Failure): void {
    this.outcome.refused(slot, result);
  }

  /** Ends all runs without a result: the shift is over, and the next one fetches these members at once. */
  abandon(reason: string): void {
    this.counts.abandoned += this.inFlight.size;
    for (const run of this.inFlight) this.drop(run, reason);
  }

  private start({ slot, now, place, part, spending, refused }: Start): void {
    const isolated = this.seat.isolated;
    const run = new Run(this, slot, now, this.agenda.beginsAt(slot), place, isolated, spending);
    this.lateness.add(now - run.due, now);
    this.inFlight.add(run);
    this.host.ring.take(place, isolated);
    if (isolated || this.inFlight.size === 1) this.host.ring.watch(this.seat);
    let returned: unknown;
    try {
      if (refused) throw refused;
      returned = callCode(this, run, part, () => this.begun(run));
    } catch (thrown) {
      this.fail(run, errorOf(thrown));
      return;
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

  private succeed(run: Run, result: unknown): void {
    if (run.settled) return;
    const now = this.host.clock.now();
    let until: number;
    try {
      until = this.outcome.success(run, result, now);
    } catch (error) {
      this.fail(run, errorOf(error));
      return;
    }
    this.settle(run, now, until);
    if (!run.overtaken) return;
    this.agenda.askAnew([run.slot], now, 1);
    this.host.ring.touch(this.seat);
  }

  private fail(run: Run, error: Error): void {
    // Too late: the run was given up, and its member has gone on.
    if (run.settled) return;
    const now = this.host.clock.now();
    // It needed more than was left, which is not its failure. It comes again when there is some.
    const shortage = run.shortage(error);
    if (shortage) {
      this.settle(run, now, 0);
      return this.budgeted?.cutShort(run.slot, shortage, now);
    }
    const { until, exactly } = this.outcome.failure(run, error, now);
    this.settle(run, now, until, exactly);
    this.host.onError(error, this, run.id);
  }
  private drop(run: Run, reason: string): void {
    this.settle(run, this.host.clock.now(), 0);
    run.abort(reason);
  }

  private settle(run: Run, now: number, notBefore: number, exactly = false): void {
    run.settled = true;
    run.spending?.end();
    this.inFlight.delete(run);
    this.counts.skippedLate += this.agenda.finish(run.slot, now, notBefore, exactly);
    if (this.rounds.hasEnded) this.host.roundEnded(this);
    const { ring } = this.host;
    ring.release(run.place, run.isolated);
    // The next in line need not wait for the tick.
    ring.touch(this.seat);
  }
}
