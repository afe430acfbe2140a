/** Asking and giving, step by step until nobody moves: where a cluster comes to rest, and after how many moves. */
import fc from 'fast-check';
import { askFor } from '../../../activities/tracker/placement/asks';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { surplus } from '../../../activities/tracker/placement/surplus';
import { histories } from '../../support/simulate';
import { cluster, moved, seenBy, unevenness, withPools, type DrawnCluster, mustGive, PLENTY } from './clusters';

/** Everybody asks and gives in turn, all with a view that is right, until nobody does. */
function untilRest(nodes: DrawnCluster): { nodes: DrawnCluster; moves: number; rounds: number } {
  let moves = 0;
  let now = nodes;
  for (let round = 0; round < 60; round++) {
    const before = moves;
    for (const { name } of nodes) {
      const ask = askFor(seenBy(now, name));
      for (const [giver, left] of ask?.from ?? []) {
        const view = seenBy(now, giver);
        const plan = surplus(view, view[0].pools, [{ asker: name, left, deep: ask!.deep }], PLENTY);
        for (const { pool, to } of plan.moves) now = moved(now, pool.id, to);
        moves += plan.moves.length;
      }
    }
    if (moves === before) return { nodes: now, moves, rounds: round };
  }
  throw new Error(`${moves} moves, and no end of them`);
}

test('asking and giving comes to rest, and makes no cluster worse in which nobody must give', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 6] }), (nodes) => {
      const end = untilRest(nodes);
      if (nodes.some((node) => mustGive(node) || node.shifts > node.places)) return;
      expect(unevenness(end.nodes)).toBeLessThanOrEqual(unevenness(nodes));
    }),
    histories(300),
  );
});

test('equal pools end inside the band, with hardly more moves than it takes', () => {
  fc.assert(
    fc.property(cluster({ plain: true, kinds: 1, size: 100, nodes: [2, 6], pools: 25 }), (nodes) => {
      const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
      const all = nodes.reduce((sum, { load }) => sum + load, 0);
      // With shares smaller than a pool or two, nothing can be even.
      fc.pre(nodes.every(({ weight }) => (all * weight) / weights >= 200));
      const end = untilRest(nodes);
      let least = 0;
      for (const [at, node] of end.nodes.entries()) {
        const share = (all * node.weight) / weights;
        expect(Math.abs(node.load - share)).toBeLessThanOrEqual(
          PLACEMENT.band * share + 50 * Math.max(1, node.weight) + 50,
        );
        least += Math.max(0, nodes[at]!.load - share) / 100;
      }
      expect(end.moves).toBeLessThanOrEqual(1.2 * least + nodes.length);
    }),
    histories(300),
  );
});

test.each([
  ['four with three pools each and one with one', [3, 3, 3, 3, 1], [3, 3, 3, 2, 2]],
  ['five with three and one with one', [3, 3, 3, 3, 3, 1], [3, 3, 3, 3, 2, 2]],
  ['four with one and one with three', [1, 1, 1, 1, 3], [2, 2, 1, 1, 1]],
  ['a newcomer beside two with one', [1, 1, 0], [1, 1, 0]],
  ['a newcomer beside four with two', [2, 2, 2, 2, 0], [2, 2, 2, 1, 1]],
])('where shares are a few pools: %s', (_what, before, after) => {
  const [node] = fc.sample(cluster({ plain: true, nodes: [1, 1], kinds: 1 }), { numRuns: 1, seed: 1 })[0]!;
  const nodes = before.map((count, at) => {
    const pools = Array.from({ length: count }, (_, n) => ({ id: `n${at}/${n}`, kind: 'eve', size: 110, members: 1 }));
    return withPools({ ...node, weight: 1, name: `n${at}` }, pools);
  }) as unknown as DrawnCluster;
  const counts = untilRest(nodes).nodes.map(({ pools }) => pools.length);
  expect(counts.sort((a, b) => b - a)).toEqual(after);
});
