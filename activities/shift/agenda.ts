/**
 * When one operation runs for each member of a pool: the pure planner of a shift. It knows due times, what is ready, what
 * runs and how far behind it is; it does no I/O, reads no clock and is told the time. `operation.ts` runs what
 * it hands out.
 *
 * Due times lie on a grid: phase + k × interval, the phase from the hash of the member's id. So nothing has to be carried
 * from shift to shift: what was fetched when (from the store) and the grid say what is due. A member that is late runs once,
 * from then on on its grid again, and the runs it missed are counted as skipped.
 *
 * Members are slots, small numbers that the shift gives out in ascending order and never uses again. A slot is absent,
 * waiting (in the heap, by due time), ready (in line) or running.
 */

export interface Schedule {
  everyMs: number;
  concurrency: number;
  baseMs: number;
  windowMs: number;
}

/** What is known of a member when it joins, epoch milliseconds by the agenda's clock. */
export interface Joining {
  /** 0 to 1, from the hash of its id. */
  share: number;
  addedAt: number;
  /** The last run, successful or not; undefined: none yet. */
  ranAt?: number;
  /** Not before this (an expiry, a hold). */
  notBefore?: number;
}

/** A pool that nobody kept for longer than this (and two intervals) starts staggered, as at its opening. */
const FORGOTTEN_MS = 60_000;

const ABSENT = 0;
const WAITING = 1;
const READY = 2;
const RUNNING = 3;

export class Agenda {
  private state = new Uint8Array(64);
  private due = new Float64Array(64);
  private phase = new Float64Array(64);
  /** Binary heap of waiting slots, by due time. Absent slots are dropped when they come up. */
  private heap: number[] = [];
  private ready = new Line();
  private size = 0;
  running = 0;

  // The round: one pass over the members.
  private roundFinished = 0;
  private roundLagMs = 0;
  private skippedInARow = 0;
  rounds = 0;
  /** The largest (finished − due) of the last complete round. */
  lastRoundMs = 0;

  constructor(public schedule: Schedule) {}

  get members(): number {
    return this.size;
  }

  /** Members that are due and not started. */
  get backlog(): number {
    return this.ready.length;
  }

  /** When the next waiting member is due; Infinity when none waits. */
  get nextDue(): number {
    return this.heap.length > 0 ? this.due[this.heap[0]!]! : Infinity;
  }

  dueOf(slot: number): number {
    return this.due[slot]!;
  }

  /**
   * A member joins. `crowd`: so many join with it that they wait for the stagger's window, as at a pool's opening; a few
   * newcomers start after the base alone.
   */
  join(slot: number, joining: Joining, now: number, crowd: boolean): void {
    this.reserve(slot);
    if (this.state[slot] !== ABSENT) return;
    this.phase[slot] = this.phaseOf(joining.share);
    this.size++;
    this.wait(slot, Math.max(this.firstDue(slot, joining, now, crowd), joining.notBefore ?? 0));
  }

  leave(slot: number): void {
    const state = this.state[slot];
    if (state === undefined || state === ABSENT) return;
    if (state === RUNNING) this.running--;
    if (state === READY) this.ready.drop(slot);
    this.state[slot] = ABSENT;
    this.size--;
  }

  /** Puts what is due by now in line. */
  ripen(now: number): void {
    while (this.heap.length > 0) {
      const slot = this.heap[0]!;
      if (this.state[slot] === WAITING && this.due[slot]! > now) return;
      this.popHeap();
      if (this.state[slot] !== WAITING) continue;
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

  /**
   * A run has ended. Its member waits for its next time on the grid, not before `notBefore`. Returns how many
   * runs were skipped because this one was late.
   */
  finish(slot: number, now: number, notBefore = 0): number {
    if (this.state[slot] !== RUNNING) return 0;
    this.running--;
    const due = this.due[slot]!;
    const lag = now - due;
    if (lag > this.roundLagMs) this.roundLagMs = lag;
    this.skippedInARow = 0;
    if (++this.roundFinished >= this.size) this.closeRound();
    const { everyMs } = this.schedule;
    // A first run is seldom on the grid; the grid's next time may be a moment away, and is then passed over.
    const from = this.isOnGrid(slot, due) ? now : Math.max(now, due + everyMs / 2);
    this.wait(slot, this.onGrid(slot, Math.max(from, notBefore), notBefore > from));
    return Math.max(0, Math.floor(lag / everyMs));
  }

  /** Passes over the member that was taken (backpressure): it waits for its next time, and no round counts it. */
  skip(slot: number, now: number): void {
    if (this.state[slot] !== RUNNING) return;
    this.running--;
    // Once it has given way a whole round long, the lag of its last round says nothing any more: two operations that give
    // way to each other would otherwise do so for ever.
    if (++this.skippedInARow >= this.size) this.resetRound();
    this.wait(slot, this.onGrid(slot, now, false));
  }

  /** After a pause or a closed gate: whatever is overdue waits for its next time, instead of all at once. */
  realign(now: number): void {
    for (let slot = 0; slot < this.state.length; slot++) {
      const state = this.state[slot];
      if (state === READY || (state === WAITING && this.due[slot]! < now)) {
        this.state[slot] = WAITING;
        this.due[slot] = this.onGrid(slot, now, false);
      }
    }
    this.ready = new Line();
    this.rebuildHeap();
    this.resetRound();
  }

  /** A new interval or stagger: every waiting member moves to the new grid. `shareOf` gives a slot's hash share. */
  reschedule(schedule: Schedule, now: number, shareOf: (slot: number) => number): void {
    const moved =
      schedule.everyMs !== this.schedule.everyMs ||
      schedule.baseMs !== this.schedule.baseMs ||
      schedule.windowMs !== this.schedule.windowMs;
    this.schedule = schedule;
    if (!moved) return;
    for (let slot = 0; slot < this.state.length; slot++) {
      if (this.state[slot] === ABSENT) continue;
      this.phase[slot] = this.phaseOf(shareOf(slot));
      if (this.state[slot] === WAITING) this.due[slot] = this.onGrid(slot, now, false);
    }
    this.rebuildHeap();
    this.resetRound();
  }

  /** Holds a waiting or ready member back until then. */
  hold(slot: number, until: number): void {
    const state = this.state[slot];
    if (state !== WAITING && state !== READY) return;
    if (state === READY) this.ready.drop(slot);
    else this.heap = this.heap.filter((other) => other !== slot);
    this.wait(slot, this.onGrid(slot, until, true));
  }

  /**
   * How far behind the operation is now: the last round's lag, or more where the round that runs (or a member
   * still waiting in line since `oldestRunningDue`) is already worse.
   */
  lagNow(now: number, oldestRunningDue: number): number {
    const head = this.ready.head();
    const waiting = head < 0 ? 0 : now - this.due[head]!;
    return Math.max(this.lastRoundMs, this.roundLagMs, waiting, now - Math.min(now, oldestRunningDue));
  }

  private closeRound(): void {
    this.rounds++;
    this.lastRoundMs = this.roundLagMs;
    this.roundFinished = 0;
    this.roundLagMs = 0;
  }

  private resetRound(): void {
    this.roundFinished = 0;
    this.roundLagMs = 0;
    this.lastRoundMs = 0;
    this.skippedInARow = 0;
  }

  private phaseOf(share: number): number {
    return (this.schedule.baseMs + share * this.schedule.windowMs) % this.schedule.everyMs;
  }

  private firstDue(slot: number, joining: Joining, now: number, crowd: boolean): number {
    const { everyMs, baseMs, windowMs } = this.schedule;
    const stagger = joining.share * windowMs;
    if (joining.ranAt === undefined) {
      const first = joining.addedAt + baseMs + (crowd ? stagger : 0);
      // Already over: the pool opens now, and its members spread over the window again.
      return first >= now ? first : now + (crowd ? stagger : 0);
    }
    const next = this.onGrid(slot, joining.ranAt + everyMs / 2, false);
    const forgotten = now - joining.ranAt > Math.max(2 * everyMs, FORGOTTEN_MS);
    return forgotten && crowd ? now + (stagger % everyMs) : next;
  }

  /** The first time on the slot's grid after `at`, or at it when `inclusive`. */
  private onGrid(slot: number, at: number, inclusive: boolean): number {
    const { everyMs } = this.schedule;
    const steps = (at - this.phase[slot]!) / everyMs;
    return this.phase[slot]! + everyMs * (inclusive ? Math.ceil(steps) : Math.floor(steps) + 1);
  }

  private isOnGrid(slot: number, at: number): boolean {
    const steps = (at - this.phase[slot]!) / this.schedule.everyMs;
    return Math.abs(steps - Math.round(steps)) * this.schedule.everyMs < 0.5;
  }

  private wait(slot: number, due: number): void {
    this.state[slot] = WAITING;
    this.due[slot] = due;
    this.pushHeap(slot);
  }

  private reserve(slot: number): void {
    if (slot < this.state.length) return;
    const length = Math.max(slot + 1, this.state.length * 2);
    this.state = grown(this.state, new Uint8Array(length));
    this.due = grown(this.due, new Float64Array(length));
    this.phase = grown(this.phase, new Float64Array(length));
  }

  private pushHeap(slot: number): void {
    const { heap, due } = this;
    let i = heap.length;
    heap.push(slot);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (due[heap[parent]!]! <= due[slot]!) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = slot;
  }

  private popHeap(): void {
    const last = this.heap.pop()!;
    if (this.heap.length > 0) this.sink(0, last);
  }

  private sink(from: number, slot: number): void {
    const { heap, due } = this;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && due[heap[child + 1]!]! < due[heap[child]!]!) child++;
      if (due[heap[child]!]! >= due[slot]!) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = slot;
  }

  private rebuildHeap(): void {
    this.heap = [];
    for (let slot = 0; slot < this.state.length; slot++) {
      if (this.state[slot] === WAITING) this.pushHeap(slot);
    }
  }
}

/** A line of slots, first in, first out, in a ring that grows; dropping one leaves a gap that is passed over. */
class Line {
  private items = new Int32Array(64);
  private first = 0;
  private count = 0;
  private gaps = 0;

  get length(): number {
    return this.count - this.gaps;
  }

  push(slot: number): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.first + this.count++) % this.items.length] = slot;
  }

  head(): number {
    while (this.count > 0 && this.items[this.first]! < 0) this.advance();
    return this.count > 0 ? this.items[this.first]! : -1;
  }

  shift(): number {
    const slot = this.head();
    if (slot >= 0) {
      this.first = (this.first + 1) % this.items.length;
      this.count--;
    }
    return slot;
  }

  drop(slot: number): void {
    for (let i = 0; i < this.count; i++) {
      const at = (this.first + i) % this.items.length;
      if (this.items[at] === slot) {
        this.items[at] = -1;
        this.gaps++;
        return;
      }
    }
  }

  private advance(): void {
    this.first = (this.first + 1) % this.items.length;
    this.count--;
    this.gaps--;
  }

  private grow(): void {
    const items = new Int32Array(this.items.length * 2);
    for (let i = 0; i < this.count; i++) items[i] = this.items[(this.first + i) % this.items.length]!;
    this.items = items;
    this.first = 0;
  }
}

function grown<T extends Uint8Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
