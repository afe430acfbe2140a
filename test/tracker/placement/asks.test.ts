/**
 * One node asks others for members: whom, and for how many, at the borders of hunger, of the band, of what comes by
 * itself, of what others have asked for; and what all nodes of a cluster ask for together.
 */
import fc from 'fast-check';
import { askFor, isTooMuch } from '../../../activities/tracker/placement/asks';
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import type { NodeLoad } from '../../../activities/tracker/placement/types';
import { histories } from '../../support/simulate';
import { cluster, nodeWith, seenBy, times, type DrawnCluster, type DrawnNode } from './clusters';

type More = Parameters<typeof nodeWith>[2];
/** A node with so much load in pools of ten. */
const of = (name: string, load: number, more?: More): DrawnNode => nodeWith(name, times(load / 10, 10), more);
const asks = (self: NodeLoad, ...peers: NodeLoad[]) => askFor([self, ...peers]);
const from = (ask: ReturnType<typeof askFor>): Record<string, number> | undefined =>
  ask && Object.fromEntries([...ask.from].map(([name, load]) => [name, Math.round(load)]));

test('who has nine tenths of its share is not hungry; who has less asks for all that it lacks', () => {
  expect(asks(of('me', 900), of('a', 1_050), of('b', 1_050))).toBeUndefined();
  const hungry = asks(of('me', 890), of('a', 1_050), of('b', 1_060));
  expect(Object.values(from(hungry)!).reduce((sum, load) => sum + load, 0)).toBe(110);
});

describe('what leaves a drained node comes by itself', () => {
  const beside = (name: string, load: number) =>
    asks(
      nodeWith('me', [], { keeps: new Set(['eve']) }),
      of('a', 2_000),
      nodeWith('drained', times(load / 10, 10), { up: false }, name),
    );

  test('where that is all that is lacking, nothing is asked for', () => {
    expect(beside('eve', 1_000)).toBeUndefined();
    expect(from(beside('eve', 990))).toEqual({ a: 1_000 });
  });

  test('of all that are drained', () => {
    const drained = (name: string) => of(name, 500, { up: false });
    expect(asks(of('me', 0), of('a', 2_000), drained('x'), drained('y'))).toBeUndefined();
    expect(asks(of('me', 0), of('a', 2_000), drained('x'))).toBeDefined();
  });

  test('pools that this node may not keep do not come', () => {
    expect(from(beside('game', 5_000))).toEqual({ a: 1_000 });
  });
});

describe('a fat one, and nobody hungry', () => {
  // The share is 1,000; it has 200 more than the half band allows.
  const fat = of('fat', 1_250);
  const nodes = (wants: Record<string, number> = {}) => {
    const coming = Object.values(wants).reduce((sum, load) => sum + load, 0);
    const d = of('d', 910, { wants: new Map(Object.entries(wants)), coming });
    return [fat, of('a', 940), of('b', 940), of('c', 960), d] as const;
  };
  const askOf = (name: string, wants?: Record<string, number>, refused?: string[]) =>
    from(askFor(seenBy(nodes(wants), name), new Set(refused)));

  test('the emptiest ask, each for what the emptier ones leave', () => {
    expect(['fat', 'a', 'b', 'c', 'd'].map((name) => askOf(name))).toEqual([
      ...[undefined, { fat: 60 }, undefined, undefined, { fat: 140 }],
    ]);
  });

  test('what was asked for is as good as gone, and has its room', () => {
    expect(['a', 'b', 'c'].map((name) => askOf(name, { fat: 140 }))).toEqual([{ fat: 60 }, undefined, undefined]);
    expect(['a', 'b', 'c'].map((name) => askOf(name, { fat: 200 }))).toEqual([undefined, undefined, undefined]);
    // An ask of others makes the fat one no thinner.
    expect(askOf('a', { c: 140 })).toEqual({ fat: 110 });
  });

  test('who has refused is not fat to who asked it, and is to the others', () => {
    expect(askOf('d', {}, ['fat'])).toBeUndefined();
    expect(askOf('a', {}, ['b'])).toEqual({ fat: 60 });
  });

  test('who may keep nothing of it is nobody’s competitor, and does not ask', () => {
    // The share is 1,008. The last one is the emptiest, and all that is too much is of a kind that it may not keep.
    const c = nodeWith('c', times(100, 10), {}, 'game');
    const d = nodeWith('d', times(91, 10), { keeps: new Set(['game']) }, 'game');
    const all = [fat, of('a', 940), of('b', 940), c, d];
    expect(askFor(seenBy(all, 'd'))).toBeUndefined();
    expect(from(askFor(seenBy(all, 'a')))).toEqual({ fat: 120 });
  });

  test('in any cluster: all together ask for no more than the fat ones have too much, and a pool each', () => {
    let askers = 0;
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 92, max: 109 }), { minLength: 3, maxLength: 7 }),
        fc.integer({ min: 112, max: 160 }),
        (counts, most) => {
          const all = [most, ...counts].map((count, at) => of(`n${at}`, count * 10));
          const share = all.reduce((sum, { load }) => sum + load, 0) / all.length;
          fc.pre(all.every(({ load }) => load >= 0.9 * share));
          const tooMuch = all.reduce((sum, { load }) => {
            return sum + (load > (1 + PLACEMENT.band) * share ? load - (1 + PLACEMENT.band / 2) * share : 0);
          }, 0);
          const asked = all.map(({ name }) => [...(askFor(seenBy(all, name))?.from.values() ?? [])]).flat();
          askers += asked.length;
          expect(asked.reduce((sum, load) => sum + load, 0)).toBeLessThanOrEqual(tooMuch + 10 * asked.length + 1e-6);
        },
      ),
      histories(200),
    );
    expect(askers).toBeGreaterThan(0);
  });
});

describe('deep', () => {
  test('givers go below their share where those above it have less than nine tenths of what is lacking', () => {
    // The share is 1,000, and 990 are lacking: nine tenths are 891. One within half the band has nothing to spare.
    expect(asks(of('me', 10), of('a', 1_890), of('b', 1_050), of('c', 1_050))?.deep).toBe(true);
    expect(asks(of('me', 10), of('a', 1_900), of('b', 1_050), of('c', 1_040))?.deep).toBe(false);
    expect(asks(of('me', 10), of('a', 1_830), of('b', 1_060), of('c', 1_100))?.deep).toBe(false);
  });

  test('who has refused, and who is stale, has nothing to spare', () => {
    const cluster: DrawnCluster = [of('me', 0), of('a', 2_000), of('b', 1_000), of('c', 1_000)];
    expect(askFor(cluster)?.deep).toBe(false);
    const ask = askFor(cluster, new Set(['a']));
    expect([ask?.deep, ask?.from.has('a')]).toEqual([true, false]);
    const [me, a, ...rest] = cluster;
    expect(askFor([me, { ...a!, stale: true }, ...rest])?.deep).toBe(true);
  });
});

test('the fullest is asked first, against its weight', () => {
  const nodes: DrawnCluster = [
    nodeWith('me', [], { weight: 0.1 }),
    ...[of('a', 1_400, { weight: 2 }), of('b', 900), nodeWith('c', [], { weight: 2 })],
  ];
  expect(Object.keys(from(askFor(nodes))!)).toEqual(['b']);
  expect(Object.keys(from(askFor(seenBy([...nodes].reverse(), 'me')))!)).toEqual(['b']);
});

test('less than half a pool is lacking: none is asked for of who would be less full then than this node', () => {
  // The share is 350. After that the giver would have 315, and this node 415.
  const me = nodeWith('me', [110, 100, 100]);
  expect(asks(me, nodeWith('a', times(4, 105)), nodeWith('b', times(4, 80)))).toBeUndefined();
});

test('what a drained node will give is no part of the share that makes an ask too much; a pool of its own is', () => {
  const drained = nodeWith('drained', times(10, 100), { up: false });
  const beside = (coming: number) => isTooMuch([nodeWith('me', []), of('a', 1_000), drained], coming, 0);
  expect([beside(525), beside(526)]).toEqual([false, true]);
  const full = (coming: number) => isTooMuch([nodeWith('me', times(10, 100)), of('a', 1_000)], coming, 0);
  expect([full(150), full(151)]).toEqual([false, true]);
});

test('each is measured by its own share: a light node is not hungry, and a heavy one relieves a fat one', () => {
  expect(asks(of('me', 480, { weight: 0.5 }), of('a', 1_010), of('b', 1_010))).toBeUndefined();
  const fat = of('fat', 1_250);
  expect(from(asks(of('me', 1_880, { weight: 2 }), fat, of('b', 940), of('c', 930)))).toEqual({ fat: 200 });
});

test('what others want of a giver is taken off it, but not below its share', () => {
  const ask = (wants: Record<string, number>) => {
    const other = nodeWith('other', [], { wants: new Map(Object.entries(wants)) });
    return from(asks(nodeWith('me', []), nodeWith('a', times(15, 100)), nodeWith('b', times(15, 100)), other));
  };
  expect(ask({ a: 400, b: 350 })).toEqual({ a: 300, b: 400 });
  // All that it has above its share is gone: the other one gives what it has, and then one pool of each in turn.
  expect(ask({ a: 99_999 })).toEqual({ b: 700 });
});

test('equal givers come in another order for each asker, whatever the order of the rows', () => {
  const givers = Array.from({ length: 12 }, (_, at) => nodeWith(`giver${at}`, times(10, 100)));
  const asked = (name: string, peers: DrawnNode[]) =>
    [...(askFor([nodeWith(name, []), ...peers])?.from.keys() ?? [])].sort().join();
  const orders = new Set<string>();
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
    orders.add(asked(name, givers));
    expect(asked(name, [...givers].reverse())).toBe(asked(name, givers));
  }
  expect(orders.size).toBeGreaterThan(4);
});

test('the beyond of an ask is what it brings above the share, and nothing where it brings less', () => {
  fc.assert(
    fc.property(cluster({ nodes: [2, 7] }), (nodes) => {
      const ask = askFor(nodes);
      if (ask) expect(ask.beyond).toBeGreaterThanOrEqual(0);
    }),
    histories(200),
  );
  const beyond = (pool: number) =>
    asks(nodeWith('me', []), nodeWith('a', times(14, pool)), nodeWith('b', times(6, pool)))?.beyond;
  // Six pools and two thirds of one: seven are asked for.
  expect(beyond(100)).toBeCloseTo(100 / 3);
  expect(beyond(9)).toBeCloseTo(3);
});
