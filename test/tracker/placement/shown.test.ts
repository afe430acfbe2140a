/**
 * Placement as people and autoscalers are told of it: heartbeats, the preview of balancing, verdicts, wanted nodes, and
 * the cold start.
 */
import fc from 'fast-check';
import { opensSharedQueues } from '../../../activities/tracker/placement/cold-start';
import { HEARTBEAT, heartbeatFor, mayBecome } from '../../../activities/tracker/placement/heartbeat';
import { mayKeep } from '../../../activities/tracker/placement/nodes';
import { previewBalance } from '../../../activities/tracker/placement/preview';
import { kindOf, loadOf } from '../../../activities/tracker/placement/types';
import { verdictOf, type NodeFacts } from '../../../activities/tracker/placement/verdict';
import type { PlacementRow } from '../../../activities/tracker/placement/row';
import { wantedNodes, type NodeUse } from '../../../activities/tracker/placement/wanted-nodes';
import { histories } from '../../support/simulate';
import { cluster, unevenness, withPools, type DrawnCluster } from './clusters';

describe('heartbeats', () => {
  test('a small cluster has the timeout that was wanted', () => {
    expect(heartbeatFor(5_000, 600)).toEqual({ beatMs: 2_000, timeoutMs: 5_000, perSecond: 300, isOverBudget: false });
    expect(heartbeatFor(5_000, 0)).toMatchObject({ timeoutMs: 5_000, perSecond: 0 });
  });

  test('2,000 shifts that want 3 s beat less often', () => {
    const { timeoutMs, perSecond } = heartbeatFor(3_000, 2_000);
    expect(perSecond).toBeLessThanOrEqual(300);
    expect(timeoutMs).toBeGreaterThanOrEqual(16_667);
    expect(timeoutMs).toBeLessThanOrEqual(16_667 * HEARTBEAT.step);
  });

  test('never more than 300 a second, or the longest timeout and the word that it is too many', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 600_000 }), fc.nat({ max: 200_000 }), (wanted, shifts) => {
        const { timeoutMs, beatMs, perSecond, isOverBudget } = heartbeatFor(wanted, shifts);
        expect(timeoutMs).toBeGreaterThanOrEqual(wanted);
        expect(timeoutMs).toBeLessThanOrEqual(Math.max(wanted, HEARTBEAT.mostTimeoutMs));
        expect(perSecond).toBeCloseTo((shifts * 1_000) / beatMs, 6);
        expect(isOverBudget).toBe(perSecond > 300.3);
        if (isOverBudget) expect(timeoutMs).toBe(Math.max(wanted, HEARTBEAT.mostTimeoutMs));
      }),
      histories(300),
    );
  });
});

test('a timeout that a cluster of another size gave is told from one that was wanted by somebody else', () => {
  const wanted = fc.integer({ min: 1_000, max: 600_000 });
  fc.assert(
    fc.property(wanted, wanted, fc.nat({ max: 200_000 }), (own, other, shifts) => {
      const { timeoutMs } = heartbeatFor(own, shifts);
      expect(mayBecome(own, timeoutMs)).toBe(true);
      const most = Math.max(own, HEARTBEAT.mostTimeoutMs);
      for (const near of [timeoutMs - 1, timeoutMs + 1]) if (near !== most) expect(mayBecome(own, near)).toBe(false);
      if (other > most) expect(mayBecome(own, other)).toBe(false);
      if (other < own) expect(mayBecome(own, other)).toBe(false);
    }),
    histories(300),
  );
});

describe('the preview of balancing', () => {
  const preview = (nodes: DrawnCluster) => previewBalance(nodes.map((node) => ({ node, pools: node.pools })));

  test('each pool moves once at most, to a node that may keep it; nothing is lost, and what is even stays', () => {
    fc.assert(
      fc.property(cluster(), (nodes) => {
        const { moves, nodes: shown, stuck } = preview(nodes);
        expect(new Set(moves.map(({ pool }) => pool.id)).size).toBe(moves.length);
        for (const { pool, from, to } of moves) {
          expect(nodes.find(({ name }) => name === from)!.pools).toContain(pool);
          expect(
            mayKeep(
              nodes.find(({ name }) => name === to)!,
              pool.kind,
            ),
          ).toBe(true);
        }
        for (const [at, node] of shown.entries()) {
          expect(node.before.pools).toBe(nodes[at]!.pools.length);
          expect(node.after.pools).toBe(node.before.pools - node.gives + node.gets);
        }
        for (const { kind } of stuck) expect(nodes.some((node) => mayKeep(node, kind))).toBe(false);
      }),
      histories(100),
    );
  });

  test('a newcomer gets its third, and nothing more would move after that', () => {
    const pools = (name: string) =>
      Array.from({ length: 30 }, (_, at) => ({ id: `${name}/${at}`, kind: 'eve', size: 110, members: 1_000 }));
    const even = fc.sample(cluster({ plain: true, nodes: [3, 3], pools: 0, kinds: 1 }), { numRuns: 1, seed: 1 })[0]!;
    const nodes = even.map((node, at) =>
      withPools({ ...node, weight: 1 }, at < 2 ? pools(node.name) : []),
    ) as unknown as DrawnCluster;
    const { moves, nodes: shown } = preview(nodes);
    expect(moves.length).toBeGreaterThanOrEqual(18);
    expect(moves.length).toBeLessThanOrEqual(22);
    expect(shown.map(({ after }) => after.pools).every((count) => count >= 18 && count <= 22)).toBe(true);
    const after = nodes.map((node) => {
      const kept = nodes.flatMap((one) =>
        one.pools.filter(({ id }) => (moves.find(({ pool }) => pool.id === id)?.to ?? one.name) === node.name),
      );
      return withPools(node, kept);
    }) as unknown as DrawnCluster;
    expect(preview(after).moves).toEqual([]);
    expect(unevenness(after)).toBeLessThan(unevenness(nodes));
  });

  test('there may be no nodes', () => {
    expect(previewBalance([])).toEqual({ moves: [], nodes: [], stuck: [] });
  });
});

describe('wanted nodes', () => {
  const use = (eventLoop: number, more: Partial<NodeUse> = {}): NodeUse => ({ eventLoop, up: true, ...more });
  test.each<[string, NodeUse[], number]>([
    ['as many as there are, at the target', [use(0.7), use(0.7)], 2],
    ['nothing for a tenth more', [use(0.76), use(0.76)], 2],
    ['one more for more than that', [use(0.9), use(0.9)], 3],
    ['one less for an idle one', [use(0.4), use(0.3), use(0.1)], 2],
    ['the limit that is met first', [use(0.1, { places: 1.4 }), use(0.1, { load: 0.7 })], 3],
    ['what a drained one has goes to others', [use(0.7), use(0.7, { up: false })], 2],
    ['one for nobody', [], 1],
    ['what makes no sense counts for nothing', [use(NaN), use(0.7, { places: Infinity })], 1],
  ])('%s', (_name, nodes, wanted) => {
    expect(wantedNodes(nodes)).toBe(wanted);
  });
});

describe('verdicts', () => {
  const fine: NodeFacts = {
    name: 'n0',
    silentMs: 400,
    ended: false,
    up: true,
    drainedFor: [],
    pools: 20,
    load: 1_000,
    share: 1_000,
    places: Infinity,
    loadLimit: Infinity,
    weight: 1,
    health: 1,
    trust: 1,
    lagMs: 2,
    peersUp: 2,
    version: '0.2.0',
    peersVersion: '0.2.0',
    lacks: [],
  };
  test.each<[string, Partial<NodeFacts>, string]>([
    ['good', {}, 'keeps up'],
    ['ended', { ended: true, pools: 0 }, 'has ended'],
    ['gone', { ended: true, pools: 1 }, '1 pool of it'],
    ['gone', { silentMs: 12_000 }, '12 s'],
    ['silent', { silentMs: 3_400 }, '3.4 s'],
    ['cut off', { storeRefusedMs: 4_000, temporalRefusedMs: 6_000 }, 'neither'],
    ['cut off from PostgreSQL', { storeRefusedMs: 4_000 }, '4.0 s'],
    ['cut off from Temporal', { temporalRefusedMs: 4_000 }, 'keeps its pools'],
    ['drained', { up: false, pools: 0 }, 'can be stopped'],
    ['draining', { up: false, pools: 3 }, 'last 3 pools'],
    ['draining', { up: false, pools: 3, peersUp: 0 }, 'no other node is up'],
    ['not up', { up: false, byItself: true, pools: 0 }, 'takes no pools'],
    ['ending', { up: false, byItself: true, pools: 3 }, 'gives away its last 3 pools'],
    ['behind', { lagMs: 400, health: 0.8 }, '400 ms late'],
    ['crashed', { trust: 0.5 }, '50 %'],
    ['recovering', { health: 0.64 }, '64 %'],
    ['over its target', { pools: 20, places: 12 }, '20 pools of 12'],
    ['other config', { lacks: ['a', 'b', 'c', 'd'] }, 'a, b, c and 1 more'],
    ['other release', { version: '0.1.0' }, 'it runs 0.1.0, the others 0.2.0'],
    ['full', { pools: 20, places: 20 }, 'at its target'],
    ['drained in part', { drainedFor: ['eve'] }, 'eve'],
    ['alone', { peersUp: 0 }, 'no other node'],
    ['filling', { load: 500 }, '50 %'],
  ])('%s', (word, facts, part) => {
    const verdict = verdictOf({ ...fine, ...facts });
    expect(verdict.word).toBe(word);
    expect(verdict.text).toContain(part);
  });

  test('who is within a pool of its share is not filling: pools are not divided', () => {
    expect(verdictOf({ ...fine, load: 800, meanPool: 150 }).word).toBe('filling');
    expect(verdictOf({ ...fine, load: 800, meanPool: 250 }).word).toBe('good');
  });

  test('the worst is said first', () => {
    expect(verdictOf({ ...fine, silentMs: 9_000, lagMs: 900, up: false }).word).toBe('gone');
  });

  test('a node without any load in the cluster is good', () => {
    expect(verdictOf({ ...fine, pools: 0, load: 0, share: 0 }).word).toBe('good');
  });
});

describe('a cold start', () => {
  const row = (name: string, at: number, load: number): PlacementRow => ({
    name,
    at,
    load,
    shifts: 1,
    loads: {},
    largest: null,
    weight: 1,
    places: null,
    loadLimit: null,
    keeps: [],
    up: true,
    hot: false,
    cutOff: false,
    out: [],
    ask: null,
    wants: {},
    done: {},
  });
  const NOW = 1_000_000;
  const before = [row('a', NOW - 20_000, 300), row('b', NOW - 20_000, 300), row('me', NOW - 20_000, 300)];
  const me = (load: number) => ({ name: 'me', weight: 1, load });

  test('the first node leaves the share of those that were here a minute ago', () => {
    expect(opensSharedQueues(me(0), before, 500, NOW)).toBe(true);
    expect(opensSharedQueues(me(299), before, 500, NOW)).toBe(true);
    expect(opensSharedQueues(me(300), before, 500, NOW)).toBe(false);
  });

  test('it leaves nothing to a drained one, nor to the process before itself', () => {
    const drained = { ...row('a', NOW - 20_000, 300), up: false };
    expect(opensSharedQueues(me(300), [drained], 500, NOW)).toBe(true);
    expect(opensSharedQueues(me(300), [before[2]!], 500, NOW)).toBe(true);
  });

  test('what the process before itself had counts where that was a minute ago, and not where it was yesterday', () => {
    const other = row('a', NOW - 20_000, 300);
    const open = (load: number, mine: PlacementRow) => opensSharedQueues(me(load), [other, mine], 500, NOW);
    expect([299, 300].map((load) => open(load, before[2]!))).toEqual([true, false]);
    expect([149, 150].map((load) => open(load, row('me', NOW - 86_400_000, 9_000)))).toEqual([true, false]);
  });

  test('the shares that it leaves are by weight', () => {
    const heavy = [{ ...row('a', NOW - 20_000, 900), weight: 2 }];
    expect([299, 300].map((load) => opensSharedQueues(me(load), heavy, 500, NOW))).toEqual([true, false]);
    const light = { ...me(0), weight: 0.5 };
    expect([179, 180].map((load) => opensSharedQueues({ ...light, load }, heavy, 500, NOW))).toEqual([true, false]);
  });

  test('for three seconds, and not where another one lives, or nobody was there', () => {
    expect(opensSharedQueues(me(300), before, 3_000, NOW)).toBe(true);
    expect(opensSharedQueues(me(300), [row('a', NOW - 500, 300), ...before.slice(1)], 500, NOW)).toBe(true);
    expect(opensSharedQueues(me(300), [], 500, NOW)).toBe(true);
    expect(opensSharedQueues(me(300), [row('a', NOW - 61_000, 300)], 500, NOW)).toBe(true);
    // To the millisecond: of its own start, of a sign of life, and of a minute ago.
    expect(opensSharedQueues(me(300), before, 2_999, NOW)).toBe(false);
    const seen = (ms: number) => opensSharedQueues(me(300), [row('a', NOW - ms, 300)], 500, NOW);
    expect([seen(2_999), seen(3_000), seen(59_999), seen(60_000)]).toEqual([true, false, false, true]);
  });
});

test('load is counted in fetches a second, ten for the pool itself', () => {
  expect(loadOf(1_000, [10_000])).toBe(110);
  expect(loadOf(1_000, [10_000, 1_000])).toBe(1_110);
  expect(loadOf(0, [])).toBe(10);
  expect(loadOf(1_000, [0, -5, Infinity, NaN])).toBe(10);
});

test('a kind is a tracker, and the label that it needs', () => {
  expect(kindOf('eve')).toBe('eve');
  expect(kindOf('eve', 'gpu')).toBe('eve@gpu');
});
