/**
 * The connections of an upstream, shared between lanes (`lane.ts`): a call goes to an idle one, or waits in its lane's
 * line. Used by `http.ts`. undici's own pool looks through all of its connections for each request, which at some
 * hundreds of them costs more than the rest of a fetch's bookkeeping.
 *
 * One operation whose requests hang must not keep all others out. So a quarter of the connections is kept for the lanes
 * in equal parts, at least one each where there are enough; the rest goes to who comes. A connection that is free again
 * goes to the next lane in the ring that has somebody waiting, not to the one that freed it.
 */
import { Client, errors, type Dispatcher } from 'undici';

/** A call as far as its connection is concerned. */
export interface Sendable extends Dispatcher.DispatchHandlers {
  readonly request: Dispatcher.DispatchOptions;
  readonly laneName: string;
  /** Set when the call's connection was found; the call must `release` it once, at undici's last word on it. */
  connection: Client | undefined;
  lane: Lane | undefined;
  /** Its place in line, while it waits; set and cleared here. */
  waits: boolean;
  ahead: Sendable | undefined;
  behind: Sendable | undefined;
  onError(error: Error): void;
}

/** Calls of one kind: how many are under way, and the line of those who wait. */
export class Lane {
  inUse = 0;
  first: Sendable | undefined = undefined;
  last: Sendable | undefined = undefined;
  usedAt = 0;
  constructor(readonly name: string) {}
}

/** More kinds of calls than this stand in one lane together. */
const MOST_LANES = 64;
/** A lane that nobody used for so long has no connection kept for it. */
const FORGOTTEN_AFTER_MS = 60_000;
/** The share of all connections that is kept for the lanes. */
const KEPT_SHARE = 1 / 4;

export class Connections {
  private readonly all: Client[] = [];
  private readonly idle: Client[] = [];
  private readonly lanes = new Map<string, Lane>();
  /** Lanes in which somebody waits, in the order of their turns. */
  private ring: Lane[] = [];
  private lookedAt = 0;
  /** How many connections are kept for each lane, and how many of all those are not in use. */
  private kept = 0;
  private owed = 0;
  private serving = false;
  private closed = false;

  constructor(
    private readonly origin: string,
    private readonly limit: number,
  ) {}

  send(call: Sendable): void {
    if (this.closed) {
      call.onError(new errors.ClientClosedError());
      return;
    }
    const lane = this.laneOf(call.laneName);
    // Calls that wait already have their turn first.
    if (lane.first === undefined && this.mayTake(lane)) this.dispatch(this.idle.pop() ?? this.open(), lane, call);
    else this.enqueue(lane, call);
  }

  /** A call that has ended while it waited leaves its line at once. */
  forget(call: Sendable): void {
    const { lane } = call;
    if (!call.waits || lane === undefined) return;
    if (call.ahead) call.ahead.behind = call.behind;
    else lane.first = call.behind;
    if (call.behind) call.behind.ahead = call.ahead;
    else lane.last = call.ahead;
    call.ahead = call.behind = undefined;
    call.waits = false;
    if (lane.first === undefined) this.ring.splice(this.ring.indexOf(lane), 1);
  }

  /** undici has said its last word on a call: its connection takes the next one. */
  release(call: Sendable): void {
    const { connection, lane } = call;
    if (!connection || !lane) return;
    call.connection = undefined;
    this.count(lane, -1);
    this.idle.push(connection);
    this.serve();
  }

  /** Calls that are under way or wait fail. */
  async close(): Promise<void> {
    this.closed = true;
    for (const lane of [...this.ring]) {
      while (lane.first) {
        const call = lane.first;
        this.forget(call);
        call.onError(new errors.ClientClosedError());
      }
    }
    await Promise.all(this.all.map((client) => client.destroy()));
  }

  /** How many calls wait. For tests. */
  get waiting(): number {
    let count = 0;
    for (const lane of this.ring) for (let call = lane.first; call; call = call.behind) count++;
    return count;
  }

  private get free(): number {
    return this.limit - this.all.length + this.idle.length;
  }

  /** Within its own part always; above it only what is not kept for others. */
  private mayTake(lane: Lane): boolean {
    const { free } = this;
    if (free <= 0) return false;
    return lane.inUse < this.kept || free > this.owed;
  }

  private serve(): void {
    // A call that cannot be sent gives its connection back within `dispatch`: the loop that is under way takes it.
    if (this.closed || this.serving) return;
    this.serving = true;
    // Until all were asked in vain: nobody's turn comes twice before everybody had one.
    for (let asked = 0; asked < this.ring.length && this.free > 0;) {
      const lane = this.ring.shift()!;
      this.ring.push(lane);
      if (this.mayTake(lane)) {
        asked = 0;
        const call = lane.first!;
        this.forget(call);
        this.dispatch(this.idle.pop() ?? this.open(), lane, call);
      } else {
        asked++;
      }
    }
    this.serving = false;
  }

  private enqueue(lane: Lane, call: Sendable): void {
    call.lane = lane;
    call.waits = true;
    call.ahead = lane.last;
    if (lane.last) lane.last.behind = call;
    else {
      lane.first = call;
      this.ring.push(lane);
    }
    lane.last = call;
  }

  private dispatch(client: Client, lane: Lane, call: Sendable): void {
    call.connection = client;
    call.lane = lane;
    this.count(lane, 1);
    try {
      client.dispatch(call.request, call);
    } catch (error) {
      call.onError(error as Error);
    }
  }

  private open(): Client {
    const client = new Client(this.origin, {
      pipelining: 1,
      // The deadline list sees to both: one timer for all calls, and a slow drip does not reset it.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.all.push(client);
    return client;
  }

  // ── Lanes ──────────────────────────────────────────────────────────────────────────────────

  private laneOf(name: string): Lane {
    const now = performance.now();
    let lane = this.lanes.get(name);
    if (lane === undefined) {
      this.forgetLanes(now);
      const own = this.lanes.size < MOST_LANES ? name : REST;
      lane = this.lanes.get(own);
      if (lane === undefined) {
        lane = new Lane(own);
        this.lanes.set(own, lane);
        this.share();
      }
    } else if (now - this.lookedAt > FORGOTTEN_AFTER_MS / 4) {
      this.forgetLanes(now);
    }
    lane.usedAt = now;
    return lane;
  }

  private forgetLanes(now: number): void {
    this.lookedAt = now;
    const before = this.lanes.size;
    for (const lane of this.lanes.values()) {
      if (lane.inUse === 0 && !lane.first && now - lane.usedAt > FORGOTTEN_AFTER_MS) this.lanes.delete(lane.name);
    }
    if (this.lanes.size !== before) this.share();
  }

  /** Counts anew how many connections are kept for each lane, after the number of lanes has changed. */
  private share(): void {
    const lanes = this.lanes.size;
    this.kept = lanes < 2 || this.limit < lanes ? 0 : Math.max(1, Math.floor((this.limit * KEPT_SHARE) / lanes));
    this.owed = 0;
    for (const lane of this.lanes.values()) this.owed += Math.max(0, this.kept - lane.inUse);
  }

  private count(lane: Lane, change: 1 | -1): void {
    if (change > 0 ? lane.inUse < this.kept : lane.inUse <= this.kept) this.owed -= change;
    lane.inUse += change;
  }
}

/** The lane of those who have none of their own. */
const REST = '';
