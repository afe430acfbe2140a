/** Each ask and each move is right for itself, in any cluster. `rest.test.ts` has all of them together. */
import fc from 'fast-check';
import { askFor, isTooMuch } from '../../../activities/tracker/placement/asks';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { isFull, mayKeep, settledLoad } from '../../../activities/tracker/placement/nodes';
import { fairShares } from '../../../activities/tracker/placement/shares';
import { surplus, type Request } from '../../../activities/tracker/placement/surplus';
import { histories } from '../../support/simulate';
import { cluster, moved, unevenness, withPools, type DrawnCluster, mustGive, PLENTY } from './clusters';

const requests = fc.array(
  fc.record({ asker: fc.nat({ max: 6 }), left: fc.integer({ min: 1, max: 5_000 }), deep: fc.boolean() }),
  { maxLength: 3 },
);
const budgets = fc.record({ pools: fc.integer({ min: -2, max: 20 }), members: fc.integer({ min: -10, max: 20_000 }) });

const named = (drawn: { asker: number; left: number; deep: boolean }[], nodes: DrawnCluster): Request[] => {
  const unique = new Map(drawn.map(({ asker, ...rest }) => [`n${asker % nodes.length}`, rest]));
  unique.delete(nodes[0].name);
  return [...unique].map(([asker, rest]) => ({ asker, ...rest }));
};
test('moves are within the budget, of own pools, each once, and to peers that may keep them', () => {
  fc.assert(
    fc.property(cluster(), requests, budgets, (nodes, drawn, budget) => {
      const { moves } = surplus(nodes, nodes[0].pools, named(drawn, nodes), budget);
      expect(moves.length).toBeLessThanOrEqual(Math.max(0, budget.pools));
      const members = moves.slice(0, -1).reduce((sum, { pool }) => sum + pool.members, 0);
      if (moves.length > 0) expect(members).toBeLessThan(budget.members);
      expect(new Set(moves.map(({ pool }) => pool.id)).size).toBe(moves.length);
      for (const { pool, to } of moves) {
        expect(nodes[0].pools).toContain(pool);
        expect(to).not.toBe(nodes[0].name);
        expect(
          mayKeep(
            nodes.find(({ name }) => name === to)!,
            pool.kind,
          ),
        ).toBe(true);
      }
    }),
    histories(400),
  );
});

test('nothing is given without an ask, but by who is drained or over its places', () => {
  fc.assert(
    fc.property(cluster(), (nodes) => {
      const { moves } = surplus(nodes, nodes[0].pools, [], PLENTY);
      if (!mustGive(nodes[0]) && nodes[0].shifts <= nodes[0].places) expect(moves).toEqual([]);
    }),
    histories(300),
  );
});

test('who asked is given to, nobody else; each move makes the cluster more even, and leaves the giver its share or no less than the asker', () => {
  fc.assert(
    fc.property(cluster(), requests, (nodes, drawn) => {
      fc.pre(nodes[0].up && !mustGive(nodes[0]) && nodes[0].shifts <= nodes[0].places);
      const asked = named(drawn, nodes);
      const { moves, nothingFor } = surplus(nodes, nodes[0].pools, asked, PLENTY);
      const share = fairShares(nodes, { withoutLeaving: true })[0]!;
      let now: DrawnCluster = nodes;
      const got = new Map<string, number>();
      for (const { pool, to } of moves) {
        const request = asked.find(({ asker }) => asker === to)!;
        expect(request).toBeDefined();
        expect(
          isFull(
            now.find(({ name }) => name === to)!,
            pool.size,
          ),
        ).toBe(false);
        const next = moved(now, pool.id, to);
        expect(unevenness(next)).toBeLessThan(unevenness(now));
        const asker = next.find(({ name }) => name === to)!;
        const staysFuller = next[0].load / next[0].weight >= (asker.load / asker.weight) * (1 - 1e-6);
        const keepsShare = next[0].load + pool.size / 2 >= (request.deep ? PLACEMENT.floor : 1) * share - 1e-6;
        expect(keepsShare || (request.deep && staysFuller)).toBe(true);
        // A pool too large for what is left of an ask is at most twice that.
        const left = request.left - (got.get(to) ?? 0);
        expect(pool.size).toBeLessThanOrEqual(2 * left + 1e-6);
        got.set(to, (got.get(to) ?? 0) + pool.size);
        now = next;
      }
      for (const { asker, left } of asked) {
        if (!nothingFor.includes(asker)) expect(got.get(asker) ?? 0).toBeGreaterThanOrEqual(left * 0.999);
      }
    }),
    histories(400),
  );
});

describe('which pool is given', () => {
  const [base] = fc.sample(cluster({ plain: true, nodes: [1, 1], kinds: 1 }), { numRuns: 1, seed: 1 })[0]!;
  const node = (name: string, sizes: number[]): DrawnCluster[0] => {
    const pools = sizes.map((size, at) => ({ id: `${name}/${at}`, kind: 'eve', size, members: 1 }));
    return withPools({ ...base, weight: 1, name }, pools);
  };
  const given = (sizes: number[], asker: number[], left: number, third?: number[], deep = false, up = true) => {
    const others = third ? [{ ...node('third', third), up }] : [];
    const nodes: DrawnCluster = [node('me', sizes), node('asker', asker), ...others];
    const { moves } = surplus(nodes, nodes[0].pools, [{ asker: 'asker', left, deep }], PLENTY);
    return moves.map(({ pool }) => pool.size);
  };

  test('the largest that was asked for', () => {
    expect(given([10, 50, 90, 300], [], 92)).toEqual([90]);
  });

  test('where all are larger, the next larger one, up to twice as large', () => {
    expect(given([150, 400], [], 80)).toEqual([150]);
    expect(given([170, 400], [], 80)).toEqual([]);
    expect(given([160, 400], [], 80)).toEqual([160]);
  });

  test('half of it may be missing to its share afterwards', () => {
    const third = (count: number) => given([100, 100], [50], 100, new Array<number>(count).fill(10));
    expect([third(20), third(21)]).toEqual([[100], []]);
  });

  test('dust as well, where one of both is outside of half the band', () => {
    expect(given([1, 1, 1, 260, 237], [400], 3, [600], true)).toEqual([1, 1, 1]);
    expect(given([1, 1, 1, 300, 297], [490], 3, [410])).toEqual([1, 1, 1]);
  });

  test('its share is that of now: what a drained node will give has not come yet', () => {
    expect(given(new Array<number>(4).fill(100), [], 400, [1_000], false, false)).toEqual([100, 100]);
  });

  test('no dust, while both are inside half the band', () => {
    expect(given([1, 1, 1, 260, 260], [500], 3)).toEqual([]);
    expect(given([1, 1, 1, 260, 260], [400], 3)).toEqual([1, 1, 1]);
    expect(given([1, 1, 1, 263, 264], [470], 3)).toEqual([1, 1, 1]);
    // Dust is what is smaller than half of its mean pool.
    const many = [10, ...new Array<number>(17).fill(30)];
    expect([given(many, [480], 30), given(many, [480], 12)]).toEqual([[30], []]);
  });
});

test('a drained node gives every pool that somebody may keep', () => {
  fc.assert(
    fc.property(cluster(), (nodes) => {
      const drained = [
        withPools({ ...nodes[0], up: false }, nodes[0].pools),
        ...nodes.slice(1),
      ] as unknown as DrawnCluster;
      const { moves } = surplus(drained, drained[0].pools, [], PLENTY);
      const given = new Set(moves.map(({ pool }) => pool.id));
      for (const pool of drained[0].pools) {
        expect(given.has(pool.id)).toBe(drained.some((node) => mayKeep(node, pool.kind)));
      }
    }),
    histories(400),
  );
});

test('a node that may not keep a kind any more gives just that, while it goes on with the rest', () => {
  fc.assert(
    fc.property(cluster({ plain: true, kinds: 2, nodes: [2, 6] }), (nodes) => {
      const self = withPools({ ...nodes[0], keeps: new Set(['eve']) }, nodes[0].pools);
      const { moves } = surplus([self, ...nodes.slice(1)], self.pools, [], PLENTY);
      const given = moves.map(({ pool }) => pool.id).sort();
      expect(given).toEqual(
        self.pools
          .filter(({ kind }) => kind === 'game')
          .map(({ id }) => id)
          .sort(),
      );
    }),
    histories(200),
  );
});

test('who is over its places gives down to them, no further, and to nobody who is full', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), (nodes) => {
      fc.pre(nodes[0].up && !mustGive(nodes[0]) && nodes[0].shifts > nodes[0].places);
      const { moves } = surplus(nodes, nodes[0].pools, [], PLENTY);
      expect(nodes[0].shifts - moves.length).toBeGreaterThanOrEqual(nodes[0].places);
      let now: DrawnCluster = nodes;
      for (const { pool, to } of moves) {
        expect(
          isFull(
            now.find(({ name }) => name === to)!,
            pool.size,
          ),
        ).toBe(false);
        now = moved(now, pool.id, to);
      }
      if (now[0].shifts > now[0].places) {
        for (const pool of now[0].pools) {
          expect(now.slice(1).some((node) => mayKeep(node, pool.kind) && !isFull(node, pool.size))).toBe(false);
        }
      }
    }),
    histories(400),
  );
});

test('an ask: only by who is up, below its share and has room; of peers that live, for no more than they have, and than is lacking', () => {
  let asks = 0;
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), (nodes) => {
      const ask = askFor(nodes);
      if (!ask) return;
      asks++;
      const [self] = nodes;
      const shares = fairShares(nodes, { withoutLeaving: true });
      const lack = shares[0]! - settledLoad(self);
      expect(self.up && lack > 0 && !isFull(self, 0)).toBe(true);
      let all = 0;
      let largestMean = 0;
      for (const [name, load] of ask.from) {
        const peer = nodes.find((node) => node.name === name)!;
        expect(peer !== self && peer.up && !peer.stale).toBe(true);
        expect(load > 0 && load <= settledLoad(peer) + 1e-6).toBe(true);
        expect(peer.pools.some(({ kind }) => self.keeps.has(kind) && peer.keeps.has(kind))).toBe(true);
        largestMean = Math.max(largestMean, peer.load / peer.shifts);
        all += load;
      }
      expect(all).toBeLessThanOrEqual(lack + PLACEMENT.band * 0.5 * shares[0]! + largestMean);
    }),
    histories(400),
  );
  expect(asks).toBeGreaterThan(0);
});

test('who refused is not asked', () => {
  fc.assert(
    fc.property(cluster({ plain: true, nodes: [3, 6] }), (nodes) => {
      for (const giver of askFor(nodes)?.from.keys() ?? []) {
        expect([...(askFor(nodes, new Set([giver]))?.from.keys() ?? [])]).not.toContain(giver);
      }
    }),
    histories(200),
  );
});

test('nobody asks where all are inside the band', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), (nodes) => {
      const shares = fairShares(nodes, { withoutLeaving: true });
      const inBand = nodes.every(
        (node, at) => !node.up || Math.abs(settledLoad(node) - shares[at]!) <= PLACEMENT.band * shares[at]!,
      );
      fc.pre(inBand);
      expect(askFor(nodes)).toBeUndefined();
    }),
    // Few random clusters are even: most runs are left out.
    histories(100, { maxSkipsPerRun: 5_000 }),
  );
});

test('what leaves a drained node, and what others have asked for, is not asked for', () => {
  fc.assert(
    fc.property(cluster({ plain: true, kinds: 1, nodes: [3, 6], size: 10 }), (nodes) => {
      const newcomer = withPools({ ...nodes[0] }, []);
      const [, giver, other, ...rest] = nodes as unknown as DrawnCluster[0][];
      const drained = withPools({ ...giver!, up: false }, giver!.pools);
      const ask = askFor([newcomer, drained, other!, ...rest]);
      expect(ask?.from.has(drained.name) ?? false).toBe(false);
      const shares = fairShares([newcomer, drained, other!, ...rest], { withoutLeaving: true });
      if (drained.load >= shares[0]!) expect(ask).toBeUndefined();
      // Another newcomer has asked for all that is above the giver's share.
      const above = (node: DrawnCluster[0], share: number) => Math.max(0, node.load - share);
      const even = fairShares([newcomer, giver!, other!, ...rest]);
      const wants = new Map(
        [giver!, ...rest].map((node, at) => [node.name, above(node, even[at === 0 ? 1 : at + 2]!)]),
      );
      const again = askFor([newcomer, giver!, { ...other!, wants }, ...rest]);
      for (const [name, load] of again?.from ?? []) {
        if (name === other!.name) continue;
        const at = [newcomer, giver!, other!, ...rest].findIndex((node) => node.name === name);
        const node = [newcomer, giver!, other!, ...rest][at]!;
        expect(load).toBeLessThanOrEqual(Math.min(node.load, even[at]! + 10) + 1e-6);
      }
    }),
    histories(400),
  );
});

test('it is too much when what comes brings a node over the band by more than a pool, or than it asked for', () => {
  fc.assert(
    fc.property(
      cluster({ plain: true, kinds: 1, size: 10, nodes: [2, 5] }),
      fc.nat({ max: 500 }),
      fc.nat({ max: 30 }),
      (nodes, coming, beyond) => {
        const share = fairShares(nodes, { withoutLeaving: true })[0]!;
        const poolSize = nodes[0].shifts > 0 ? 10 : 0;
        const most = share * (1 + PLACEMENT.band / 2) + Math.max(poolSize, beyond);
        expect(isTooMuch(nodes, coming, beyond)).toBe(nodes[0].load + coming > most);
      },
    ),
    histories(200),
  );
});

test('no ask is too much when it has just been made', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), (nodes) => {
      const ask = askFor(nodes);
      if (!ask) return;
      const coming = [...ask.from.values()].reduce((sum, load) => sum + load, 0);
      expect(isTooMuch(nodes, coming * (1 - 1e-9), ask.beyond)).toBe(false);
    }),
    histories(400),
  );
});
