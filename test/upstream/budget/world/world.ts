/**
 * One history of a shared bucket: an upstream that counts exactly, a ledger, some nodes, and bad days, all by a seed.
 * `draw` makes one up, `live` lives through it and answers what happened; the promises that must hold at every moment
 * are checked on the way.
 */
import { limitOf, slotWidth, type Limit, type Shape } from '../../../../activities/upstream/budget/limit';
import {
  ConcurrentCount,
  FixedCount,
  FloatingCount,
  LeakyCount,
  type Count,
} from '../../../../examples/upstreams/counts';
import { Draws } from '../../../support/draws';
import { Events } from './events';
import { SimulatedLedger } from './ledger';
import { SimulatedNode, type NodeOptions, type Surroundings, type WorldNode } from './node';
import { withTimersOf } from './timers';
import { SimulatedUpstream } from './upstream';

const FAULTS = [
  'none',
  'crash',
  'freeze',
  'suspend',
  'cut off',
  'clocks',
  'all restart',
  'rolling',
  'outage',
  'failover',
  'database clock',
  'all',
] as const;
type Fault = (typeof FAULTS)[number];

export interface History {
  seed: number;
  shape: Shape;
  tokens: number;
  window: number;
  nodes: number;
  fault: Fault;
  /** Seconds between two faults. */
  every: number;
  headers: boolean;
  /** Shares of answers. */
  lostHeaders: number;
  lyingHeaders: number;
  /** Nobody said the limit: headers must. */
  learned: boolean;
  /** The share of the tokens that others take, and what we leave them. */
  others: number;
  headroom: number;
  /** ESI's error limit: errors alone cost, brown-outs come, nothing left closes everything. */
  errors: boolean;
  /** Halfway the limit is lowered to this share. */
  lowered: number;
  /** Times what the limit gives. */
  demand: number;
  latency: number;
  sigma: number;
  /** Windows that it lasts. */
  windows: number;
  /** Halfway nobody wants anything for longer than a node remembers a bucket. */
  rests: boolean;
}

/** Seconds. */
const REST = 1_000;

export interface Outcome {
  requests: number;
  refused: number;
  /** The refusals of these that others had no part in. */
  refusedByUs: number;
  refusedOthers: number;
  /** The share of the tokens that others left, from the second window on. */
  used: number;
  /** Seconds without a spend, from the second window on. */
  standstill: number;
  /** The most of ours that the upstream counted above its limit. */
  above: number;
  /** The most that the upstream counted of ours and the account did not cover. */
  uncovered: number;
  feltRate: number | undefined;
  /** Requests of the node that got least, by those of an equal share. */
  poorest: number;
}

export function draw(seed: number): History {
  const draw = new Draws(seed ^ 0x5bd1e995);
  const errors = draw.chance(0.08);
  const shape = errors
    ? 'fixed'
    : draw.one<Shape>(['floating', 'floating', 'floating', 'fixed', 'fixed', 'leaky', 'calendar', 'concurrent']);
  // An hour, day or month is long beside the minute by which clocks may differ.
  const window = errors ? 60 : shape === 'calendar' ? 1_200 : draw.one([10, 60, 60, 120, 300]);
  const perSecond = shape === 'calendar' ? draw.one([0.1, 0.5]) : draw.one([0.3, 1, 3, 8]);
  const tokens = errors
    ? 100
    : shape === 'concurrent'
      ? draw.whole(1, 20)
      : Math.max(12, Math.round(perSecond * window * draw.between(0.7, 1.3)));
  const others = !errors && shape !== 'concurrent' && draw.chance(0.2) ? draw.between(0.1, 0.6) : 0;
  const headers = errors || others > 0 || draw.chance(0.5);
  const learned = headers && !errors && shape !== 'concurrent' && shape !== 'calendar' && draw.chance(0.2);
  return {
    seed,
    shape,
    tokens,
    window,
    nodes: draw.one([1, 2, 3, 5, 8, 16]),
    fault: draw.one(FAULTS),
    every: draw.between(10, 60),
    headers,
    lostHeaders: headers && draw.chance(0.2) ? draw.between(0.1, 0.9) : 0,
    lyingHeaders: headers && !learned && others === 0 && draw.chance(0.1) ? 0.05 : 0,
    learned,
    others,
    headroom: others > 0 ? 0.02 : draw.chance(0.2) ? 0.02 : 0,
    errors,
    lowered: !errors && draw.chance(0.08) ? draw.between(0.3, 0.8) : 1,
    demand: draw.one([0.5, 1.5, 3, 8]),
    latency: draw.one([0.03, 0.1, 0.5]),
    sigma: draw.between(0.4, 1.2),
    windows: window <= 60 ? 5 : window <= 300 ? 3 : 2,
    rests: draw.chance(0.1),
  };
}

/**
 * Shares of 304 and 404 are drawn; ESI's costs. Errors: brown-outs of half a minute in which nine of ten answers are a
 * 502.
 */
function answers(history: History, draw: Draws): (now: number) => { status: number; cost: number } {
  const notModified = draw.between(0, 0.6);
  const missing = 0.2 * draw.next() * draw.next();
  return (now) => {
    const x = draw.next();
    if (history.errors) {
      const isBrown = now % 200 > 150 && now % 200 < 185;
      return x < (isBrown ? 0.9 : 0.01) ? { status: 502, cost: 1 } : { status: 200, cost: 0 };
    }
    if (history.shape === 'concurrent') return { status: 200, cost: 1 };
    if (x < notModified) return { status: 304, cost: 1 };
    return x < notModified + missing ? { status: 404, cost: 5 } : { status: 200, cost: 2 };
  };
}

export class BudgetWorld {
  private readonly events: Events;
  private readonly draw: Draws;
  private readonly limit: Limit;
  private readonly count: Count;
  readonly upstream: SimulatedUpstream;
  readonly ledger: SimulatedLedger;
  readonly nodes: WorldNode[] = [];
  private readonly around: Surroundings;
  private readonly begin: number;
  private readonly end: number;
  private readonly perNode: number;
  private uncovered = -Infinity;

  constructor(
    private readonly history: History,
    private readonly nodeOf: (around: Surroundings, options: NodeOptions) => WorldNode = (...of) =>
      new SimulatedNode(...of),
  ) {
    const { seed, shape, window, tokens, learned, headroom, errors, others, headers } = history;
    this.draw = new Draws(seed);
    this.begin = 1.76e9 + this.draw.between(0, 1e6);
    this.events = new Events(this.begin);
    this.end = this.begin + Math.max(150, history.windows * window) + (history.rests ? REST : 0);
    this.limit = limitOf({
      shape,
      tokens: learned ? undefined : tokens,
      window: learned ? undefined : window,
      greatestCost: errors || shape === 'concurrent' ? 1 : 5,
      headroom,
      closesAtEnd: errors,
      windowStart: shape === 'calendar' ? (at) => Math.floor(at / window) * window : undefined,
    });
    this.count = this.counts();
    this.upstream = new SimulatedUpstream(this.events, this.draw, {
      count: this.count,
      answer: answers(history, this.draw),
      headers: headers,
      closesAtEnd: errors,
      lost: history.lostHeaders,
      lying: history.lyingHeaders,
      resets: learned || this.draw.chance(0.5),
    });
    this.ledger = new SimulatedLedger(this.events, this.limit, history.fault === 'failover' || history.fault === 'all');
    this.around = {
      events: this.events,
      draw: this.draw,
      limit: this.limit,
      upstream: this.upstream,
      ledger: this.ledger,
      nodes: this.nodes,
      window,
    };
    const meanCost = errors ? 0.05 : 2;
    this.perNode =
      shape === 'concurrent'
        ? (history.demand * tokens) / history.latency / history.nodes
        : Math.min(200, (history.demand * tokens) / window / meanCost) / history.nodes;
    for (let i = 0; i < history.nodes; i++) this.spawn(i);
    this.faults();
    if (others > 0) this.letOthersSpend();
    if (history.lowered < 1)
      this.events.at((this.begin + this.end) / 2, () => (this.count.limit = Math.ceil(tokens * history.lowered)));
  }

  private counts(): Count {
    const { shape, tokens, window } = this.history;
    switch (shape) {
      case 'floating':
        return new FloatingCount(tokens, window);
      case 'fixed':
        return new FixedCount(tokens, window, this.begin + this.draw.between(0, window));
      case 'calendar':
        // Its clock is not ours: up to fifty seconds off (the ledger allows for a minute).
        return new FixedCount(tokens, window, this.draw.between(-50, 50));
      case 'leaky':
        return new LeakyCount(tokens, window, this.begin);
      case 'concurrent':
        return new ConcurrentCount(tokens);
    }
  }

  private spawn(index: number): void {
    const { history, draw } = this;
    const brown = (now: number): number =>
      history.errors && now % 200 > 140 && now % 200 < 190 ? 1.5 : history.latency;
    const middle = (this.begin + this.end) / 2;
    const options: NodeOptions = {
      demand: Math.max(0.05, this.perNode),
      rests: (now) => history.rests && Math.abs(now - middle) < REST / 2,
      places: this.history.shape === 'concurrent' ? 64 : draw.one([8, 48]),
      latency: brown,
      sigma: history.sigma,
      timeout: 5,
      stuck: 10,
      tells: { window: history.learned && (history.shape !== 'fixed' || draw.chance(0.5)) },
    };
    const node = this.nodeOf(this.around, options);
    if (history.fault === 'clocks' || history.fault === 'all') node.wallOff = draw.between(-60, 60);
    this.nodes[index] = node;
  }

  private faults(): void {
    const { draw, events, history, nodes } = this;
    const any = (): WorldNode => draw.one(nodes);
    const restart = (index: number, after: number): void => {
      nodes[index]!.isDead = true;
      events.after(after, () => this.spawn(index));
    };
    const crash = (): void => {
      const index = draw.whole(0, nodes.length - 1);
      if (!nodes[index]!.isDead) restart(index, draw.between(1, 15));
    };
    const deeds: Record<Exclude<Fault, 'none' | 'all'>, () => void> = {
      crash,
      freeze: () => any().freeze(draw.between(3, 20), false),
      suspend: () => any().freeze(draw.between(3, 60), true),
      'cut off': () => (any().cutUntil = events.now + draw.between(5, 45)),
      clocks: () => (any().wallOff = draw.between(-60, 60)),
      'all restart': () => nodes.forEach((node, index) => !node.isDead && restart(index, draw.between(0, 1))),
      rolling: () =>
        nodes.forEach((_, index) => events.after(index * 4, () => !nodes[index]!.isDead && restart(index, 0.5))),
      outage: () => nodes.forEach((node) => (node.cutUntil = events.now + 20)),
      failover: () =>
        this.ledger.failOver(
          draw.between(0, 10),
          this.history.shape === 'calendar' ? draw.between(-5, 5) : draw.between(-60, 60),
        ),
      'database clock': () =>
        (this.ledger.clockOff = this.history.shape === 'calendar' ? draw.between(-5, 5) : draw.between(-600, 600)),
    };
    if (history.fault === 'none') return;
    const kinds =
      history.fault === 'all' ? (['crash', 'freeze', 'cut off', 'clocks', 'failover'] as const) : [history.fault];
    const every = history.fault === 'outage' ? 45 + history.every : history.every;
    events.every(every, draw.between(5, every), () => deeds[draw.one(kinds)]());
  }

  private letOthersSpend(): void {
    const { others, tokens, window } = this.history;
    const mean = (2 * window) / (others * tokens);
    const next = (): void => {
      this.upstream.other(2);
      this.events.after(this.draw.exponential(mean), next);
    };
    this.events.after(this.draw.between(0, window), next);
  }

  live(): Outcome {
    return withTimersOf(this.events, () => this.through());
  }

  private through(): Outcome {
    const { events, upstream, history, begin, end } = this;
    events.every(1, this.draw.next(), () => {
      // All that the upstream counts of ours is in the account, or in somebody's hands.
      this.uncovered = Math.max(this.uncovered, this.count.ours(events.now) - this.ledger.covers());
    });
    const from = begin + Math.min(history.window + 5, (end - begin) / 2);
    events.runUntil(from);
    const [spent, byOthers] = [upstream.spent, upstream.spentByOthers];
    upstream.longestStandstill = 0;
    events.runUntil(end);
    const could = (history.tokens / history.window) * (end - from - (history.rests ? REST : 0));
    const left = could - (upstream.spentByOthers - byOthers);
    return {
      requests: upstream.requests,
      refused: upstream.refused,
      refusedByUs: upstream.refusedByUs,
      refusedOthers: upstream.refusedOthers,
      used: (upstream.spent - spent) / left,
      standstill: Math.max(upstream.longestStandstill, end - upstream.lastSpentAt),
      above: upstream.above,
      uncovered: this.uncovered,
      feltRate: this.ledger.bucket.felt?.rate,
      poorest: (Math.min(...this.nodes.map(({ answered }) => answered)) * history.nodes) / upstream.requests,
    };
  }
}

/** The least that nodes without faults use of a window: what the pace gives, less a little. */
export function usable({ shape, window, headers, headroom }: History): number {
  // A minute before and after it begins anew, by either clock.
  if (shape === 'calendar') return (1 - headroom) * (1 - 120 / window);
  return ((1 - headroom) * window) / (window + slotWidth(window) + 1 + (headers ? 1.5 : 0));
}
