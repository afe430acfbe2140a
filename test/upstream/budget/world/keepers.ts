/**
 * Buckets of members through hand-overs: shifts that keep a member one after the other, each with its own typed arrays,
 * a store behind a fence, and an upstream that counts exactly. Shifts end cleanly, crash, freeze or lose the store, and
 * go on for their patience beside the next; now and then one learns that a request may cost more, or less.
 */
import { MemberBuckets, type MemberLimit, type MemberTicket } from '../../../../activities/upstream/budget/member';
import type { StoredMember } from '../../../../activities/upstream/budget/member-slots';
import { FloatingCount } from '../../../../examples/upstreams/counts';
import { Draws } from '../../../support/draws';
import { Events } from './events';

/** Seconds after which a shift that could not store sends nothing more. */
const STOPS_AFTER = 10;
const LATE = 30;

interface Row {
  fence: number;
  stored: StoredMember | undefined;
  isClean: boolean;
}

class Keeper {
  private buckets: MemberBuckets;
  private fencePassedAt: number;
  private frozenUntil = 0;
  cutUntil = 0;
  isOver = false;
  private isLeaving = false;
  private isFlushing = false;
  private lastSeen: number;
  backlog = 0;

  constructor(
    private readonly world: KeepersWorld,
    private readonly fence: number,
    row: Row,
  ) {
    const { events, limit } = world;
    this.buckets = new MemberBuckets(1, limit);
    this.buckets.load(0, row.stored, row.isClean, events.now);
    this.fencePassedAt = events.now;
    this.lastSeen = events.now;
    row.isClean = false;
    events.every(1, world.draw.next(), () => {
      this.awake(() => this.flush());
      return !this.isOver;
    });
    events.every(world.tick, world.draw.next() * world.tick, () => {
      if (events.now >= this.frozenUntil) this.pump();
      return !this.isOver;
    });
  }

  freeze(seconds: number): void {
    const { now } = this.world.events;
    // Requests that were on their way out go when it wakes up.
    for (let i = 0; i < 5 && this.canSend(); i++) this.send(seconds);
    this.frozenUntil = Math.max(this.frozenUntil, now + seconds);
  }

  /** The buckets are those of another limit from now on. */
  learn(greatestCost: number): void {
    this.awake(() => {
      const before = this.buckets;
      this.buckets = new MemberBuckets(1, { ...this.world.limit, greatestCost });
      this.buckets.moveFrom(before, 0, this.world.events.now);
    });
  }

  private awake(run: () => void): void {
    if (this.isOver) return;
    const { events } = this.world;
    if (events.now < this.frozenUntil) events.at(this.frozenUntil, () => this.awake(run));
    else run();
  }

  private canSend(): boolean {
    const { now } = this.world.events;
    // A gap in its own time: nothing before a flush has passed the fence.
    const isGap = now - this.lastSeen > 2;
    if (isGap) this.fencePassedAt = -Infinity;
    this.lastSeen = now;
    return !this.isOver && !this.isLeaving && now - this.fencePassedAt < STOPS_AFTER && this.buckets.may(0, now);
  }

  private pump(): void {
    const { demand, tick } = this.world;
    this.backlog = Math.min(20, this.backlog + demand * tick);
    this.canSend();
    while (this.backlog >= 1 && this.canSend()) {
      this.backlog--;
      this.send(0);
    }
  }

  private send(stuckFor: number): void {
    const { events, draw, upstream, limit } = this.world;
    const { buckets } = this;
    const ticket: MemberTicket = buckets.reserve(0);
    let isDone = false;
    const done = (run: () => void): void =>
      this.awake(() => {
        if (!isDone) run();
        isDone = true;
      });
    const cost = draw.one([1, 2, 2, 2, limit.greatestCost]);
    events.after(stuckFor + draw.lognormal(0.04, 0.8), () => {
      const fits = upstream.fits(events.now, cost);
      this.world.requests++;
      if (fits) upstream.take(events.now, cost, true);
      else this.world.refused++;
      if (fits) this.world.spent += cost;
      const remaining = upstream.remaining(events.now);
      const told = this.world.headers && !draw.chance(0.1) ? { remaining } : undefined;
      if (draw.chance(0.01)) return;
      events.after(draw.lognormal(0.04, 0.8), () =>
        done(() => buckets.settle(ticket, fits ? cost : 0, events.now, told)),
      );
    });
    events.after(5 + stuckFor, () => done(() => buckets.lose(ticket, events.now, LATE)));
  }

  /** The values' flush: fenced, slow, now and then refused or lost. */
  flush(): void {
    const { events, draw, row } = this.world;
    // One after the other, as a node's flushes are.
    if (events.now < this.cutUntil || this.isFlushing) return;
    this.isFlushing = true;
    const stored = this.buckets.store(0, events.now);
    const isLost = draw.chance(0.02);
    events.after(draw.between(0.002, 0.05), () => {
      const passes = row.fence === this.fence && !draw.chance(0.02);
      if (passes && stored !== undefined) row.stored = JSON.parse(JSON.stringify(stored)) as StoredMember;
      this.awake(() => {
        this.isFlushing = false;
        const isCommitted = passes && !isLost;
        this.buckets.flushed(0, isCommitted);
        if (isCommitted) this.fencePassedAt = events.now;
        if (row.fence !== this.fence) this.isOver = true;
      });
    });
  }

  /** Ends in good order: nothing new, what is under way is waited for, the last flush says so. */
  leave(then: () => void): void {
    const { events } = this.world;
    this.isLeaving = true;
    const wait = (): void => {
      if (this.isOver) return;
      if (this.buckets.isQuiet(0) && !this.isFlushing) this.lastFlush(then);
      else events.after(0.1, wait);
    };
    wait();
  }

  private lastFlush(then: () => void): void {
    const { events, row } = this.world;
    this.isFlushing = true;
    const stored = this.buckets.store(0, events.now) ?? this.buckets.stored(0);
    events.after(0.02, () => {
      if (row.fence !== this.fence || this.isOver) return;
      row.stored = JSON.parse(JSON.stringify(stored)) as StoredMember;
      row.isClean = true;
      this.isOver = true;
      then();
    });
  }
}

export class KeepersWorld {
  readonly events: Events;
  readonly draw: Draws;
  readonly limit: MemberLimit;
  readonly upstream: FloatingCount;
  readonly row: Row = { fence: 0, stored: undefined, isClean: true };
  readonly headers: boolean;
  readonly demand: number;
  readonly tick: number;
  requests = 0;
  refused = 0;
  spent = 0;
  handOvers = 0;
  private keeper: Keeper;

  constructor(seed: number) {
    this.draw = new Draws(seed);
    const { draw } = this;
    this.events = new Events(1.76e9 + draw.between(0, 1e6));
    const window = draw.one([60, 300, 900]);
    this.limit = {
      tokens: draw.one([40, 150, 600]),
      window,
      greatestCost: 5,
      headroom: 0,
    };
    this.upstream = new FloatingCount(this.limit.tokens, window);
    this.headers = draw.chance(0.5);
    this.demand = (draw.one([0.5, 2, 4]) * this.limit.tokens) / window / 2;
    this.tick = Math.min(0.5, 0.3 / this.demand);
    this.keeper = this.next();
  }

  /** The one who takes the fence next. */
  private next(): Keeper {
    this.handOvers++;
    this.row.fence++;
    return (this.keeper = new Keeper(this, this.row.fence, this.row));
  }

  /** A hand-over of some kind each so often. Answers the share of the tokens that was used. */
  live(): number {
    const { draw, events, limit } = this;
    const from = events.now;
    const end = from + 3 * limit.window + 60;
    const again = (): void => {
      const { keeper } = this;
      const kind = draw.one(['clean', 'crash', 'freeze', 'cut off', 'lost'] as const);
      if (kind === 'clean') keeper.leave(() => this.next());
      else {
        if (kind === 'crash') keeper.isOver = true;
        if (kind === 'freeze') keeper.freeze(draw.between(3, 30));
        // It keeps on as long as its patience lasts, while another one has begun.
        if (kind === 'cut off') keeper.cutUntil = events.now + draw.between(5, 40);
        events.after(draw.between(0, 11), () => keeper === this.keeper && this.next());
      }
      events.after(draw.between(40, 200), again);
    };
    events.after(draw.between(20, 60), again);
    if (draw.chance(0.3))
      events.every(draw.between(5, 60), 10, () => this.keeper.learn(limit.greatestCost + draw.one([0, 1])));
    events.runUntil(end);
    return this.spent / ((limit.tokens / limit.window) * (end - from));
  }
}
