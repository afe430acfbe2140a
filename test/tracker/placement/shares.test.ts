/** Fair shares: what holds for every cluster, and the cases that explain them. */
import fc from 'fast-check';
import { fairShares } from '../../../activities/tracker/placement/shares';
import { histories } from '../../support/simulate';
import { cluster, seenBy, withPools, type DrawnCluster } from './clusters';

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * (1 + Math.abs(a) + Math.abs(b));

/** The load that somebody may keep. */
function placeable(nodes: DrawnCluster, withoutLeaving: boolean): number {
  let load = 0;
  for (const node of nodes) {
    for (const pool of node.pools) {
      const leaving = !node.up || !node.keeps.has(pool.kind);
      if (withoutLeaving && leaving) continue;
      if (nodes.some(({ up, keeps }) => up && keeps.has(pool.kind))) load += pool.size;
    }
  }
  return load;
}

test('shares are never below 0, nothing for who is drained, and sum to the load that somebody may keep', () => {
  fc.assert(
    fc.property(cluster(), fc.boolean(), (nodes, withoutLeaving) => {
      const shares = fairShares(nodes, { withoutLeaving });
      for (const [at, share] of shares.entries()) {
        expect(Number.isFinite(share) && share >= 0).toBe(true);
        if (!nodes[at]!.up) expect(share).toBe(0);
      }
      expect(close(sum(shares), placeable(nodes, withoutLeaving))).toBe(true);
    }),
    histories(400),
  );
});

test('a pool that nobody keeps yet counts', () => {
  fc.assert(
    fc.property(cluster({ plain: true, kinds: 1 }), (nodes) => {
      const shares = fairShares(nodes, { extra: { kind: 'eve', size: 500 } });
      expect(close(sum(shares), placeable(nodes, false) + 500)).toBe(true);
    }),
    histories(200),
  );
});

test('without limits and large pools shares are as the weights', () => {
  fc.assert(
    fc.property(cluster({ plain: true, kinds: 1, size: 10, pools: 20 }), (nodes) => {
      const shares = fairShares(nodes);
      const weights = sum(nodes.map(({ weight }) => weight));
      const load = sum(nodes.map((node) => node.load));
      // A node of a small weight may have a share that is smaller than a pool.
      fc.pre(nodes.every(({ weight, largest }) => !largest || largest.size <= (load * weight) / weights));
      for (const [at, share] of shares.entries()) expect(close(share, (load * nodes[at]!.weight) / weights)).toBe(true);
    }),
    histories(300),
  );
});

test('the order in which nodes are read changes nothing', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), fc.nat(), (nodes, n) => {
      const turned = seenBy([...nodes].reverse(), nodes[n % nodes.length]!.name);
      const byName = new Map(fairShares(turned).map((share, at) => [turned[at]!.name, share]));
      const noise = 1e-6 * (1 + sum(nodes.map(({ load }) => load)));
      for (const [at, share] of fairShares(nodes).entries()) {
        expect(Math.abs(share - byName.get(nodes[at]!.name)!)).toBeLessThanOrEqual(noise);
      }
    }),
    histories(400),
  );
});

test('nobody has more than its limit while another one has room', () => {
  fc.assert(
    fc.property(cluster({ kinds: 1, nodes: [2, 7] }), (nodes) => {
      const shares = fairShares(nodes);
      const poolSize = sum(nodes.map(({ load }) => load)) / Math.max(1, sum(nodes.map(({ shifts }) => shifts)));
      const limit = nodes.map(({ loadLimit, places }) =>
        places === Infinity ? loadLimit : Math.min(loadLimit, places * poolSize),
      );
      const able = nodes.map(({ up, keeps }) => up && keeps.has('eve'));
      const hasRoom = nodes.some((_, at) => able[at] && shares[at]! < limit[at]! * 0.999 - 0.01);
      // A pool that is not divided is kept somewhere, limit or not.
      for (const [at, { largest }] of nodes.entries()) {
        if (hasRoom && able[at])
          expect(shares[at]).toBeLessThanOrEqual(Math.max(limit[at]!, largest?.size ?? 0) * 1.001 + 0.01);
      }
    }),
    histories(400),
  );
});

test('a newcomer raises the share of nobody, unless a pool is larger than a share', () => {
  fc.assert(
    fc.property(cluster({ size: 10, pools: 20, nodes: [2, 6] }), (nodes) => {
      const newcomer = withPools(
        {
          ...nodes[0],
          name: 'new',
          up: true,
          places: Infinity,
          loadLimit: Infinity,
          weight: 1,
          keeps: new Set(['eve', 'game']),
        },
        [],
      );
      const before = fairShares(nodes);
      const after = fairShares([...nodes, newcomer] as unknown as DrawnCluster);
      fc.pre(nodes.every(({ up, largest }, at) => !up || !largest || largest.size <= after[at]!));
      const noise = 1e-6 * (1 + sum(before));
      for (const [at, share] of before.entries()) expect(after[at]).toBeLessThanOrEqual(share + noise);
    }),
    histories(400),
  );
});

describe('as numbers', () => {
  const base = {
    weight: 1,
    places: Infinity,
    loadLimit: Infinity,
    keeps: new Set(['eve', 'eve@gpu']),
    up: true,
    stale: false,
    hot: false,
    coming: 0,
    wants: new Map<string, number>(),
  };
  const pools = (name: string, sizes: number[], kind = 'eve') =>
    sizes.map((size, at) => ({ id: `${name}/${at}`, size, kind, members: 1 }));
  const node = (name: string, sizes: number[], more: Partial<typeof base> = {}, kind = 'eve') =>
    withPools({ ...base, ...more, name }, pools(name, sizes, kind));
  const shares = (...nodes: ReturnType<typeof node>[]): number[] =>
    fairShares(nodes as unknown as DrawnCluster).map((share) => Math.round(share * 100) / 100);

  test('a newcomer has a third of the load', () => {
    expect(shares(node('a', [100, 100, 100]), node('b', [100, 100, 100]), node('c', []))).toEqual([200, 200, 200]);
  });

  test('what one node has no room for rises over the others', () => {
    expect(shares(node('a', [100, 100], { places: 1 }), node('b', [100, 100]), node('c', [100, 100]))).toEqual([
      100, 250, 250,
    ]);
  });

  test('where all are full the rest is divided by weight', () => {
    const full = { places: 1 };
    expect(shares(node('a', [100, 100], full), node('b', [100, 100], { ...full, weight: 3 }))).toEqual([150, 250]);
  });

  test('where all are full, what a node has above its limit counts', () => {
    const full = { places: 0 };
    expect(shares(node('a', [300], full), node('b', [50, 50], full), node('c', [], full))).toEqual([300, 50, 50]);
  });

  test('a pool that nobody keeps yet is one of those that places are counted by', () => {
    const nodes = [node('a', [100], { places: 1 }), node('b', [100])] as unknown as DrawnCluster;
    const [a, b] = fairShares(nodes, { extra: { kind: 'eve', size: 100 } });
    expect(a).toBeCloseTo(100);
    expect(b).toBeCloseTo(200);
  });

  test('who has the label has its pools, and less of the others', () => {
    const withLabel = node('a', [300], {}, 'eve@gpu');
    const without = { keeps: new Set(['eve']) };
    expect(shares(withLabel, node('b', [150, 150], without), node('c', [], without))).toEqual([300, 150, 150]);
    expect(shares(node('a', [100], {}, 'eve@gpu'), node('b', [100, 100], without), node('c', [], without))).toEqual([
      100, 100, 100,
    ]);
  });

  test('a place that two kinds could have is left to the one that can go nowhere else', () => {
    const kinds = { keeps: new Set(['eve', 'eve@gpu']) };
    const both = withPools({ ...base, ...kinds, name: 'both' }, [
      ...pools('x', [100, 100, 100, 100, 100, 100], 'eve@gpu'),
      ...pools('y', [100, 100, 100, 100], 'eve'),
    ]);
    const small = node('small', [], { ...kinds, places: 2 });
    expect(shares(node('plain', [], { keeps: new Set(['eve']) }), both, small)).toEqual([400, 400, 200]);
  });

  test('a pool that is larger than a share is the share of its node', () => {
    expect(shares(node('a', [700]), node('b', [100, 100]), node('c', []))).toEqual([700, 100, 100]);
  });

  test('a node that is cut down to less than half the weight of others does not keep a large pool as its right', () => {
    const [cut] = shares(node('a', [700], { weight: 0.4 }), node('b', [100, 100]), node('c', []));
    expect(cut).toBeLessThan(200);
  });

  test('what is drained counts for the others, and does not count for what they have a share of now', () => {
    const nodes = [node('a', [300], { up: false }), node('b', [100]), node('c', [100])] as unknown as DrawnCluster;
    expect(fairShares(nodes)).toEqual([0, 250, 250]);
    expect(fairShares(nodes, { withoutLeaving: true })).toEqual([0, 100, 100]);
  });
});
