/**
 * Several nodes against the simulated upstreams of `examples/upstreams`, each as its publisher says it counts: limits
 * read from its own headers, none refused, and the tokens used. The ledger, the accounts and the readers of headers are
 * the real ones; only time and the network are played.
 */
import type { SimulatedUpstream as Example } from '../../../examples/upstreams/server';
import { Esi, esiCost } from '../../../examples/upstreams/esi';
import { GitHub } from '../../../examples/upstreams/github';
import { Shopify } from '../../../examples/upstreams/shopify';
import { limitOf, type Limit } from '../../../activities/upstream/budget/limit';
import { shopifyCost, type Format } from '../../../activities/upstream/budget/headers';
import type { Draws } from '../../support/draws';
import { KnownRun } from './world/known';

interface Case {
  limit: Partial<Limit>;
  format: Format;
  make: (now: () => number, random: () => number) => Example;
  /** The next request, as its path, headers and body. */
  request: (draw: Draws) => { path: string; headers?: Record<string, string>; body?: unknown };
  cost: (answer: { status: number; body?: unknown }) => number;
  /** Requests a second of all nodes, seconds. */
  demand: number;
  lasts: number;
}

const runOf = ({ limit, format, cost, ...of }: Case, seed: number, nodes: number): KnownRun =>
  new KnownRun({ ...of, limit: { rule: limitOf(limit), format, cost } }, seed, nodes);

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
    const run = runOf(errors, seed, 3).live();
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
    const run = runOf(group, seed, 3).live();
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
  const run = runOf(github, 5, 3).live();
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
    const run = runOf(rest, seed, 3).live();
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
  const run = runOf(graphql, 3, 3).live();
  expect(run.refused).toBe(0);
  expect(run.spent).toBeGreaterThan(0.9 * 100 * 600);
});
