/** Pools that must leave a node, and asks of several at once: what is given first, and to whom. */
import fc from 'fast-check';
import { fillAfter, isFull, mayKeep } from '../../../activities/tracker/placement/nodes';
import { fairShares } from '../../../activities/tracker/placement/shares';
import { surplus, type Request } from '../../../activities/tracker/placement/surplus';
import { histories } from '../../support/simulate';
import { cluster, moved, nodeWith, PLENTY, times, withPools, type DrawnCluster } from './clusters';

test('a drained node gives the largest first, each to who lacks most then; where nobody lacks, to the least full', () => {
  let toTheLeastFull = 0;
  fc.assert(
    fc.property(cluster({ nodes: [2, 6] }), (nodes) => {
      const self = withPools({ ...nodes[0], up: false }, nodes[0].pools);
      const drained = [self, ...nodes.slice(1)] as unknown as DrawnCluster;
      const shares = fairShares(drained);
      let now = drained;
      let last = Infinity;
      for (const { pool, to } of surplus(drained, self.pools, [], PLENTY).moves) {
        expect(pool.size).toBeLessThanOrEqual(last);
        last = pool.size;
        const able = now.flatMap((node, at) =>
          at > 0 && mayKeep(node, pool.kind) ? [{ node, share: shares[at]! }] : [],
        );
        const lacks = able.map(({ node, share }) => (isFull(node, pool.size) ? 0 : share - node.load));
        const chosen = able.findIndex(({ node }) => node.name === to);
        if (Math.max(...lacks) > 1e-6) expect(lacks[chosen]).toBeGreaterThanOrEqual(Math.max(...lacks) - 1e-6);
        else if (Math.max(...lacks) <= 0) {
          toTheLeastFull++;
          const roomy = able.filter(({ node }) => !isFull(node, pool.size));
          const among = (roomy.length > 0 ? roomy : able).map(({ node }) => node);
          const least = Math.min(...among.map((node) => fillAfter(node, pool.size)));
          const { node } = able[chosen]!;
          expect(among).toContain(node);
          expect(fillAfter(node, pool.size)).toBeLessThanOrEqual(least + 1e-6);
        }
        now = moved(now, pool.id, to);
      }
    }),
    histories(300),
  );
  expect(toTheLeastFull).toBeGreaterThan(0);
});

describe('several askers', () => {
  const nodes: DrawnCluster = [nodeWith('me', times(12, 100)), nodeWith('a', []), nodeWith('b', [])];
  const ask = (asker: string, left = 400): Request => ({ asker, left, deep: false });
  const given = (requests: Request[], pools: number) => {
    const { moves, nothingFor } = surplus(nodes, nodes[0].pools, requests, { pools, members: 1_000_000 });
    return { to: moves.map(({ to }) => to), nothingFor };
  };

  test('a pool each in turn, as far as the budget goes', () => {
    expect(given([ask('a'), ask('b')], 5).to).toEqual(['a', 'b', 'a', 'b', 'a']);
    expect(given([ask('a', 100), ask('b', 300)], 20).to).toEqual(['a', 'b', 'b', 'b']);
  });

  test('where the budget is spent nobody is told that nothing is left', () => {
    expect(given([ask('a'), ask('b')], 0)).toEqual({ to: [], nothingFor: [] });
    expect(given([ask('a', 5_000), ask('b', 5_000)], 3).nothingFor).toEqual([]);
  });

  test('who is not there, or is this node itself, is told so; the others are given theirs', () => {
    expect(given([ask('gone'), ask('me'), ask('a', 100)], 20)).toEqual({ to: ['a'], nothingFor: ['gone', 'me'] });
  });
});

test('a pool that has just come from an asker goes to any other, and to it where this node must give all', () => {
  const nodes: DrawnCluster = [nodeWith('me', times(4, 100)), nodeWith('a', []), nodeWith('b', [])];
  const came = new Map(nodes[0].pools.map(({ id }) => [id, 'a']));
  const asks = ['a', 'b'].map((asker) => ({ asker, left: 100, deep: false }));
  const { moves, nothingFor } = surplus(nodes, nodes[0].pools, asks, PLENTY, came);
  expect([moves.map(({ to }) => to), nothingFor]).toEqual([['b'], ['a']]);
  const drained: DrawnCluster = [withPools({ ...nodes[0], up: false }, nodes[0].pools), nodes[1]!];
  expect(surplus(drained, nodes[0].pools, [], PLENTY, came).moves).toHaveLength(4);
});

test('who is near its own share is so by its own weight: no dust is moved for it', () => {
  // Their shares are 1,000 and 500.
  const me = nodeWith('me', [...times(10, 1), ...times(10, 100)], { weight: 2 });
  const ask = (asker: number) =>
    surplus([me, nodeWith('a', [asker])], me.pools, [{ asker: 'a', left: 3, deep: false }], PLENTY).moves.length;
  expect([ask(490), ask(450)]).toEqual([0, 3]);
});

test('over its places it gives what must go, and what it was asked for besides', () => {
  const [me, a] = [nodeWith('me', times(6, 100), { places: 5 }), nodeWith('a', [])];
  const { moves } = surplus([me, a], me.pools, [{ asker: 'a', left: 200, deep: false }], PLENTY);
  expect(moves).toHaveLength(3);
});
