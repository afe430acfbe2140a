/**
 * A pool was offered: exactly one answer, always one that somebody can carry out, and the pool is placed within two
 * hops.
 */
import fc from 'fast-check';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { isFull, mayKeep } from '../../../activities/tracker/placement/nodes';
import { fairShares } from '../../../activities/tracker/placement/shares';
import { mayTake, type Offer } from '../../../activities/tracker/placement/take';
import type { Cluster, NodeLoad, PlacedPool } from '../../../activities/tracker/placement/types';
import { histories } from '../../support/simulate';
import { cluster, poolSize, seenBy } from './clusters';

const offered = fc.record({
  id: fc.constant('new/1'),
  size: poolSize,
  kind: fc.constantFrom('eve', 'game', 'eve@gpu'),
  members: fc.constant(1),
});
const random = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const FIRST: Offer = { hops: 0, waitedMs: 0, cameBack: false, asked: false, jammed: false, retried: false };

test('nobody, take and redirect: each only where it can be carried out', () => {
  fc.assert(
    fc.property(cluster(), offered, fc.nat({ max: 3 }), random, (nodes, pool, hops, dice) => {
      const decision = mayTake(nodes, pool, { ...FIRST, hops }, dice);
      const able = nodes.filter((node) => mayKeep(node, pool.kind));
      expect(decision.answer === 'nobody').toBe(able.length === 0);
      if (decision.answer === 'take') expect(able).toContain(nodes[0]);
      if (decision.answer === 'redirect') {
        expect(able.map(({ name }) => name)).toContain(decision.to);
        expect(decision.to).not.toBe(nodes[0].name);
      }
      const alone = able.length === 1 && able[0] === nodes[0];
      if (alone || (able[0] === nodes[0] && hops >= PLACEMENT.maxHops)) expect(decision.answer).toBe('take');
    }),
    histories(400),
  );
});

test('who is full takes nothing while it knows of a node with room, and nothing goes to a full one then', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), offered, random, (nodes, pool, dice) => {
      const roomy = nodes.filter((node) => mayKeep(node, pool.kind) && !isFull(node, pool.size));
      fc.pre(roomy.length > 0);
      const decision = mayTake(nodes, pool, FIRST, dice);
      if (decision.answer === 'take') {
        const isOnly = nodes.filter((node) => mayKeep(node, pool.kind)).length === 1;
        expect(roomy.includes(nodes[0]) || isOnly).toBe(true);
      }
      if (decision.answer === 'redirect') expect(roomy.map(({ name }) => name)).toContain(decision.to);
    }),
    histories(400),
  );
});

test('where all see the same, somebody takes at once, and whoever gets it first, it is placed within two hops', () => {
  fc.assert(
    fc.property(cluster(), offered, random, (nodes, pool, dice) => {
      const able = nodes.filter((node) => mayKeep(node, pool.kind));
      fc.pre(able.length > 0);
      const answers = able.map(({ name }) => mayTake(seenBy(nodes, name), pool, FIRST, dice).answer);
      expect(answers).toContain('take');
      for (const { name } of nodes.filter(({ stale }) => !stale)) {
        let at = name;
        let hops = 0;
        for (;;) {
          const decision = mayTake(seenBy(nodes, at), pool, { ...FIRST, hops }, dice);
          if (decision.answer !== 'redirect') break;
          at = decision.to;
          hops++;
          expect(hops).toBeLessThanOrEqual(PLACEMENT.maxHops);
        }
      }
    }),
    histories(400),
  );
});

test('who was handed about for long enough, came back, is tried again, or meets a jam is taken by who may', () => {
  fc.assert(
    fc.property(
      cluster(),
      offered,
      fc.constantFrom<Partial<Offer>>(
        { jammed: true },
        { cameBack: true },
        { retried: true },
        { hops: 1, waitedMs: 501 },
      ),
      random,
      (nodes, pool, how, dice) => {
        fc.pre(mayKeep(nodes[0], pool.kind));
        expect(mayTake(nodes, pool, { ...FIRST, ...how }, dice).answer).toBe('take');
      },
    ),
    histories(200),
  );
});

test('nobody is brought far over its share: a pool is taken within the slack, or where it weighs least', () => {
  fc.assert(
    fc.property(cluster({ kinds: 1, nodes: [2, 7], plain: true, size: 10 }), random, (nodes, dice) => {
      const pool: PlacedPool = { id: 'new/1', size: 10, kind: 'eve', members: 1 };
      const all = nodes.reduce((sum, { load }) => sum + load, 10);
      const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
      const share = (all * nodes[0].weight) / weights;
      fc.pre(nodes.every(({ weight }) => (all * weight) / weights >= 10));
      const after = nodes[0].load + 10;
      const isEmptiest = nodes.every(({ load, weight }) => after / nodes[0].weight <= (load + 10) / weight + 1e-9);
      const { answer } = mayTake(nodes, pool, FIRST, dice);
      const isWithin = after <= share * (1 + PLACEMENT.slack) + 1e-9;
      // Rounding at the border is nobody's business.
      fc.pre(Math.abs(after - share * (1 + PLACEMENT.slack)) > 1e-6);
      expect(answer).toBe(isWithin || isEmptiest ? 'take' : 'redirect');
    }),
    histories(400),
  );
});

test('redirected pools go to who lacks much with more chance, and to nobody who lacks nothing', () => {
  fc.assert(
    fc.property(cluster({ kinds: 1, nodes: [3, 6], plain: true, size: 10 }), (nodes) => {
      const pool: PlacedPool = { id: 'new/1', size: 10, kind: 'eve', members: 1 };
      const all = nodes.reduce((sum, { load }) => sum + load, 10);
      const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
      fc.pre(nodes.every(({ weight }) => (all * weight) / weights >= 10));
      const lack = new Map(nodes.slice(1).map(({ name, load, weight }) => [name, (all * weight) / weights - load]));
      const sum = [...lack.values()].reduce((total, one) => total + Math.max(0, one), 0);
      fc.pre(sum > 1e-6);
      const times = new Map<string, number>();
      const draws = 200;
      for (let at = 0; at < draws; at++) {
        const decision = mayTake(nodes, pool, FIRST, at / draws);
        if (decision.answer === 'take') return;
        if (decision.answer === 'redirect') times.set(decision.to, (times.get(decision.to) ?? 0) + 1);
      }
      for (const [name, one] of lack) {
        const expected = (Math.max(0, one) / sum) * draws;
        expect(Math.abs((times.get(name) ?? 0) - expected)).toBeLessThanOrEqual(1.001);
      }
    }),
    histories(300),
  );
});

test('what a node has asked for comes to it anyway, and is not sent to it as well', () => {
  let redirects = 0;
  fc.assert(
    fc.property(cluster({ kinds: 1, nodes: [3, 6], plain: true, size: 10 }), random, (drawn, dice) => {
      const pool: PlacedPool = { id: 'new/1', size: 10, kind: 'eve', members: 1 };
      const nodes = drawn.map((node, at) => (at === 1 ? { ...node, coming: 1e6 } : node)) as unknown as typeof drawn;
      const shares = fairShares(nodes, { extra: pool });
      fc.pre(nodes.some((node, at) => at > 1 && shares[at]! - node.load > 1e-6));
      const decision = mayTake(nodes, pool, FIRST, dice);
      if (decision.answer !== 'redirect') return;
      redirects++;
      expect(decision.to).not.toBe(nodes[1]!.name);
    }),
    histories(200),
  );
  expect(redirects).toBeGreaterThan(0);
});

test('a node is full with as many pools as it has places, or where one more is above its limit', () => {
  const node = { shifts: 3, places: 3, load: 100, loadLimit: Infinity };
  expect(isFull(node, 10)).toBe(true);
  expect(isFull({ ...node, places: 4 }, 10)).toBe(false);
  expect(isFull({ ...node, places: 4, loadLimit: 110 }, 10)).toBe(false);
  expect(isFull({ ...node, places: 4, loadLimit: 109 }, 10)).toBe(true);
});

test('what a node has asked for it takes, unless it is full', () => {
  fc.assert(
    fc.property(cluster(), offered, random, (nodes, pool, dice) => {
      fc.pre(mayKeep(nodes[0], pool.kind) && !isFull(nodes[0], pool.size));
      expect(mayTake(nodes, pool, { ...FIRST, hops: 1, asked: true }, dice).answer).toBe('take');
    }),
    histories(200),
  );
});

/** Nodes of one kind with so much load each, in pools of ten. */
const nodesOf = (...given: (Partial<NodeLoad> & { load: number })[]): Cluster =>
  given.map((more, at) => ({
    ...{ name: `n${at}`, shifts: more.load / 10, loads: new Map([['eve', more.load]]), weight: 1, places: Infinity },
    ...{
      loadLimit: Infinity,
      keeps: new Set(['eve']),
      up: true,
      stale: false,
      hot: false,
      coming: 0,
      wants: new Map(),
    },
    ...more,
  })) as unknown as Cluster;
const ten: PlacedPool = { id: 'new/1', size: 10, kind: 'eve', members: 1 };

test('a pool by the shared queue is taken up to a twentieth above the share, one that was handed on up to a quarter', () => {
  const answer = (load: number, hops: number) =>
    mayTake(nodesOf({ load }, { load: 190 - load }), ten, { ...FIRST, hops }, 0).answer;
  // The share of each is 100.
  expect([answer(95, 0), answer(96, 0), answer(115, 1), answer(116, 1)]).toEqual([
    ...['take', 'redirect', 'take', 'redirect'],
  ]);
});

test('a pool that was handed on waits for half a second, then whoever may takes it; one that was not is handed on', () => {
  const answer = (offer: Partial<Offer>) =>
    mayTake(nodesOf({ load: 1_000 }, { load: 0 }), ten, { ...FIRST, ...offer }, 0).answer;
  expect(answer({ hops: 1, waitedMs: PLACEMENT.jamMs })).toBe('redirect');
  expect(answer({ hops: 1, waitedMs: PLACEMENT.jamMs + 1 })).toBe('take');
  expect(answer({ hops: 0, waitedMs: 60_000 })).toBe('redirect');
});

test('a node that is full hands on what it has asked for, while another one has room', () => {
  const asked = { ...FIRST, hops: 1, asked: true };
  expect(mayTake(nodesOf({ load: 50, places: 5 }, { load: 50 }), ten, asked, 0)).toEqual({
    answer: 'redirect',
    to: 'n1',
  });
  // One that is drained meanwhile hands it on as well.
  expect(mayTake(nodesOf({ load: 0, up: false }, { load: 500 }), ten, asked, 0)).toEqual({
    answer: 'redirect',
    to: 'n1',
  });
  // Without its having asked, a node above its share hands it on, also with room.
  expect(mayTake(nodesOf({ load: 500 }, { load: 50 }), ten, { ...asked, asked: false }, 0).answer).toBe('redirect');
});

test('where nobody lacks anything, it goes to who is the least full afterwards, against its weight', () => {
  // All that the second and the third lack is on its way to them.
  const coming = 1_000;
  const to = (...others: { load: number; weight?: number }[]) =>
    mayTake(nodesOf({ load: 900 }, ...others.map((one) => ({ ...one, coming }))), ten, FIRST, 0.5);
  expect(to({ load: 40 }, { load: 30 }, { load: 50 })).toEqual({ answer: 'redirect', to: 'n2' });
  expect(to({ load: 40, weight: 4 }, { load: 30 })).toEqual({ answer: 'redirect', to: 'n1' });
  // Equally full: the first of them, for everybody.
  expect(to({ load: 30 }, { load: 30 })).toEqual({ answer: 'redirect', to: 'n1' });
});
