/**
 * When one operation runs for each member of a pool: the pure planner of a shift. It knows due times, what is ready,
 * what runs and how far behind it is; it does no I/O, reads no clock and is told the time. `operation.ts` runs what it
 * hands out; `due-times.ts` says when each member is due.
 *
 * Nothing is carried from shift to shift: what was fetched when (from the store) and the grid say what is due, and
 * nothing depends on when a shift began. A member that is late runs once, from then on on its grid again, and the runs
 * it missed are counted as skipped. Many that are overdue are spread, the longest overdue first, so that however
 * often a spread is interrupted and begun anew, it gets on.
 *
 * Members are slots, small numbers that the shift gives out. A slot is absent, waiting (by due time), ready (in line),
 * running, or parked: it was due, and waits for something that is nobody's time (`budgeted.ts`). Or it sleeps
 * (`sleepers.ts`): then it counts as no member.
 */
import { longer } from '../../lib/longer';
import { DueHeap } from './due-heap';
import { DueTimes } from './due-times';
import type { Schedule } from './grid';
import type { Joining } from './joining';
import { Line } from './line';
import { Parking } from './parking';
import { Round } from './round';

export type { Schedule } from './grid';

/** Overdue members are spread over this at most, milliseconds. */
const CATCH_UP_MS = 60_000;

const ABSENT = 0;
const WAITING = 1;
const READY = 2;
const RUNNING = 3;
const PARKED = 4;
const ASLEEP = 5;

export class Agenda {
  private state = new Uint8Array(64);
  private readonly times: DueTimes;
  private readonly waiting = new DueHeap();
  private ready = new Line();
  /** Members that have joined overdue and that `joined` has not seen yet. */
  private newcomers: number[] = [];
  private size = 0;
  private readonly parking = new Parking();
  private readonly round = new Round();
  running = 0;

  constructor(schedule: Schedule) {
    this.times = new DueTimes(schedule);
  }

  get schedule(): Schedule {
    return this.times.schedule;
  }

  get members(): number {
    return this.size;
  }
  get rounds(): number {
    return this.round.count;
  }
  get lastRoundMs(): number {
    return this.round.lastMs;
  }
  /** Members that are due and not started. */
  get backlog(): number {
    return this.ready.length;
  }
  /** When the next waiting member is due; Infinity when none waits. */
  get nextDue(): number {
    return this.waiting.nextDue;
  }

  dueOf(slot: number): number {
    return this.waiting.due[slot]!;
  }
  /** When it should have begun: when it was due, or later where it had to wait for something until then. */
  beginsAt(slot: number): number {
    return Math.max(this.waiting.due[slot]!, this.parking.leftLast(slot));
  }

  /** Members that wait for something that is nobody's time. */
  get parked(): number {
    return this.parking.size;
  }

  /**
   * A member joins. `crowd`: so many join with it that have never run that they wait for the stagger's window, as at a
   * pool's opening; a few newcomers start after the base alone. Its time may be over; call `joined` when all are there.
   */
  join(slot: number, joining: Joining, now: number, crowd: boolean): void {
    this.reserve(slot);
    if (this.state[slot] !== ABSENT) return;
    this.times.join(slot, joining, now);
    this.size++;
    this.wait(slot, this.times.planned(slot, crowd));
    if (this.dueOf(slot) < now) this.newcomers.push(slot);
  }

  leave(slot: number): void {
    const state = this.state[slot];
    if (state === undefined || state === ABSENT) return;
    if (state === RUNNING) this.running--;
    if (state === READY) this.ready.drop(slot);
    if (state === WAITING) this.waiting.remove(slot);
    this.parking.forget(slot, state === PARKED);
    this.state[slot] = ABSENT;
    this.times.hold(slot, 0);
    if (state !== ASLEEP) this.size--;
  }

  /** Puts what is due by now in line. */
  ripen(now: number): void {
    for (let slot = this.waiting.takeDue(now); slot >= 0; slot = this.waiting.takeDue(now)) {
      this.state[slot] = READY;
      this.ready.push(slot);
    }
  }

  /** The next member to run, or -1 when none is ready or the concurrency is used up. */
  take(): number {
    if (this.running >= this.schedule.concurrency) return -1;
    const slot = this.ready.shift();
    if (slot < 0) return -1;
    this.state[slot] = RUNNING;
    this.running++;
    return slot;
  }

  /** One that was taken cannot begin: it waits until `unpark`, and counts neither as ready nor as late. */
  park(slot: number): void {
    if (this.state[slot] !== RUNNING) return;
    this.running--;
    this.parking.enter();
    this.state[slot] = PARKED;
  }

  /** It may begin. @param first before all others, for it has what it needs */
  unpark(slot: number, now: number, first: boolean): void {
    if (this.state[slot] !== PARKED) return;
    this.parking.leave(slot, now);
    this.state[slot] = READY;
    if (first) this.ready.unshift(slot);
    else this.ready.push(slot);
  }

  /** One that was taken is not to run until `wake`. */
  sleep(slot: number): void {
    if (this.state[slot] !== RUNNING) return;
    this.running--;
    this.size--;
    this.state[slot] = ASLEEP;
  }

  /** It may run, and its time has come. */
  wake(slot: number, now: number): void {
    if (this.state[slot] !== ASLEEP) return;
    this.size++;
    this.parking.enter();
    this.state[slot] = PARKED;
    this.unpark(slot, now, false);
  }

  /**
   * A run has ended. Its member waits for its next time, not before `notBefore` (`exactly`: until then). Returns how
   * many runs were skipped because this one was late.
   */
  finish(slot: number, now: number, notBefore = 0, exactly = false): number {
    if (this.state[slot] !== RUNNING) return 0;
    this.running--;
    const due = this.waiting.due[slot]!;
    this.round.ended(now - this.beginsAt(slot), this.size);
    this.parking.forget(slot);
    this.wait(slot, this.times.ended(slot, due, now, notBefore, exactly));
    return Math.max(0, Math.floor((now - due) / this.schedule.everyMs));
  }

  /** How many whole intervals of the members in line went by between the two times: runs that backpressure has cost. */
  passedOver(from: number, to: number): number {
    const { everyMs } = this.schedule;
    let runs = 0;
    this.ready.forEach((slot) => {
      const due = this.waiting.due[slot]!;
      runs += Math.max(0, Math.floor((to - due) / everyMs)) - Math.max(0, Math.floor((from - due) / everyMs));
    });
    return runs;
  }

  /** After the members of a moment have joined: where more than `few` of them are overdue, these are spread. */
  joined(now: number, few: number): void {
    const overdue = this.newcomers.filter((slot) => this.state[slot] === WAITING && this.dueOf(slot) < now);
    this.newcomers = [];
    if (overdue.length > few) this.spread(overdue, now);
  }

  /** After a pause, a closed gate or a hold: what is overdue is spread instead of starting all at once. */
  resume(now: number): void {
    const overdue: number[] = [];
    for (let slot = this.ready.shift(); slot >= 0; slot = this.ready.shift()) overdue.push(slot);
    for (let slot = this.waiting.takeDue(now); slot >= 0; slot = this.waiting.takeDue(now)) overdue.push(slot);
    this.spread(overdue, now);
    this.round.reset();
  }

  /**
   * A new interval or stagger: every waiting member goes by it, counted from its last run, and not before its expiry or
   * hold. A member that is overdue by the new one is spread over it, and never put off.
   */
  reschedule(schedule: Schedule, now: number): void {
    const moved =
      schedule.everyMs !== this.schedule.everyMs ||
      schedule.baseMs !== this.schedule.baseMs ||
      schedule.windowMs !== this.schedule.windowMs;
    this.times.schedule = schedule;
    if (!moved) return;
    const members = this.waiting.numbers();
    const crowd = members.filter((slot) => !this.times.hasRun(slot)).length > schedule.concurrency;
    const overdue: { slot: number; planned: number }[] = [];
    for (const slot of members) {
      const planned = this.times.planned(slot, crowd);
      if (planned > now) this.wait(slot, planned);
      else overdue.push({ slot, planned });
    }
    overdue.sort((a, b) => a.planned - b.planned);
    const overMs = Math.min(schedule.everyMs, CATCH_UP_MS);
    overdue.forEach(({ slot }, i) => {
      const spread = now + ((i + 1) / overdue.length) * overMs;
      this.wait(slot, Math.min(this.waiting.due[slot]!, spread));
    });
    this.round.reset();
  }

  /** It begins anew for all (disabled until `from`): who has never run waits for base and window from then on. */
  restart(now: number, from: number): void {
    const members = this.waiting.numbers();
    for (let slot = this.ready.shift(); slot >= 0; slot = this.ready.shift()) members.push(slot);
    const never = members.filter((slot) => !this.times.hasRun(slot));
    for (const slot of members) {
      this.times.beginAt(slot, from);
      this.wait(slot, this.times.planned(slot, never.length > this.schedule.concurrency));
    }
    this.resume(now);
  }

  /**
   * Expiries and holds of these members do not count any more. A member that is overdue without them runs: at once
   * where that is no more than `few`, else spread.
   */
  release(slots: readonly number[], now: number, few: number): void {
    const overdue: number[] = [];
    for (const slot of slots) {
      if (this.state[slot] !== WAITING || !this.times.isHeld(slot)) continue;
      this.times.hold(slot, 0);
      this.wait(slot, Math.min(this.waiting.due[slot]!, this.times.planned(slot, false)));
      if (this.dueOf(slot) < now) overdue.push(slot);
    }
    if (overdue.length > few) this.spread(overdue, now);
  }

  /**
   * These members (all of those that wait) run anew, whenever they ran last: at once where they are no more than `few`,
   * else spread.
   */
  askAnew(slots: readonly number[] | undefined, now: number, few: number): void {
    const waiting = (slots ?? this.waiting.numbers()).filter((slot) => this.state[slot] === WAITING);
    const { everyMs, windowMs } = this.schedule;
    const overMs = waiting.length > few ? Math.min(windowMs, everyMs, CATCH_UP_MS) : 0;
    waiting.forEach((slot, i) => {
      this.times.hold(slot, 0);
      this.wait(slot, Math.min(this.waiting.due[slot]!, now + (i / waiting.length) * overMs));
    });
  }

  /** Holds a waiting or ready member back until then. */
  hold(slot: number, until: number): void {
    const state = this.state[slot];
    if (state !== WAITING && state !== READY) return;
    if (state === READY) this.ready.drop(slot);
    this.times.hold(slot, until);
    this.wait(slot, this.times.after(slot, this.waiting.due[slot]!));
  }

  /**
   * How far behind the operation is now: the last round's lag, or more where the round that runs (or a member
   * still waiting in line since `oldestRunningDue`) is already worse.
   */
  lagNow(now: number, oldestRunningDue: number): number {
    const head = this.ready.head();
    const waiting = head < 0 ? 0 : now - this.beginsAt(head);
    return Math.max(this.round.lastMs, this.round.lagMs, waiting, now - Math.min(now, oldestRunningDue));
  }

  /**
   * From now on, the longest overdue first: over the stagger's window, the interval, a minute, or as long as they were
   * held up, whichever is shortest.
   */
  private spread(overdue: number[], now: number): void {
    if (overdue.length === 0) return;
    const { due } = this.waiting;
    overdue.sort((a, b) => due[a]! - due[b]! || this.times.shareOf(a) - this.times.shareOf(b));
    const { everyMs, windowMs } = this.schedule;
    const overMs = Math.min(windowMs, everyMs, CATCH_UP_MS, now - due[overdue[0]!]!);
    overdue.forEach((slot, i) => this.wait(slot, now + (i / overdue.length) * overMs));
  }

  private wait(slot: number, due: number): void {
    this.state[slot] = WAITING;
    this.waiting.set(slot, due);
  }

  private reserve(slot: number): void {
    if (slot < this.state.length) return;
    this.state = longer(this.state, new Uint8Array(Math.max(slot + 1, this.state.length * 2)));
  }
}
