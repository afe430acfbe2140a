/** The small questions about nodes, at their edges. */
import {
  fillAfter,
  hasFor,
  isFull,
  isLeaving,
  lowersImbalance,
  mayKeep,
  settledLoad,
} from '../../../activities/tracker/placement/nodes';
import { withPools, type DrawnNode } from './clusters';

/** A node with a pool of each of these kinds, of this size. */
const node = (loads: Record<string, number>, more: Partial<DrawnNode> = {}): DrawnNode =>
  withPools(
    {
      ...{ name: 'n', weight: 1, places: Infinity, loadLimit: Infinity, keeps: new Set(['eve', 'game']) },
      ...{ up: true, stale: false, hot: false, coming: 0, wants: new Map<string, number>() },
      ...more,
    },
    Object.entries(loads).map(([kind, size]) => ({ id: `p/${kind}`, kind, size, members: 1 })),
  );

test('the part of its load that stays is what it may keep, and nothing of a drained one', () => {
  expect(settledLoad(node({ eve: 30, game: 12 }))).toBe(42);
  expect(settledLoad(node({ eve: 30, old: 12, 'eve@gpu': 5 }))).toBe(30);
  expect(settledLoad(node({ old: 12 }))).toBe(0);
  expect(settledLoad(node({ eve: 30 }, { up: false }))).toBe(0);
  expect(settledLoad({ ...node({}, { up: false }), load: 30 })).toBe(0);
  // Its row may say less in all than by kind.
  expect(settledLoad({ ...node({ old: 12 }), load: 10 })).toBe(0);
});

test('a giver has something for an asker that may keep it, if it is there and stays there', () => {
  const asker = node({});
  expect(hasFor(asker, node({ eve: 1 }))).toBe(true);
  expect(hasFor(asker, node({ eve: 0 }))).toBe(false);
  expect(hasFor(asker, node({ gpu: 5 }, { keeps: new Set(['gpu']) }))).toBe(false);
  expect(hasFor(asker, node({ eve: 5 }, { keeps: new Set(['game']) }))).toBe(false);
  expect(hasFor(asker, node({ eve: 5 }, { up: false }))).toBe(false);
  expect(hasFor(asker, node({ old: 5, game: 0.5 }))).toBe(true);
});

test('may keep, is leaving, is full: each at its edge', () => {
  expect(mayKeep(node({}), 'eve')).toBe(true);
  expect(mayKeep(node({}, { up: false }), 'eve')).toBe(false);
  expect(mayKeep(node({}, { stale: true }), 'eve')).toBe(false);
  expect(mayKeep(node({}), 'gpu')).toBe(false);
  expect([isLeaving(node({}), 'eve'), isLeaving(node({}), 'gpu'), isLeaving(node({}, { up: false }), 'eve')]).toEqual([
    ...[false, true, true],
  ]);
  expect(isFull(node({ eve: 10 }, { places: 2, loadLimit: 15 }), 5)).toBe(false);
  expect(isFull(node({ eve: 10 }, { places: 1 }), 5)).toBe(true);
  expect(isFull(node({ eve: 10 }, { loadLimit: 15 }), 5.1)).toBe(true);
  expect(fillAfter(node({ eve: 10 }, { weight: 2 }), 4)).toBe(7);
});

test('a move helps where it lowers the sum of load² / weight, and not where it only mirrors', () => {
  const of = (load: number, weight = 1) => ({ load, weight });
  // 20 and 10: a pool of 10 would only change places, one of 9 helps.
  expect(lowersImbalance(of(20), of(10), 10)).toBe(false);
  expect(lowersImbalance(of(20), of(10), 9.99)).toBe(true);
  expect(lowersImbalance(of(20), of(20), 0)).toBe(false);
  for (const [from, to] of [
    [of(30, 3), of(10, 0.5)],
    [of(60, 2), of(5, 4)],
    [of(50, 0.5), of(60, 2)],
  ] as const) {
    const sum = (a: number, b: number): number => a ** 2 / from.weight + b ** 2 / to.weight;
    for (const size of [1, 5, 10, 20, 40]) {
      const helps = sum(from.load - size, to.load + size) < sum(from.load, to.load);
      expect([size, lowersImbalance(from, to, size)]).toEqual([size, helps]);
    }
  }
});
