/**
 * Several nodes against the simulated upstreams of `examples/upstreams`, each as its publisher says it counts: limits
 * read from its own headers, none refused, and the tokens used. The ledger, the accounts and the readers of headers are
 * the real ones; only time and the network are played.
 */
import type { Asked, SimulatedUpstream as Example } from '../../../examples/upstreams/server';
import { Esi, esiCost } from '../../../examples/upstreams/esi';
import { GitHub } from '../../../examples/upstreams/github';
import { Shopify } from '../../../examples/upstreams/shopify';
import { limitOf, type Limit } from '../../../activities/upstream/budget/limit';
import { isThrottled, readLimits, shopifyCost, type Format } from '../../../activities/upstream/budget/headers';
import { Draws } from '../../support/draws';
import { Events } from './world/events';
import { SimulatedLedger } from './world/ledger';
import { SimulatedNode, type Asks } from './world/node';
import type { Answered } from './world/upstream';

interface Case {
  limit: Partial<Limit>;
  format: Format;
  make: (now: () => number, random: () => number) => Example;
  /** The next request, as its path, headers and body. */
  request: (draw: Draws) => { path: string; headers?: Record<string, string>; body?: unknown };
  cost: (answer: { status: number; body: unknown }) => number;
  /** Requests a second of all nodes, seconds. */
  demand: number;
  lasts: number;
}

class Run implements Asks {
  private readonly draw: Draws;
  private readonly events: Events;
  private readonly upstream: Example;
  readonly isConcurrent = false;
  asked = 0;
  refused = 0;
  spent = 0;
  standstill = 0;
  private lastAt: number;
  private readonly begin: number;

  constructor(
    private readonly of: Case,
    seed: number,
    nodes: number,
  ) {
    this.draw = new Draws(seed);
    this.begin = 1.76e9 + this.draw.between(0, 1e6);
    this.events = new Events(this.begin);
    this.lastAt = this.begin;
    const { events, draw } = this;
    this.upstream = of.make(
      () => events.now,
      () => draw.next(),
    );
    const limit = limitOf(of.limit);
    const all: SimulatedNode[] = [];
    const around = {
      events,
      draw,
      limit,
      upstream: this,
      ledger: new SimulatedLedger(events, limit, false),
      nodes: all,
      window: 0,
    };
    const options = {
      demand: of.demand / nodes,
      places: 48,
      latency: () => 0.1,
      sigma: 0.8,
      timeout: 5,
      stuck: 0,
      tells: { window: false },
    };
    for (let i = 0; i < nodes; i++) all.push(new SimulatedNode(around, options));
  }

  live(): this {
    this.events.runUntil(this.begin + this.of.lasts);
    return this;
  }

  handle(): Answered {
    const { path, headers = {}, body } = this.of.request(this.draw);
    const url = new URL(path, 'http://upstream');
    const asked: Asked = {
      method: body === undefined ? 'GET' : 'POST',
      path: url.pathname,
      query: url.searchParams,
      header: (name) => headers[name],
      body,
    };
    const answer = this.upstream.answer(asked);
    this.upstream.done(asked, answer);
    this.asked++;
    const { now } = this.events;
    const [told] = readLimits(
      { status: answer.status, header: (name) => answer.headers?.[name], body: answer.body },
      now,
      this.of.format,
    );
    const isRefused =
      [420, 429].includes(answer.status) || answer.headers?.['retry-after'] !== undefined || isThrottled(answer.body);
    if (isRefused) this.refused++;
    const cost = isRefused ? 0 : this.of.cost({ status: answer.status, body: answer.body });
    this.spent += cost;
    this.standstill = Math.max(this.standstill, now - this.lastAt);
    this.lastAt = now;
    const retryAfter = isRefused ? Number(answer.headers?.['retry-after'] ?? 1) : undefined;
    return { status: answer.status, cost, retryAfter, ...told };
  }

  leave(): void {}
}

const errors: Case = {
  limit: { shape: 'fixed', tokens: 100, window: 60, greatestCost: 1, closesAtEnd: true },
  format: 'esi-errors',
  make: (now, random) => new Esi({}, now, random),
  // 150 of the 5,000 characters have been revoked: 403, for ever.
  request: (draw) => ({ path: `/characters/${draw.whole(1, 5_000)}/assets/?status=${draw.chance(0.03) ? 403 : 200}` }),
  cost: ({ status }) => (status >= 400 ? 1 : 0),
  demand: 120,
  lasts: 600,
};

test.each([1, 2, 3])(
  'ESI’s error limit, three nodes of one address, errors in excess: never a 420, and no standstill (%d)',
  (seed) => {
    const run = new Run(errors, seed, 3).live();
    expect(run.refused).toBe(0);
    // 99 of a hundred a minute may be spent.
    expect(run.spent / 10).toBeGreaterThan(75);
    expect(run.standstill).toBeLessThan(15);
  },
);

const group: Case = {
  limit: { greatestCost: 5 },
  format: 'esi-group',
  make: (now, random) => new Esi({ share: 0.5 }, now, random),
  request: (draw) => ({ path: `/characters/90000001/location/?status=${draw.one([200, 200, 304, 304, 404, 502])}` }),
  cost: ({ status }) => esiCost(status),
  demand: 3,
  lasts: 2_700,
};

test.each([1, 2])(
  'ESI’s group, learned from headers, half the usual tokens: never a 429, and the tokens are used (%d)',
  (seed) => {
    const run = new Run(group, seed, 3).live();
    expect(run.refused).toBe(0);
    expect(run.spent).toBeGreaterThan(0.9 * 3 * 600);
  },
);

const github: Case = {
  limit: { shape: 'fixed', greatestCost: 1 },
  format: 'github',
  make: (now, random) => new GitHub(now, random),
  request: (draw) => ({ path: `/repos/${draw.whole(1, 500)}`, headers: { authorization: 'token' } }),
  cost: () => 1,
  demand: 5,
  lasts: 7_200,
};

test('GitHub’s hour, learned from headers: never a 403, and the hour is used', () => {
  const run = new Run(github, 5, 3).live();
  expect(run.refused).toBe(0);
  expect(run.spent).toBeGreaterThan(0.9 * 2 * 5_000);
});

const rest: Case = {
  limit: { shape: 'leaky', greatestCost: 1 },
  format: 'shopify-rest',
  make: (now, random) => new Shopify(now, random),
  request: () => ({ path: '/admin/products.json', headers: { 'x-shopify-access-token': 'shop' } }),
  cost: () => 1,
  demand: 10,
  lasts: 600,
};

test.each([1, 2, 3])(
  'Shopify’s REST bucket, learned from headers, partly full when we come: never a 429, two a second (%d)',
  (seed) => {
    const run = new Run(rest, seed, 3).live();
    expect(run.refused).toBe(0);
    expect(run.spent).toBeGreaterThan(0.95 * 2 * 600);
  },
);

const graphql: Case = {
  limit: { shape: 'leaky', greatestCost: 101 },
  format: 'shopify-graphql',
  make: (now, random) => new Shopify(now, random),
  request: (draw) => ({
    path: '/admin/graphql.json',
    headers: { 'x-shopify-access-token': 'shop' },
    body: { requested: 101, actual: draw.whole(10, 101) },
  }),
  cost: (answer) => shopifyCost(answer) ?? 101,
  demand: 10,
  lasts: 600,
};

test('Shopify’s GraphQL, told in bodies: never throttled, a hundred points a second', () => {
  const run = new Run(graphql, 3, 3).live();
  expect(run.refused).toBe(0);
  expect(run.spent).toBeGreaterThan(0.9 * 100 * 600);
});
