/**
 * A node of the simulated world: the real account, demand that grows, requests under way, two clocks. It crashes,
 * freezes, is suspended, and loses the ledger; what a process does, it does awake.
 */
import { Account, type Ticket } from '../../../../activities/upstream/budget/account';
import type { Limit } from '../../../../activities/upstream/budget/limit';
import type { Grant, Told } from '../../../../activities/upstream/budget/ledger/messages';
import type { Draws } from '../../../support/draws';
import type { Events } from './events';
import type { SimulatedLedger } from './ledger';
import type { Answered } from './upstream';

// Bound once: under Jest each look at a global costs a microsecond.
const { min, max, floor } = Math;

export interface NodeOptions {
  /** Requests a second, places, seconds of the median answer and its spread, time-out. */
  demand: number;
  /** Nobody wants anything then. */
  rests?: (now: number) => boolean;
  places: number;
  latency: (now: number) => number;
  sigma: number;
  timeout: number;
  /** Requests that were reserved and not sent when a process freezes: sent when it wakes up. */
  stuck: number;
  tells: { window: boolean };
}

/** The upstream that a node asks: the world's own, or one of `examples/upstreams`. */
export interface Asks {
  handle(): Answered;
  /** The answer is on its way back. */
  leave(answered: Answered): void;
  /** Seconds inside are part of what is counted. */
  isConcurrent: boolean;
}

export interface Surroundings {
  events: Events;
  draw: Draws;
  limit: Limit;
  upstream: Asks;
  ledger: SimulatedLedger;
  nodes: WorldNode[];
  window: number;
}

/** A node as the world drives it: bad days come to it, and words of others. */
export interface WorldNode {
  isDead: boolean;
  cutUntil: number;
  /** Seconds that the wall clock is off. */
  wallOff: number;
  /** Requests that were answered. */
  readonly answered: number;
  freeze(seconds: number, suspended: boolean): void;
  /** A notification: closed for so long, by that generation. */
  hear(closedFor: number, generation: number): void;
}

export class SimulatedNode implements WorldNode {
  private static lives = 0;
  readonly account: Account;
  isDead = false;
  cutUntil = 0;
  private frozenUntil = 0;
  /** Seconds that the monotonic clock missed, and that the wall clock is off. */
  private slept = 0;
  wallOff = 0;
  backlog = 0;
  private backlogAt: number;
  private underWay = 0;
  /** Requests that were answered. */
  answered = 0;
  private isTelling = false;
  private readonly clocks = {
    monotonic: () => this.world.events.now - this.slept,
    wall: () => this.world.events.now + this.wallOff,
  };

  constructor(
    private readonly world: Surroundings,
    readonly options: NodeOptions,
  ) {
    const { events, draw, limit } = world;
    this.backlogAt = events.now;
    this.account = new Account(`node ${++SimulatedNode.lives}`, limit, this.clocks);
    events.every(1, draw.next(), () => {
      this.awake(() => this.renew());
      return !this.isDead;
    });
    const tick = min(0.2, max(0.02, 0.3 / max(options.demand, 0.1)));
    events.every(tick, draw.next() * tick, () => {
      if (events.now >= this.frozenUntil) this.pump();
      return !this.isDead;
    });
  }

  private get isCut(): boolean {
    return this.world.events.now < this.cutUntil;
  }

  freeze(seconds: number, suspended: boolean): void {
    const { events } = this.world;
    if (this.isDead || events.now < this.frozenUntil) return;
    for (let i = 0; i < this.options.stuck && this.account.may(); i++) this.send(seconds);
    this.frozenUntil = events.now + seconds;
    if (suspended) this.slept += seconds;
  }

  private awake(run: () => void): void {
    if (this.isDead) return;
    const { events } = this.world;
    if (events.now < this.frozenUntil) events.at(this.frozenUntil, () => this.awake(run));
    else run();
  }

  private grow(): void {
    const { now } = this.world.events;
    const { demand } = this.options;
    const rests = this.options.rests?.(now) ?? false;
    this.backlog = rests ? 0 : min(max(3, demand * 60), this.backlog + demand * (now - this.backlogAt));
    this.backlogAt = now;
  }

  private pump(): void {
    this.grow();
    for (let n = 0; n < 200 && this.backlog >= 1 && this.underWay < this.options.places && this.account.may(); n++)
      this.send(0);
  }

  private send(stuckFor: number): void {
    const { events, draw, upstream } = this.world;
    const { latency, sigma, timeout } = this.options;
    const ticket = this.account.reserve();
    this.backlog--;
    this.underWay++;
    const half = latency(events.now) / 2;
    const there = stuckFor + 0.001 + draw.lognormal(half, sigma);
    const inside = upstream.isConcurrent ? draw.lognormal(half, sigma) : 0;
    const back = draw.lognormal(half, sigma);
    let isDone = false;
    const finish = (run: () => void): void =>
      this.awake(() => {
        if (isDone) return;
        isDone = true;
        this.underWay--;
        run();
      });
    if (stuckFor > 0)
      events.after(stuckFor, () => !this.account.mayStillSend(ticket) && finish(() => this.account.release(ticket)));
    events.after(there, () => {
      if (stuckFor > 0 && (isDone || this.isDead)) return;
      const answered = upstream.handle();
      events.after(inside, () => upstream.leave(answered));
      events.after(inside + back, () => finish(() => this.answer(ticket, answered)));
    });
    events.after(timeout + stuckFor, () => finish(() => this.account.lose(ticket)));
  }

  private answer(ticket: Ticket, answered: Answered): void {
    const { limit } = this.world;
    this.answered++;
    const told = this.told(answered);
    // A place costs nothing once it is free again.
    const cost = limit.shape === 'concurrent' ? 0 : answered.cost;
    this.account.settle(ticket, { cost, told, refusedFor: answered.retryAfter });
    if (answered.retryAfter !== undefined) this.refused(ticket, answered.retryAfter);
    if (this.account.urgent) this.renew();
  }

  private told({ remaining, limit, reset, window: said }: Answered): Told | undefined {
    // As `headers/` does: only a number is a header.
    if (remaining === undefined || !Number.isFinite(remaining)) return undefined;
    const window = said ?? (this.options.tells.window ? this.world.window : undefined);
    return { remaining: max(0, remaining), limit, reset, window };
  }

  /** Closed at once here; the ledger and, by NOTIFY, all others follow. */
  private refused(ticket: Ticket, retryAfter: number): void {
    const { events, ledger, nodes } = this.world;
    const refusal = this.account.close(ticket, retryAfter);
    if (refusal === undefined) return;
    if (this.isCut) return this.account.closingLost();
    const { closedFor, generation } = ledger.close(refusal, this.account.reckoned(this.clocks.monotonic()));
    this.account.hearClosed(closedFor, generation, true);
    for (const node of nodes)
      if (node !== this) events.after(0.015, () => node.hear(max(0, closedFor - 0.015), generation));
  }

  hear(closedFor: number, generation: number): void {
    if (!this.isCut) this.awake(() => this.account.hearClosed(closedFor, generation));
  }

  /**
   * One statement: 2 to 20 ms, sometimes half a second; one in 200 commits and its answer is lost; one in 200 comes
   * late and twice.
   */
  private renew(): void {
    const { events, draw, ledger } = this.world;
    if (this.isTelling) return;
    this.grow();
    const renewal = this.account.renewal(min(this.options.demand, floor(this.backlog)) || (this.backlog >= 1 ? 1 : 0));
    if (this.isCut) return this.account.granted(renewal, undefined);
    const takes = draw.between(0.002, 0.02) + (draw.chance(0.01) ? 0.5 : 0);
    const isLost = draw.chance(0.005);
    this.isTelling = true;
    const asked = this.clocks.monotonic();
    const write = (): Grant => ledger.renew(renewal, undefined, this.account.reckoned(asked));
    if (draw.chance(0.005)) events.after(draw.between(1, 3), write);
    events.after(takes / 2, () => {
      const grant = write();
      events.after(isLost ? 1 : takes / 2, () =>
        this.awake(() => {
          this.isTelling = false;
          this.account.granted(renewal, isLost ? undefined : grant);
        }),
      );
    });
  }
}
