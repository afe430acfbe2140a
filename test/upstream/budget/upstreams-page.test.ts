/**
 * The definitions of docs/upstreams.md, as they stand there, each against a simulated upstream that counts as its
 * publisher says: three nodes, the real accounts and ledger; none is refused by what we send, and the tokens are used.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { Esi } from '../../../examples/upstreams/esi';
import { GitHub } from '../../../examples/upstreams/github';
import { Shopify } from '../../../examples/upstreams/shopify';
import { FloatingCount, LeakyCount, type Count } from '../../../examples/upstreams/counts';
import { SimulatedUpstream, type Asked, type Answered } from '../../../examples/upstreams/server';
import type { LimitsDefinition } from '../../../config/define/upstream';
import { resolveUpstream } from '../../../config/resolve/upstream';
import { limitedUpstream } from '../../../activities/upstream/budget/resolve';
import type { Draws } from '../../support/draws';
import { KnownRun, type KnownCase } from './world/known';

const PAGE = readFileSync(path.join(__dirname, '../../../docs/upstreams.md'), 'utf8');

/** The upstream of this name, as the page defines it. */
function defined(name: string): LimitsDefinition {
  const blocks = [...PAGE.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
  const block = blocks.find((code) => code.includes(`name: '${name}'`))!;
  const { outputText } = ts.transpileModule(block.replace(/^import .*$/gm, ''), {});
  const found: LimitsDefinition[] = [];
  const define = (definition: LimitsDefinition) => (found.push(definition), { get: () => undefined });
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the page's own code
  const code = new Function('defineUpstream', 'defineTracker', 'process', outputText) as (...given: unknown[]) => void;
  code(define, () => undefined, { env: {} });
  return found[0]!;
}

/** A limit of the page, as nodes spend by it. */
function limitOf(name: string, limit: string) {
  const problems: string[] = [];
  const resolved = resolveUpstream(defined(name), problems);
  expect(problems).toEqual([]);
  return limitedUpstream(resolved).limits.find((one) => one.name === limit)!;
}

/** An upstream that has one count, and says nothing of it. */
class Silent extends SimulatedUpstream {
  constructor(
    private readonly count: Count,
    private readonly cost: (asked: Asked) => number,
    now: () => number,
  ) {
    super(now);
  }

  answer(asked: Asked): Answered {
    const cost = this.cost(asked);
    const fits = this.count.fits(this.now(), cost);
    if (fits) this.count.take(this.now(), cost, true);
    return fits ? { status: 200, body: {} } : { status: 429, body: {} };
  }
}

const shopHeaders = { 'x-shopify-access-token': 'shop' };
const CASES: Record<string, { upstream: string; limit: string } & Omit<KnownCase, 'limit'> & { least: number }> = {
  'ESI’s errors': {
    ...{ upstream: 'esi', limit: 'errors', demand: 120, lasts: 600, least: 0.75 * 10 * 99 },
    make: (now, random) => new Esi({}, now, random),
    request: (draw) => ({ path: `/characters/${draw.whole(1, 5_000)}/?status=${draw.chance(0.03) ? 403 : 200}` }),
  },
  'ESI’s group': {
    ...{ upstream: 'esi', limit: 'group', demand: 3, lasts: 2_700, least: 0.9 * 3 * 1_200 },
    make: (now, random) => new Esi({}, now, random),
    request: (draw) => ({ path: `/characters/90000001/location/?status=${draw.one([200, 200, 304, 404, 502])}` }),
  },
  GitHub: {
    ...{ upstream: 'github', limit: 'hour', demand: 5, lasts: 7_200, least: 0.9 * 2 * 5_000 },
    make: (now, random) => new GitHub(now, random),
    request: (draw) => ({ path: `/repos/${draw.whole(1, 500)}`, headers: { authorization: 'token' } }),
  },
  'Shopify’s REST': {
    ...{ upstream: 'shop', limit: 'calls', demand: 10, lasts: 600, least: 0.95 * 2 * 600 },
    make: (now, random) => new Shopify(now, random),
    request: () => ({ path: '/admin/products.json', headers: shopHeaders }),
  },
  'Shopify’s GraphQL': {
    ...{ upstream: 'shop-graphql', limit: 'points', demand: 10, lasts: 600, least: 0.9 * 100 * 600 },
    make: (now, random) => new Shopify(now, random),
    request: (draw) => ({
      path: '/admin/graphql.json',
      headers: shopHeaders,
      body: { requested: 101, actual: draw.whole(10, 101) },
    }),
  },
  'an EVM provider': {
    ...{ upstream: 'provider', limit: 'rate', demand: 20, lasts: 300, least: 0.75 * 330 * 300 },
    make: (now) => new Silent(new FloatingCount(3_300, 10), ({ query }) => (query.has('eth_getLogs') ? 75 : 26), now),
    request: (draw: Draws) => ({ path: draw.chance(0.2) ? '/?eth_getLogs' : '/?eth_call' }),
  },
};

test.each(Object.entries(CASES))(
  '%s: nothing is refused, and the tokens are used',
  (_, { upstream, limit, least, ...of }) => {
    const run = new KnownRun({ ...of, limit: limitOf(upstream, limit) }, 7, 3).live();
    expect(run.refused).toBe(0);
    expect(run.spent).toBeGreaterThan(least);
  },
);

test.each([
  [1, 0.2, 0.35],
  [10, 0.72, 0.88],
])('of a provider’s window of %d s from %d to %d is used, and nothing refused', (window, least, most) => {
  const limit = limitOf('provider', 'rate');
  const tokens = 330 * window;
  const of: KnownCase = {
    limit: { ...limit, rule: { ...limit.rule, window, tokens } },
    demand: 20,
    lasts: 120,
    make: (now) =>
      new Silent(new FloatingCount(tokens, window), ({ query }) => (query.has('eth_getLogs') ? 75 : 26), now),
    request: (draw) => ({ path: draw.chance(0.2) ? '/?eth_getLogs' : '/?eth_call' }),
  };
  const run = new KnownRun(of, 5, 3).live();
  expect(run.refused).toBe(0);
  const used = run.spent / (330 * 120);
  expect([used, used >= least && used <= most]).toEqual([used, true]);
});

test('an API without headers: its rate is found by what it refuses, which is little', () => {
  const of: KnownCase = {
    limit: limitOf('quiet', 'felt'),
    demand: 30,
    lasts: 1_800,
    make: (now) => new Silent(new LeakyCount(20, 2, now()), () => 1, now),
    request: () => ({ path: '/' }),
  };
  const run = new KnownRun(of, 3, 3).live();
  expect(run.refused).toBeLessThan(120);
  expect(run.spent).toBeGreaterThan(0.7 * 10 * 1_800);
});

test('a place of a concurrent limit is free again with the answer', () => {
  const limit = limitOf('github', 'atOnce');
  const answer = { status: 200, header: () => undefined, request: { method: 'GET', path: '/' } };
  expect([limit.rule.shape, limit.rule.greatestCost, limit.cost(answer)]).toEqual(['concurrent', 1, 0]);
});

test('every definition of the page is one that a config takes', () => {
  const names = [...PAGE.matchAll(/defineUpstream\(\{\s+name: '([\w-]+)'/g)].map(([, name]) => name!);
  expect(names.length).toBeGreaterThanOrEqual(7);
  for (const name of names) {
    const problems: string[] = [];
    resolveUpstream(defined(name), problems);
    expect([name, problems]).toEqual([name, []]);
  }
});
