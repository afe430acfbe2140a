/**
 * Fair shares in clusters where not all may keep all: whatever the labels and weights, nobody's level can be lowered
 * without raising one that is higher. Also what a node with a large pool has, and rows whose parts do not fit.
 */
import fc from 'fast-check';
import { fairShares } from '../../../activities/tracker/placement/shares';
import { histories } from '../../support/simulate';
import { nodeWith, times, withPools, type DrawnCluster, type DrawnNode } from './clusters';

const KINDS = ['a', 'b', 'c', 'd', 'e'];

/** Pools of one load unit, so that none is larger than a share; many of each kind, on any node. */
const labelled = (nodes: number, kinds: number) =>
  fc.record({
    weights: fc.array(fc.constantFrom(1, 1, 2, 0.5), { minLength: nodes, maxLength: nodes }),
    may: fc.array(fc.array(fc.boolean(), { minLength: nodes, maxLength: nodes }), {
      minLength: kinds,
      maxLength: kinds,
    }),
    loads: fc.array(fc.integer({ min: 20, max: 400 }), { minLength: kinds, maxLength: kinds }),
  });

interface Labelled {
  weights: number[];
  may: boolean[][];
  loads: number[];
}

function clusterOf({ weights, may, loads }: Labelled): { cluster: DrawnCluster; able: number[][] } {
  const able = may.map((nodes) => nodes.flatMap((is, at) => (is ? [at] : [])));
  const nodes = weights.map((weight, at) => {
    const keeps = new Set(KINDS.filter((_, kind) => able[kind]?.includes(at)));
    // All of a kind is where it is kept first, or where nobody may keep it.
    const kept = able.flatMap((of, kind) => ((of[0] ?? 0) === at ? times(loads[kind]!, 1).map(() => kind) : []));
    const pools = kept.map((kind, n) => ({ id: `n${at}/${n}`, kind: KINDS[kind]!, size: 1, members: 1 }));
    return withPools({ ...nodeWith(`n${at}`, []), weight, keeps }, pools);
  });
  return { cluster: nodes as unknown as DrawnCluster, able };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const subsets = (count: number): number[][] =>
  Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, at) => at).filter((at) => bits & (1 << at)),
  );

test.each([
  [2, 2],
  [3, 3],
  [5, 5],
])(
  'with %i nodes and %i labels: all can be kept so, and who stands higher has only what nobody lower may keep',
  (n, k) => {
    fc.assert(
      fc.property(labelled(n, k), (drawn) => {
        const { cluster, able } = clusterOf(drawn);
        const shares = fairShares(cluster);
        const onlyFor = (nodes: readonly number[]): number =>
          sum(able.map((of, kind) => (of.length > 0 && of.every((at) => nodes.includes(at)) ? drawn.loads[kind]! : 0)));
        const noise = 1e-6 * (1 + sum(drawn.loads));
        expect(sum(shares)).toBeCloseTo(onlyFor([...shares.keys()]), 4);
        // Each set of nodes has at least what only they may keep: a division into such shares is there.
        for (const nodes of subsets(n)) {
          expect(sum(nodes.map((at) => shares[at]!))).toBeGreaterThanOrEqual(onlyFor(nodes) - noise);
        }
        // And those above any level have no more than that: nothing of theirs could be further down.
        const levels = shares.map((share, at) => share / drawn.weights[at]!);
        for (const level of levels) {
          const above = [...levels.keys()].filter((at) => levels[at]! > level + 1e-6 * (1 + level));
          expect(Math.abs(sum(above.map((at) => shares[at]!)) - onlyFor(above))).toBeLessThanOrEqual(noise);
        }
      }),
      histories(200),
    );
  },
);

test('with forty labels, each on two nodes, it stays quick, and nothing of the load is lost', () => {
  const all = Array.from({ length: 40 }, (_, at) => `k${at}`);
  const nodes = all.map((_, at) => {
    const keeps = new Set(all.filter((_, kind) => kind === at || (kind + 7) % 40 === at));
    return nodeWith(`n${at}`, times(6, 1), { keeps }, all[at]);
  });
  const shares = fairShares(nodes as unknown as DrawnCluster);
  expect(sum(shares)).toBeCloseTo(240, 6);
  expect(shares.every((share) => share >= 0)).toBe(true);
});

describe('large pools', () => {
  const shares = (...nodes: DrawnNode[]): number[] =>
    fairShares(nodes as unknown as DrawnCluster).map((share) => Math.round(share * 100) / 100);

  test('one that is fixed lowers the shares of the others, so that a second and a third are larger than theirs', () => {
    expect(shares(nodeWith('a', [1_000]), nodeWith('b', [300]), nodeWith('c', [90]), nodeWith('d', [10]))).toEqual([
      ...[1_000, 300, 90, 10],
    ]);
  });

  test('what only nodes with such a pool may keep is levelled over what they have', () => {
    const both = { keeps: new Set(['eve', 'eve@gpu']) };
    const eve = { keeps: new Set(['eve']) };
    const [large, small] = [nodeWith('a', [100], both), nodeWith('a', times(10, 1), both, 'eve@gpu')];
    const a = withPools({ ...large }, [...large.pools, ...small.pools]);
    expect(shares(a, nodeWith('b', [120], both), nodeWith('c', [], eve), nodeWith('d', [], eve))).toEqual([
      ...[110, 120, 0, 0],
    ]);
  });

  test('a place is one for the only pool there is', () => {
    const place = { places: 1 };
    const nodes: DrawnCluster = [nodeWith('a', [], { ...place, weight: 3 }), nodeWith('b', [], place)];
    expect(fairShares(nodes, { extra: { kind: 'eve', size: 100 } }).map(Math.round)).toEqual([75, 25]);
  });

  test('a node of half the greatest weight has its large pool by right, one of less has not', () => {
    const beside = (weight: number) =>
      shares(nodeWith('a', [700], { weight }), nodeWith('b', [100, 100], { weight: 2 }), nodeWith('c', []))[0];
    expect(beside(1)).toBe(700);
    expect(beside(0.99)).toBeLessThan(300);
  });

  test('a drained one, or a pool that its node may not keep any more, is nobody’s right', () => {
    const others = [nodeWith('b', [100, 100]), nodeWith('c', [])];
    expect(shares(nodeWith('a', [700], { up: false }), ...others)).toEqual([0, 450, 450]);
    const without = nodeWith('a', [700], { keeps: new Set(['game']) });
    expect(shares(without, ...others)).toEqual([0, 450, 450]);
    // The weight of a drained one is nobody's measure.
    const drained = nodeWith('d', [], { weight: 10, up: false });
    expect(shares(nodeWith('a', [700]), ...others, drained)).toEqual([700, 100, 100, 0]);
  });

  test('one that is as large as its share changes nothing', () => {
    expect(shares(nodeWith('a', [300]), nodeWith('b', [100, 200]), nodeWith('c', [300]))).toEqual([300, 300, 300]);
  });

  test('a row whose largest pool is more than all that it has gives no more than there is', () => {
    const odd = (more: Partial<DrawnNode>) => ({ ...nodeWith('a', [100]), ...more });
    const largest = { size: 5_000, kind: 'eve' };
    expect(shares(odd({ largest }), nodeWith('b', [200]))).toEqual([100, 200]);
    expect(shares(odd({ largest, loads: new Map() }), nodeWith('b', [200]))).toEqual([0, 200]);
    expect(shares(odd({ largest: { size: 5_000, kind: 'game' } }), nodeWith('b', [200]))).toEqual([100, 200]);
    expect(shares(odd({ loads: new Map(Object.entries({ eve: 100, game: -50 })) }), nodeWith('b', [100]))).toEqual([
      ...[100, 100],
    ]);
  });
});

describe('states that only newer code can read', () => {
  const release = (name: string, version: number, pools: number, more: Partial<DrawnNode> = {}) =>
    nodeWith(name, times(pools, 10), { reads: { eve: version }, writes: { eve: version }, ...more });
  const shares = (...nodes: DrawnNode[]): number[] => fairShares(nodes as unknown as DrawnCluster).map(Math.round);

  test('are the share of those that have it alone, and what older code has written is everybody’s', () => {
    expect(shares(release('a', 2, 8), release('b', 2, 4), release('old', 1, 0))).toEqual([60, 60, 0]);
    expect(shares(release('a', 2, 9), release('b', 2, 0), release('old', 1, 3))).toEqual([45, 45, 30]);
    expect(shares(release('a', 2, 0), release('b', 2, 0), release('old', 1, 12))).toEqual([40, 40, 40]);
  });

  test('a way back makes them everybody’s, and so does a release that does not say what it reads', () => {
    expect(shares(release('a', 2, 12), release('old', 1, 0, { reads: { eve: 2 } }))).toEqual([60, 60]);
    expect(shares(release('a', 2, 12), release('old', 1, 0, { reads: undefined, writes: undefined }))).toEqual([
      ...[60, 60],
    ]);
  });

  test('a drained node has some that are nobody’s share, and a large pool is the right of its node as ever', () => {
    expect(shares(release('a', 2, 9, { up: false }), release('old', 1, 3))).toEqual([0, 30]);
    const large = { reads: { eve: 2 }, writes: { eve: 2 } };
    expect(shares(nodeWith('a', [90], large), release('b', 2, 3), release('old', 1, 3))).toEqual([90, 30, 30]);
  });

  test('a pool that comes counts with the states that it has', () => {
    const cluster: DrawnCluster = [release('a', 2, 0), release('old', 1, 0)];
    const extra = { kind: 'eve', size: 100 };
    expect(fairShares(cluster, { extra: { ...extra, states: 2 } }).map(Math.round)).toEqual([100, 0]);
    expect(fairShares(cluster, { extra }).map(Math.round)).toEqual([50, 50]);
  });
});
