/**
 * Pools that have come a moment ago, and an ask of the node that they came from: whoever could not keep them may have
 * them back at once, whoever was to lose them may not. And pools whose states an asker cannot read.
 */
import { PLACEMENT } from '../../activities/tracker/placement/constants';
import { Placer } from '../../activities/tracker/placement/placer';
import type { PlacementRow } from '../../activities/tracker/placement/row';
import type { PlacedPool } from '../../activities/tracker/placement/types';
import { SETTINGS } from './placement/settings';

const NOW = 1_700_000_000_000;
const pool = (at: number): PlacedPool => ({ id: `eve/${at}`, kind: 'eve', size: 100, members: 100 });
const rowAt = (placer: Placer, ms: number): PlacementRow => ({ ...placer.row(ms), at: ms });

/** It asks for all there is: what it reads is said by its row. */
const READS_ALL = { reads: { eve: 9 }, writes: {} };

/**
 * `a` has ten pools, all of which have just come from `b`; `b` has nothing, and asks.
 * @param writes the versions of states that the code of `a` writes
 */
function two(writes?: Record<string, number>) {
  const [a, b] = [new Placer('a', SETTINGS, writes && { reads: writes, writes }), new Placer('b', SETTINGS, READS_ALL)];
  for (let at = 0; at < 10; at++) a.offered(pool(at), { hops: 1, waitedMs: 0, from: 'b' }, NOW, 0);
  const asks = (ms: number, said: Partial<PlacementRow> = {}) => {
    b.observe([rowAt(a, ms)], ms);
    a.observe([{ ...rowAt(b, ms), ...said }], ms);
    return a.moves(ms).length;
  };
  return { a, b, asks };
}

test('a node that gave its pools as it had to, and is back, is given them at once', () => {
  const { a, b, asks } = two();
  // Drained, or about to end: then its process begins anew.
  b.settings = { ...SETTINGS, up: false };
  a.observe([rowAt(b, NOW + 100)], NOW + 100);
  b.settings = SETTINGS;
  expect(asks(NOW + 1_000)).toBeGreaterThan(0);
});

test('so is one that has gone', () => {
  const { a, asks } = two();
  a.observe([], NOW + 100);
  expect(asks(NOW + 1_000)).toBeGreaterThan(0);
});

test('one that could have kept them is not: somebody wanted them elsewhere', () => {
  const { a, b, asks } = two();
  a.observe([rowAt(b, NOW + 100)], NOW + 100);
  expect(asks(NOW + 1_000)).toBe(0);
  expect(two().asks(NOW + PLACEMENT.newcomerMs)).toBeGreaterThan(0);
});

describe('an asker whose code cannot read the states of the tracker', () => {
  const later = NOW + PLACEMENT.newcomerMs;

  test.each([
    ['older', { eve: 1 }, false],
    ['as new', { eve: 2 }, true],
    ['newer', { eve: 3 }, true],
    ['not known', undefined, true],
    ['without code for its members', { other: 1 }, false],
  ])('%s', (_what, reads, isGiven) => {
    expect(two({ eve: 2 }).asks(later, { reads }) > 0).toBe(isGiven);
  });

  test('a giver without states of its own gives to anybody', () => {
    expect(two().asks(later, { reads: { eve: 1 } })).toBeGreaterThan(0);
  });

  test('a drained giver keeps its pools rather than to give them to nobody, and gives them to whoever can read them', () => {
    const { a, b } = two({ eve: 2 });
    const c = new Placer('c', SETTINGS);
    a.settings = { ...SETTINGS, up: false };
    const old = { ...rowAt(b, NOW), reads: { eve: 1 } };
    a.observe([old], NOW);
    expect(a.moves(NOW)).toEqual([]);
    // Fuller than the other one.
    for (let at = 20; at < 40; at++) c.offered(pool(at), { hops: 2, waitedMs: 0 }, NOW, 0);
    a.observe([old, { ...rowAt(c, NOW), reads: { eve: 2 } }], NOW);
    expect(new Set(a.moves(NOW).map(({ to }) => to))).toEqual(new Set(['c']));
  });
});
