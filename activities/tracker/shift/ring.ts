/**
 * Decides which run starts next on a node. Every operation of every pool that is kept here (a loop, `operation.ts`) has
 * a seat; the node's tick turns the ring. A loop sleeps until its next member is due, so an idle one costs nothing;
 * with members in line it stands in the ring, which gives one place at a time to the next: first from operation to
 * operation, then from pool to pool.
 *
 * Nothing is started from within a run's end: what that makes possible starts in a turn of its own (`setImmediate`),
 * and a turn ends after some runs or milliseconds. So timers, sockets, flush and heartbeat come between, whatever
 * operations do.
 */
import type { Clock } from './clock';
import { DueHeap } from './due-heap';
import { Places, type Place as PlaceOf } from './places';

/** A turn ends after so many starts, or so many milliseconds. */
const TURN_RUNS = 500;
const TURN_MS = 10;
/** The places are shared anew this often, milliseconds. */
const SHARE_MS = 1_000;

/** A loop's share of its operation's places. */
export type Place = PlaceOf<Seat>;

/** A loop as the ring needs it. */
export interface Starter {
  readonly tracker: string;
  readonly name: string;
  /** Runs in a thread. */
  readonly isolated: boolean;
  /** The most places it could ever use. */
  readonly mostPlaces: number;
  /** When it must be woken although nothing happens; Infinity: never. */
  readonly wakeAt: number;
  /** Whether it has something to start and is not at its own limit. */
  readonly isReady: boolean;
  /** When its oldest run will have taken too long; Infinity: none runs. */
  readonly timesOutAt: number;
  /** Puts what is due in line; `wakeAt` is later than `now` then. */
  wake(now: number): void;
  /** Starts one run, which takes the place, or finds that it may not. */
  startOne(now: number, place: Place): void;
  /** Ends the runs that have taken too long; `timesOutAt` is later than `now` then. */
  expire(now: number): void;
  /** A mistake of ours in it. */
  broken(error: unknown): void;
}

/** A loop's place in the ring. */
export class Seat {
  left = false;
  place: Place;

  constructor(
    readonly loop: Starter,
    readonly number: number,
    public isolated: boolean,
    places: Places<Seat>,
  ) {
    this.place = places.join(keyOf(loop), this);
  }
}

export interface RingOptions {
  /** Runs of all pools at once. */
  places: number;
  /** Isolated runs of all pools at once. @default 2 */
  threads?: number;
}

export class Ring {
  private readonly seats = new Map<number, Seat>();
  private readonly unused: number[] = [];
  private readonly wakes = new DueHeap();
  private readonly expiries = new DueHeap();
  private readonly runs: Places<Seat>;
  private readonly threads: Places<Seat>;
  private sharedAt = -Infinity;
  private asked: NodeJS.Immediate | undefined;
  private turning = false;

  constructor(
    private readonly clock: Pick<Clock, 'now'>,
    { places, threads = 2 }: RingOptions,
  ) {
    this.runs = new Places(places);
    this.threads = new Places(threads, true);
  }

  /** Runs that may still be started on this node. */
  get free(): number {
    return this.runs.free;
  }

  join(loop: Starter): Seat {
    const number = this.unused.pop() ?? this.seats.size;
    const seat = new Seat(loop, number, loop.isolated, this.placesOf(loop.isolated));
    this.seats.set(number, seat);
    this.sharedAt = -Infinity;
    this.touch(seat);
    return seat;
  }

  /** The loop starts nothing more. Runs of it still end, and expire. */
  leave(seat: Seat): void {
    if (seat.left) return;
    seat.left = true;
    this.wakes.remove(seat.number);
    this.placesOf(seat.isolated).leave(seat.place);
    this.sharedAt = -Infinity;
    this.reuse(seat);
  }

  /** Something about the loop has changed: its due times, its members in line, its options, what holds it. */
  touch(seat: Seat): void {
    const { loop, number } = seat;
    if (seat.left) {
      this.reuse(seat);
      return;
    }
    if (seat.isolated !== loop.isolated) this.move(seat);
    const at = loop.wakeAt;
    if (at === Infinity) this.wakes.remove(number);
    else this.wakes.set(number, at);
    if (!loop.isReady) return;
    this.placesOf(seat.isolated).queue(seat.place);
    this.ask();
  }

  /** A run of the loop has begun, or its time-out is another one. */
  watch(seat: Seat): void {
    const at = seat.loop.timesOutAt;
    if (at < Infinity) this.expiries.set(seat.number, at);
  }

  take(place: Place, isolated: boolean): void {
    this.placesOf(isolated).take(place);
  }

  release(place: Place, isolated: boolean): void {
    const places = this.placesOf(isolated);
    places.release(place);
    if (places.waiting > 0) this.ask();
  }

  /** Called by the node, every few milliseconds. */
  tick(now: number): void {
    for (let number = this.expiries.takeDue(now); number >= 0; number = this.expiries.takeDue(now)) {
      const seat = this.seats.get(number)!;
      try {
        seat.loop.expire(now);
        this.watch(seat);
      } catch (thrown) {
        this.broken(seat, thrown);
      }
      if (seat.left) this.reuse(seat);
    }
    this.turn();
  }

  close(): void {
    clearImmediate(this.asked);
    this.asked = undefined;
  }

  /** A turn of its own, soon. */
  private ask(): void {
    if (this.turning) return;
    this.asked ??= setImmediate(() => {
      this.asked = undefined;
      this.turn();
    });
  }

  private turn(): void {
    const began = this.clock.now();
    this.turning = true;
    let more: boolean;
    try {
      this.wake(began);
      if (began - this.sharedAt >= SHARE_MS || began < this.sharedAt) this.shareAnew(began);
      // Waking has taken its time, and is not counted: however much there is to wake, some runs start.
      const from = this.clock.now();
      const cut = this.deal(this.threads, from);
      more = this.deal(this.runs, from) || cut;
    } finally {
      this.turning = false;
    }
    if (more) this.ask();
  }

  private wake(now: number): void {
    for (let number = this.wakes.takeDue(now); number >= 0; number = this.wakes.takeDue(now)) {
      const seat = this.seats.get(number)!;
      try {
        seat.loop.wake(now);
        this.touch(seat);
      } catch (thrown) {
        this.broken(seat, thrown);
      }
    }
  }

  /** Gives out places until there is none, or nobody wants one. True when it stopped for the turn's end. */
  private deal(places: Places<Seat>, began: number): boolean {
    for (let runs = 0; runs < TURN_RUNS; runs++) {
      const now = this.clock.now();
      if (runs > 0 && now - began >= TURN_MS) return true;
      const place = places.next();
      if (!place) return false;
      const { seat } = place;
      // It has left, or gone over to the threads or back, while it stood in line; or it was served from its other line.
      if (seat.left || seat.place !== place || !seat.loop.isReady) continue;
      try {
        seat.loop.startOne(now, place);
        this.touch(seat);
      } catch (thrown) {
        this.broken(seat, thrown);
      }
    }
    return true;
  }

  private shareAnew(now: number): void {
    this.sharedAt = now;
    for (const places of [this.runs, this.threads]) {
      places.share(({ seat }) => seat.loop.mostPlaces);
    }
    // A loop whose part has grown stands in the wrong line.
    for (const seat of this.seats.values()) {
      if (!seat.left && seat.loop.isReady) this.placesOf(seat.isolated).queue(seat.place);
    }
  }

  private placesOf(isolated: boolean): Places<Seat> {
    return isolated ? this.threads : this.runs;
  }

  /** `isolate` was changed while it runs. Runs that are under way keep their places. */
  private move(seat: Seat): void {
    this.placesOf(seat.isolated).leave(seat.place);
    seat.isolated = seat.loop.isolated;
    seat.place = this.placesOf(seat.isolated).join(keyOf(seat.loop), seat);
    this.sharedAt = -Infinity;
  }

  private broken(seat: Seat, error: unknown): void {
    this.leave(seat);
    seat.loop.broken(error);
  }

  /** Its number is another's, once no run of it is under way that may still time out. */
  private reuse(seat: Seat): void {
    const { number, loop } = seat;
    if (this.expiries.has(number) || loop.timesOutAt < Infinity || this.seats.get(number) !== seat) return;
    this.seats.delete(number);
    this.unused.push(number);
  }
}

const keyOf = (loop: Starter): string => `${loop.tracker}/${loop.name}`;
