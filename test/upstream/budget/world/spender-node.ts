/**
 * A node of the simulated world that spends as a worker does: the real `NodeSpender` with its books, lines and
 * reservations of whole runs, in all classes, from the bucket of the history and from one of its own that has plenty.
 * Only what carries its words to the ledger is the world's.
 */
import { errorOf } from '../../../../activities/lib/failures';
import type { LimitReader } from '../../../../activities/upstream/budget/headers';
import type { Refusal } from '../../../../activities/upstream/budget/ledger/closing';
import type { Limit } from '../../../../activities/upstream/budget/limit';
import { limitOf } from '../../../../activities/upstream/budget/limit';
import type { SharedBucket } from '../../../../activities/upstream/budget/node/shared';
import { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type { Reservation, Spend, UpstreamLimit, Use } from '../../../../activities/upstream/budget/spender';
import type { NodeOptions, Surroundings, WorldNode } from './node';
import { SimulatedLedger } from './ledger';
import { as } from './timers';
import type { Answered } from './upstream';

const { min, max } = Math;

export interface SpenderOptions {
  /** Requests of a run: one, three, twenty, or from one to twelve as it comes. */
  runs: 'one' | 'three' | 'twenty' | 'any';
  /** Set by hand on every node, before the upstream lowers its limit. */
  lowered?: { at: number; tokens: number };
}

/** The common part of one history's nodes, and what is looked at in the end. */
export class SpenderWorld {
  readonly spare = new Map<string, SimulatedLedger>();
  /** Seconds for which somebody waited whose bucket has plenty. */
  longestSpareWait = 0;
  longestWait = 0;
  cutShort = 0;
  runs = 0;
  failure: Error | undefined;
}

const PLENTY = limitOf({ tokens: 60_000, window: 60, others: false });
const LINE = { method: 'GET', path: '/look' };
/** Members that wait at once. */
const MOST_WAITING = 20;
const URGENT = 0.05;

export class SpenderNode implements WorldNode {
  private static lives = 0;
  private readonly spender: NodeSpender;
  isDead = false;
  cutUntil = 0;
  wallOff = 0;
  answered = 0;
  private frozenUntil = 0;
  private slept = 0;
  private backlog = 0;
  private backlogAt: number;
  private running = 0;
  private waiting = 0;
  private isTelling = false;
  private readonly urgent = new Set<SharedBucket>();

  constructor(
    private readonly around: Surroundings,
    private readonly options: NodeOptions,
    private readonly own: SpenderOptions,
    private readonly world: SpenderWorld,
  ) {
    const { events, draw, limit } = around;
    this.backlogAt = events.now;
    const clocks = { monotonic: () => events.now - this.slept, wall: () => events.now + this.wallOff };
    this.spender = new NodeSpender(
      { clocks, now: clocks.wall, process: `node ${++SpenderNode.lives}`, address: 'here' },
      {
        urge: (bucket) => this.urge(bucket),
        tellClosing: (bucket, refusal) => this.tell(bucket, refusal, events.now),
      },
    );
    this.define(limit);
    if (own.lowered) {
      const { at, tokens } = own.lowered;
      const lower = (): void => this.define({ ...limit, tokens });
      // Each node looks for changes every second.
      if (events.now >= at) lower();
      else events.at(at + draw.next(), () => this.awake(lower));
    }
    events.every(1, draw.next(), () => {
      this.awake(() => (this.spender.beat(), this.renew([...this.spender.shared].filter((one) => one.isOfInterest))));
      return !this.isDead;
    });
    const tick = min(0.2, max(0.05, 0.3 / max(options.demand, 0.1)));
    events.every(tick, draw.next() * tick, () => {
      this.awakeNow(() => this.pump());
      return !this.isDead;
    });
    events.every(3, 3 * draw.next(), () => {
      this.awakeNow(() => this.start({ class: 'watch', by: 'spare/look', id: 'spare' }, 1));
      return !this.isDead;
    });
  }

  private define(rule: Limit): void {
    const isSpare = ({ id }: { id: string | undefined }): boolean => id === 'spare';
    const all: UpstreamLimit = {
      name: 'all',
      rule,
      scope: 'shared',
      key: (facts) => (isSpare(facts) ? undefined : 'one'),
      secret: false,
      cost: ({ body }) => (rule.shape === 'concurrent' ? 0 : (body as Answered).cost),
      format: this.told,
    };
    const plenty: UpstreamLimit = {
      name: 'plenty',
      rule: PLENTY,
      scope: 'shared',
      key: (facts) => (isSpare(facts) ? 'plenty' : undefined),
      secret: false,
      cost: () => 1,
      format: null,
    };
    this.spender.define({ name: 'up', limits: [all, plenty] });
  }

  private readonly told: LimitReader = ({ body }) => {
    const { remaining, limit, reset, window: said } = (body ?? {}) as Answered;
    if (remaining === undefined) return [];
    const window = said ?? (this.options.tells.window ? this.around.window : undefined);
    return [{ remaining: Number.isFinite(remaining) ? max(0, remaining) : NaN, limit, reset, window }];
  };

  freeze(seconds: number, suspended: boolean): void {
    const { events } = this.around;
    if (this.isDead || events.now < this.frozenUntil) return;
    as(this, () => {
      // Runs that have begun and stand right before their request.
      for (let i = 0; i < this.options.stuck; i++) {
        const run = this.spender.reserve('up', { class: 'watch', by: 'stuck', id: 'm' }, 1);
        if (run.isShort) break;
        const spend = run.draw(LINE);
        run.end();
        if (!spend.isShort) this.send(spend, seconds, () => undefined);
      }
    });
    this.frozenUntil = events.now + seconds;
    if (suspended) this.slept += seconds;
  }

  hear(closedFor: number, generation: number): void {
    if (this.isCut) return;
    this.awake(() =>
      this.spender.find({ upstream: 'up', limit: 'all', key: 'one' })?.hearClosed(closedFor, generation, false),
    );
  }

  awake(run: () => void): void {
    if (this.isDead) return;
    const { events } = this.around;
    if (events.now < this.frozenUntil) events.at(this.frozenUntil, () => this.awake(run));
    else this.attempt(run);
  }

  private awakeNow(run: () => void): void {
    if (!this.isDead && this.around.events.now >= this.frozenUntil) this.attempt(run);
  }

  /** A mistake in a waiter is caught by the line: the world has to hear of it all the same. */
  private attempt(run: () => void): void {
    try {
      as(this, run);
    } catch (thrown) {
      this.world.failure ??= errorOf(thrown);
    }
  }

  private get isCut(): boolean {
    return this.around.events.now < this.cutUntil;
  }

  private pump(): void {
    const { events, draw } = this.around;
    const { demand, places } = this.options;
    const rests = this.options.rests?.(events.now) ?? false;
    this.backlog = rests ? 0 : min(max(3, demand * 60), this.backlog + demand * (events.now - this.backlogAt));
    this.backlogAt = events.now;
    while (this.backlog >= 1 && this.running < places && this.waiting < MOST_WAITING) {
      const requests = { one: 1, three: 3, twenty: 20, any: draw.one([1, 1, 2, 12]) }[this.own.runs];
      this.backlog -= requests;
      const of = draw.one(['watch', 'watch', 'call', 'bulk'] as const);
      this.start({ class: of, by: `code/${of}`, id: 'm' }, requests);
    }
  }

  private start(use: Use, requests: number): void {
    const { events } = this.around;
    const since = events.now;
    const attempt = (): void => {
      const run = this.spender.reserve('up', use);
      if (!run.isShort) {
        if (use.id === 'spare') this.world.longestSpareWait = max(this.world.longestSpareWait, events.now - since);
        else this.world.longestWait = max(this.world.longestWait, events.now - since);
        this.running++;
        this.world.runs++;
        this.go(run, use, requests);
        return;
      }
      this.waiting++;
      run.join({ class: use.class, requests: 1, wake: () => (this.waiting--, this.attempt(attempt)) });
    };
    attempt();
  }

  /** One request after the other, until it has what it wants or its bucket has nothing. */
  private go(run: Reservation, use: Use, left: number): void {
    const spend = left > 0 ? run.draw(LINE) : undefined;
    if (spend === undefined || spend.isShort) {
      run.end();
      this.running--;
      if (left === 0) return;
      this.world.cutShort++;
      // The rest of its requests comes again.
      this.around.events.after(0.2, () => this.awake(() => (this.backlog += left)));
      return;
    }
    if (use.id === 'spare') {
      spend.report({ status: 200, header: () => undefined });
      this.go(run, use, left - 1);
      return;
    }
    this.send(spend, 0, () => this.go(run, use, left - 1));
  }

  private send(spend: Spend, stuckFor: number, then: () => void): void {
    const { events, draw, upstream } = this.around;
    const { latency, sigma, timeout } = this.options;
    const half = latency(events.now) / 2;
    const there = stuckFor + 0.001 + draw.lognormal(half, sigma);
    const inside = upstream.isConcurrent ? draw.lognormal(half, sigma) : 0;
    const back = draw.lognormal(half, sigma);
    let isDone = false;
    const finish = (how: () => void): void =>
      this.awake(() => {
        if (isDone) return;
        isDone = true;
        how();
        then();
      });
    if (stuckFor > 0) events.after(stuckFor, () => !spend.maySend && finish(() => spend.release()));
    events.after(there, () => {
      if (stuckFor > 0 && (isDone || this.isDead)) return;
      const answered = upstream.handle();
      events.after(inside, () => upstream.leave(answered));
      events.after(inside + back, () => finish(() => this.answer(spend, answered)));
    });
    events.after(timeout + stuckFor, () => finish(() => spend.lose()));
  }

  private answer(spend: Spend, answered: Answered): void {
    this.answered++;
    const { status, retryAfter } = answered;
    spend.report({
      status,
      header: () => undefined,
      body: answered,
      ...(retryAfter !== undefined && { refusedForMs: retryAfter * 1_000 }),
    });
  }

  private ledgerOf({ name }: SharedBucket): SimulatedLedger {
    if (name.limit === 'all') return this.around.ledger;
    const { spare } = this.world;
    const found = spare.get(name.key) ?? new SimulatedLedger(this.around.events, PLENTY, false);
    spare.set(name.key, found);
    return found;
  }

  private urge(bucket: SharedBucket): void {
    this.urgent.add(bucket);
    if (this.urgent.size > 1) return;
    this.around.events.after(URGENT, () =>
      this.awake(() => {
        const buckets = [...this.urgent];
        this.urgent.clear();
        this.renew(buckets);
      }),
    );
  }

  /** As `SimulatedNode.renew`, for all of its buckets together. */
  private renew(buckets: readonly SharedBucket[]): void {
    const { events, draw } = this.around;
    if (this.isTelling || buckets.length === 0) return;
    const renewals = buckets.map((bucket) => ({ bucket, renewal: bucket.renewal() }));
    if (this.isCut) {
      for (const { bucket, renewal } of renewals) bucket.granted(renewal, undefined);
      return;
    }
    const takes = draw.between(0.002, 0.02) + (draw.chance(0.01) ? 0.5 : 0);
    const isLost = draw.chance(0.005);
    const asked = events.now - this.slept;
    const write = ({ bucket, renewal }: (typeof renewals)[0]) =>
      this.ledgerOf(bucket).renew(renewal, bucket.limit.rule, bucket.account.reckoned(asked));
    this.isTelling = true;
    if (draw.chance(0.005)) events.after(draw.between(1, 3), () => renewals.forEach(write));
    events.after(takes / 2, () => {
      const grants = renewals.map(write);
      events.after(isLost ? 1 : takes / 2, () =>
        this.awake(() => {
          this.isTelling = false;
          renewals.forEach(({ bucket, renewal }, i) => bucket.granted(renewal, isLost ? undefined : grants[i]));
        }),
      );
    });
  }

  /** The ledger hears of a refusal, and by NOTIFY all others; what could not be told is told a second later. */
  private tell(bucket: SharedBucket, refusal: Refusal, at: number): void {
    const { events, nodes } = this.around;
    const since = events.now - at;
    if (this.isCut) {
      bucket.account.closingLost();
      if (since < refusal.for) events.after(1, () => this.awake(() => this.tell(bucket, refusal, at)));
      return;
    }
    const { sentAgo, answeredAgo } = refusal;
    const told = { ...refusal, sentAgo: sentAgo + since, answeredAgo: answeredAgo + since };
    const reckoned = bucket.account.reckoned(events.now - this.slept);
    const { closedFor, generation } = this.ledgerOf(bucket).close(told, reckoned);
    bucket.hearClosed(closedFor, generation, true);
    for (const node of nodes)
      if (node !== this) events.after(0.015, () => node.hear(max(0, closedFor - 0.015), generation));
  }
}
