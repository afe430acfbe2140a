/**
 * Nodes whose code is of different releases: who may take, and who is given, a pool whose members have states of some
 * version. Pure.
 */
import { knownStates } from '../../../activities/tracker/member/loading';
import { canRead, mayBeGiven } from '../../../activities/tracker/placement/nodes';
import { askFor } from '../../../activities/tracker/placement/asks';
import { Placer } from '../../../activities/tracker/placement/placer';
import { previewBalance } from '../../../activities/tracker/placement/preview';
import { mayTake, type Offer } from '../../../activities/tracker/placement/take';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import { nodeWith, times, withPools } from './clusters';
import { SETTINGS } from './settings';

const NOW = 1_700_000_000_000;
const pool: PlacedPool = { id: 'eve/3', kind: 'eve', size: 10, members: 0, states: 3 };
const BORN: Offer = { hops: 0, waitedMs: 0, cameBack: false, asked: false, jammed: false, retried: false };
const reading = (name: string, reads: number | undefined, load: number[] = [], more = {}) =>
  nodeWith(name, load, { reads: reads === undefined ? {} : { eve: reads }, ...more });
const silent = (name: string) => nodeWith(name, []);

describe('a pool that was offered to a node that cannot read its states', () => {
  const me = reading('me', 1);
  const answer = (offer: Partial<Offer>, ...peers: (typeof me)[]) => {
    const decision = mayTake([me, ...peers], pool, { ...BORN, ...offer }, 0);
    return decision.answer === 'redirect' ? decision.to : decision.answer;
  };

  test.each<Partial<Offer>>([{}, { hops: 5 }, { retried: true }, { cameBack: true, hops: 1 }, { jammed: true }])(
    'goes to the one that can, however it has come: %j',
    (offer) => {
      expect(answer(offer, reading('old', 2), reading('new', 3))).toBe('new');
      expect(answer(offer, reading('old', 2), reading('new', 4, times(9, 100)))).toBe('new');
    },
  );

  test('to the one that lacks most', () => {
    expect(answer({}, reading('fuller', 3, [50]), reading('emptier', 4, [40]))).toBe('emptier');
  });

  test('to one at its target, where nobody else can', () => {
    const full = reading('full', 3, [1, 1], { places: 2 });
    expect(answer({}, full)).toBe('full');
    expect(answer({}, full, reading('new', 3, times(9, 100)))).toBe('new');
  });

  test('to nobody that may not keep it, nor to one that does not say what it reads', () => {
    expect(answer({}, reading('drained', 3, [], { up: false }))).toBe('nobody');
    expect(answer({}, reading('cut off', 3, [], { stale: true }))).toBe('nobody');
    expect(answer({}, reading('without its label', 3, [], { keeps: new Set(['eve@gpu']) }))).toBe('nobody');
    expect(answer({}, silent('of an earlier release'), reading('without code', undefined))).toBe('nobody');
  });
});

test('a node that can read it sends it to nobody who cannot, however much it has', () => {
  const me = reading('me', 3, times(9, 100));
  expect(mayTake([me, reading('old', 2), reading('without code', undefined)], pool, BORN, 0)).toEqual({
    answer: 'take',
  });
  expect(mayTake([me, reading('old', 2), reading('new', 3)], pool, BORN, 0)).toEqual({ answer: 'redirect', to: 'new' });
  expect(mayTake([me, reading('old', 2)], { ...pool, states: 2 }, BORN, 0)).toEqual({ answer: 'redirect', to: 'old' });
});

test('a node without code for the members leaves it to one that has it, and keeps it where there is none', () => {
  const me = reading('me', undefined);
  const offered = (offer: Partial<Offer>) =>
    mayTake([me, reading('new', 3, times(9, 100))], pool, { ...BORN, ...offer }, 0);
  for (const offer of [{}, { retried: true }]) expect(offered(offer)).toEqual({ answer: 'redirect', to: 'new' });
  // That one has not taken it.
  for (const offer of [{ hops: 2 }, { cameBack: true }]) expect(offered(offer)).toEqual({ answer: 'take' });
  expect(mayTake([me, reading('old', 2)], pool, BORN, 0)).toEqual({ answer: 'take' });
  expect(mayTake([{ ...me, up: false }, reading('old', 2)], pool, BORN, 0)).toEqual({ answer: 'nobody' });
});

test.each([
  ['older', { eve: 2 }, false],
  ['as new', { eve: 3 }, true],
  ['newer', { eve: 4 }, true],
  ['without code for the members', {}, false],
  ['with code for those of another tracker, whose name begins alike', { 'eve-2': 9 }, false],
  ['of a release that does not say', undefined, true],
])('given by its keeper to a node that is %s', (_what, reads, isGiven) => {
  const node = nodeWith('n', [], { reads });
  expect(mayBeGiven(node, pool)).toBe(isGiven);
  expect(mayBeGiven({ ...node, keeps: new Set(['eve@gpu']) }, { ...pool, kind: 'eve@gpu' })).toBe(isGiven);
  expect(canRead(node, { ...pool, states: 0 })).toBe(true);
  expect(canRead(node, { ...pool, states: undefined })).toBe(true);
});

test('what a node keeps has the states that it came with, and those that its code writes', () => {
  const states = (came: number | undefined, version: number, down = {}) => {
    const placer = new Placer('me', SETTINGS, knownStates([['eve', { version, migrate: {}, down }]]));
    placer.offered({ ...pool, states: came }, { hops: 0, waitedMs: 0 }, NOW, 0);
    // Its members have changed, which says nothing of their states.
    placer.resized({ ...pool, states: undefined, size: 20 });
    return placer.pools.get(pool.id);
  };
  const same = (state: unknown): unknown => state;
  expect(states(undefined, 2)).toMatchObject({ states: 2, size: 20 });
  expect(states(1, 2)).toMatchObject({ states: 2 });
  // Read by its way back, and not yet written.
  expect(states(3, 2, { 3: same })).toMatchObject({ states: 3 });
});

test('a way back makes a newer state readable, not a gap in it', () => {
  const same = (state: unknown): unknown => state;
  const { reads, writes } = knownStates([
    ['plain', { version: 2, migrate: {}, down: {} }],
    ['back', { version: 2, migrate: {}, down: { 3: same, 4: same } }],
    ['gap', { version: 2, migrate: {}, down: { 4: same } }],
  ]);
  expect(reads).toEqual({ plain: 2, back: 4, gap: 2 });
  expect(writes).toEqual({ plain: 2, back: 2, gap: 2 });
});

test('the preview of balancing gives older code nothing that it cannot read, and says what is stuck', () => {
  const mine = Array.from({ length: 6 }, (_, at) => ({ ...pool, id: `eve/${at}`, states: at < 4 ? 3 : 0 }));
  const preview = (more: object) => {
    const nodes = [withPools(reading('new', 3, [], more), mine), reading('old', 2)];
    return previewBalance(nodes.map((node) => ({ node, pools: node.pools })));
  };
  const balanced = preview({});
  expect(balanced.moves.map(({ pool: { id }, to }) => [id, to]).sort()).toEqual([
    ['eve/4', 'old'],
    ['eve/5', 'old'],
  ]);
  expect(balanced.stuck).toEqual([]);
  expect(preview({ up: false }).stuck.map(({ id }) => id)).toEqual(['eve/0', 'eve/1', 'eve/2', 'eve/3']);
});

describe('asks among releases', () => {
  const release = (name: string, version: number, pools: number, more = {}) =>
    nodeWith(name, times(pools, 10), { reads: { eve: version }, writes: { eve: version }, ...more });

  test('a node of the newer code asks another one of it for half, whatever an older one lacks', () => {
    expect(askFor([release('b', 2, 4), release('a', 2, 8), release('old', 1, 0)])?.from).toEqual(new Map([['a', 20]]));
  });

  test('an older node asks nobody for what it cannot read', () => {
    expect(askFor([release('old', 1, 0), release('a', 2, 6), release('b', 2, 6)])).toBeUndefined();
    const ask = askFor([release('old', 1, 0), release('a', 2, 9), release('older', 1, 4)]);
    expect(ask?.from).toEqual(new Map([['older', 20]]));
  });

  test('an older node does not wait for what a drained newer one gives to others', () => {
    const drained = release('a', 2, 9, { up: false });
    expect(askFor([release('old', 1, 0), drained, release('older', 1, 4)])?.from).toEqual(new Map([['older', 20]]));
  });
});
