/** A node between two rows, at the edges: what it takes, gives, asks for and says, and from which millisecond on. */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { Placer, type NodeSettings } from '../../../activities/tracker/placement/placer';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import type { PlacementRow } from '../../../activities/tracker/placement/row';
import { SETTINGS } from './settings';

const NOW = 1_700_000_000_000;
const { staleMs, settleMs, newcomerMs, poolsInFlight } = PLACEMENT;
const BORN = { hops: 0, waitedMs: 0 };

const pool = (at: number, size = 100, kind = 'eve'): PlacedPool => ({ id: `${kind}/${at}`, kind, size, members: 100 });
const pools = (count: number, from = 0): PlacedPool[] => Array.from({ length: count }, (_, n) => pool(from + n));

function node(name: string, kept: PlacedPool[] = [], over: Partial<NodeSettings> = {}): Placer {
  const placer = new Placer(name, { ...SETTINGS, keeps: new Set(['eve', 'game']) });
  for (const one of kept) placer.offered(one, { hops: 2, waitedMs: 0 }, NOW - 60_000, 0);
  placer.settings = { ...placer.settings, ...over };
  return placer;
}
const set = (placer: Placer, over: Partial<NodeSettings>) => (placer.settings = { ...placer.settings, ...over });
const rowsOf = (nowMs: number, ...nodes: Placer[]): PlacementRow[] =>
  nodes.map((one) => ({ ...one.row(nowMs), at: nowMs }));
const seen = (placer: Placer, name: string, nowMs: number) => placer.view(nowMs).find((peer) => peer.name === name)!;

describe('what it takes', () => {
  /** Far above its share, so that it hands on what it need not take. */
  const full = () => {
    const me = node('me', pools(20));
    me.observe(rowsOf(NOW, node('peer')), NOW);
    return me;
  };
  const answer = (me: Placer, how: Partial<Parameters<Placer['offered']>[1]>, size = 100) =>
    me.offered(pool(500, size), { ...BORN, ...how }, NOW + 10, 0).answer;

  test('what it kept itself comes back to it, whatever its share, and nothing is dealt to its peers by that', () => {
    const me = full();
    expect(answer(me, { from: 'me' })).toBe('take');
    expect(seen(me, 'peer', NOW + 20)).toMatchObject({ load: 0, shifts: 0 });
    expect(answer(full(), { from: 'other' })).toBe('redirect');
  });

  test('only what comes by a shared queue, for the first time, was dealt to all', () => {
    const dealt = (how: Partial<Parameters<Placer['offered']>[1]>) => {
      const me = node('me');
      me.observe(rowsOf(NOW, node('peer')), NOW);
      expect(answer(me, how)).toBe('take');
      return seen(me, 'peer', NOW + 20).load;
    };
    expect(dealt({})).toBe(100);
    expect(dealt({ hops: 1 })).toBe(0);
    expect(dealt({ from: 'other' })).toBe(0);
  });

  test('what was dealt to all is remembered until the rows show it', () => {
    const me = node('me');
    me.observe(rowsOf(NOW, node('peer')), NOW);
    expect(answer(me, {})).toBe('take');
    me.observe(rowsOf(NOW, node('peer')), NOW + 900);
    expect(seen(me, 'peer', NOW + 900).load).toBe(100);
    me.observe(rowsOf(NOW + 950, node('peer')), NOW + 1_000);
    expect(seen(me, 'peer', NOW + 1_000).load).toBe(0);
  });

  test('what it has asked for it takes, though it is larger than its share', () => {
    const givers = [node('a', [pool(1, 300), pool(2, 300)]), node('b', [pool(3, 300), pool(4, 300)])];
    const me = node('me', [], { weight: 0.5 });
    expect(me.observe(rowsOf(NOW, ...givers), NOW)).toBe(true);
    const asked = Object.keys(me.row(NOW).ask!.from)[0]!;
    expect(me.offered(pool(1, 900), { hops: 1, waitedMs: 60, from: asked }, NOW + 10, 0).answer).toBe('take');
    const other = node('me', [], { weight: 0.5 });
    other.observe(rowsOf(NOW, ...givers), NOW);
    expect(other.offered(pool(1, 900), { hops: 1, waitedMs: 60, from: 'c' }, NOW + 10, 0).answer).toBe('redirect');
  });

  test('the pool that it decides about is not also on its way to it', () => {
    const third = node('third', [], { up: false });
    const me = node('me', pools(9));
    third.observe(rowsOf(NOW, me, node('peer', pools(9, 50))), NOW);
    expect(third.offered(pool(500), BORN, NOW, 0)).toEqual({ answer: 'redirect', to: 'me' });
    me.observe(rowsOf(NOW, third, node('peer', pools(9, 50))), NOW);
    expect(me.view(NOW)[0]).toMatchObject({ load: 1_000, shifts: 10 });
    expect(me.view(NOW, 'eve/500')[0]).toMatchObject({ load: 900, shifts: 9 });
  });
});

describe('what it gives', () => {
  test('what is above its places, the largest first, and no more', () => {
    const me = node('me', [pool(1, 50), pool(2, 70), pool(3, 60)], { places: 1 });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    expect(me.moves(NOW).map((move) => [move.pool.id, move.to])).toEqual([
      ...[
        ['eve/2', 'peer'],
        ['eve/3', 'peer'],
      ],
    ]);
    expect(me.moves(NOW)).toEqual([]);
  });

  test('for an ask as much as was asked for, however much it has, also when that has arrived', () => {
    const me = node('me', pools(20));
    const asker = (nowMs: number) =>
      rowsOf(nowMs, node('asker')).map((row) => ({ ...row, ask: { id: 1, from: { me: 300 }, deep: false } }));
    me.observe(asker(NOW), NOW);
    const moves = me.moves(NOW);
    expect(moves).toHaveLength(3);
    for (const move of moves) {
      me.released(move.pool.id, NOW + 10);
      me.taken(move.pool.id, 'asker', NOW + 60, NOW + 100);
    }
    me.observe(asker(NOW + 50), NOW + 150);
    expect(me.moves(NOW + 150)).toEqual([]);
  });

  test('all that it has, where it may keep nothing of it any more', () => {
    const me = node('me', [pool(1), pool(2)], { keeps: new Set(['game']) });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    expect(me.moves(NOW)).toHaveLength(2);
  });

  test('its part of the flight is that of all that must go: of each kind, and of each place that is missing', () => {
    const kinds = [...pools(10), ...Array.from({ length: 30 }, (_, at) => pool(at, 100, 'game'))];
    const me = node('me', kinds, { up: false });
    me.observe(rowsOf(NOW, node('other', pools(40, 100), { up: false }), node('peer')), NOW);
    expect(me.moves(NOW)).toHaveLength(poolsInFlight / 2);
    const many = node('me', pools(13), { places: 1 });
    many.observe(rowsOf(NOW, node('other', pools(20, 100), { places: 19 }), node('peer')), NOW);
    // Twelve of thirteen.
    expect(many.moves(NOW)).toHaveLength(12);
  });

  test('what it may not keep any more, and nothing else', () => {
    const me = node('me', [pool(1), pool(2, 100, 'game')], { keeps: new Set(['game']) });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    expect(me.moves(NOW).map((move) => move.pool.id)).toEqual(['eve/1']);
    expect(me.moves(NOW)).toEqual([]);
  });

  test('two that are drained at once share what may be on its way; so do two that are over their places', () => {
    const target = node('peer');
    for (const over of [{ up: false }, { places: 0 }]) {
      const [me, other] = [node('me', pools(40), over), node('other', pools(40, 100), over)];
      me.observe(rowsOf(NOW, other, target), NOW);
      expect(me.moves(NOW)).toHaveLength(poolsInFlight / 2);
      // One beside a node that only has to give a quarter of what it must itself.
      const [most, few] = [node('me', pools(36), over), node('other', pools(12, 100), over)];
      most.observe(rowsOf(NOW, few, target), NOW);
      expect(most.moves(NOW)).toHaveLength((poolsInFlight * 3) / 4);
    }
  });

  test('the smallest part of what is asked for is one pool, and the next only when that has arrived', () => {
    const me = node('me', pools(6));
    const ask = { id: 1, from: { me: 500, other: 100_000 }, deep: false };
    const asker = () => rowsOf(NOW, node('asker')).map((row) => ({ ...row, ask, wants: { me: 500 } }));
    me.observe(asker(), NOW);
    const [first, ...more] = me.moves(NOW);
    expect([first!.to, more.length]).toEqual(['asker', 0]);
    me.observe(asker(), NOW);
    expect(me.moves(NOW)).toEqual([]);
    me.released(first!.pool.id, NOW + 10);
    me.taken(first!.pool.id, 'asker', NOW + 60, NOW + 100);
    expect(me.moves(NOW + 100)).toHaveLength(1);
  });

  test('a pool whose shift cannot end holds up the others for eight seconds, and is on its way all the time', () => {
    const me = node('me', pools(40), { up: false });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    expect(me.moves(NOW)).toHaveLength(poolsInFlight);
    const later = (ms: number) => {
      me.observe(rowsOf(NOW + ms, node('peer')), NOW + ms);
      return me.moves(NOW + ms).length;
    };
    for (const ms of [2_000, 4_000, 6_000, PLACEMENT.handOverMs - 1]) expect(later(ms)).toBe(0);
    expect(later(PLACEMENT.handOverMs)).toBe(poolsInFlight);
    expect(me.row(NOW + 9_000).out.map(({ sentAt }) => sentAt)).toContain(NOW + 9_000);
    expect(me.awaited()).toHaveLength(2 * poolsInFlight);
  });

  test('what was taken, and whose target has died since, is forgotten', () => {
    const me = node('me', pools(1), { up: false });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    const [move] = me.moves(NOW);
    me.released(move!.pool.id, NOW + 10);
    me.taken(move!.pool.id, 'peer', NOW + 60, NOW + 100);
    me.observe([], NOW + 1_000);
    expect(me.row(NOW + 1_000).out).toEqual([]);
  });

  test('one of which nothing is heard is forgotten after eight seconds', () => {
    const me = node('me', pools(1), { up: false });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    const [move] = me.moves(NOW);
    me.released(move!.pool.id, NOW + 10);
    me.observe(rowsOf(NOW + 5_000, node('peer')), NOW + 10 + PLACEMENT.handOverMs - 1);
    expect(me.row(NOW + 8_000).out).toHaveLength(1);
    me.observe(rowsOf(NOW + 5_000, node('peer')), NOW + 10 + PLACEMENT.handOverMs);
    expect([me.row(NOW + 9_000).out, me.awaited()]).toEqual([[], []]);
  });
});

describe('newcomers', () => {
  /** Two pools of its own, two that came from a peer, and that peer asks for all that it can have. */
  function moved(peerIs: Partial<NodeSettings> = {}) {
    const me = node('me', pools(2));
    for (const at of [10, 11]) me.offered(pool(at, 101), { hops: 2, waitedMs: 0, from: 'peer' }, NOW, 0);
    const asks = (nowMs: number, id: number) =>
      rowsOf(nowMs, node('peer')).map((row) => ({ ...row, ask: { id, from: { me: 101 }, deep: false } }));
    const given = (nowMs: number, id = 1) => {
      me.observe(asks(nowMs, id), nowMs);
      return me.moves(nowMs).map((move) => move.pool.id);
    };
    const look = (nowMs: number) => me.observe(rowsOf(nowMs, node('peer', [], peerIs)), nowMs);
    return { me, given, look };
  }
  const ITS_OWN = [expect.stringMatching(/^eve\/[01]$/)];
  const CAME = [expect.stringMatching(/^eve\/1[01]$/)];

  test('for five seconds the node that they came from is given others for asking, and then the best', () => {
    const early = moved();
    for (const ms of [1_000, 3_000]) early.look(NOW + ms);
    expect(early.given(NOW + newcomerMs - 1)).toEqual(ITS_OWN);
    const late = moved();
    for (const ms of [1_000, 3_000]) late.look(NOW + ms);
    expect(late.given(NOW + newcomerMs)).toEqual(CAME);
  });

  test('a node that is drained, ends, and is there again a moment later gets its pools back for asking', () => {
    const { given, look } = moved({ up: false });
    look(NOW + 500);
    expect(given(NOW + 2_000)).toEqual(CAME);
  });

  test('and so does one that is killed: its row is gone', () => {
    const { me, given } = moved();
    me.observe([], NOW + 500);
    expect(given(NOW + 2_000)).toEqual(CAME);
  });

  test('a drained node gives them as any other: also to the node that they came from', () => {
    const { me } = moved();
    me.observe(rowsOf(NOW, node('peer')), NOW);
    set(me, { up: false });
    expect(me.moves(NOW)).toHaveLength(4);
  });
});

test('three seconds without rows are none; more than that, and it neither gives nor asks for two seconds', () => {
  const gives = (gapMs: number, afterMs: number) => {
    const me = node('me', pools(4), { up: false });
    me.observe(rowsOf(NOW, node('peer')), NOW);
    me.observe(rowsOf(NOW + gapMs, node('peer')), NOW + gapMs);
    return me.moves(NOW + gapMs + afterMs).length > 0;
  };
  expect(gives(staleMs, 0)).toBe(true);
  expect(gives(staleMs + 1, settleMs - 1)).toBe(false);
  expect(gives(staleMs + 1, settleMs)).toBe(true);
});

test('while it sees no rows it does not tell an asker that it has nothing', () => {
  const me = node('me', pools(4));
  me.observe(
    rowsOf(NOW, node('asker')).map((row) => ({ ...row, ask: { id: 1, from: { me: 200 }, deep: false } })),
    NOW,
  );
  for (let ms = staleMs + 1; ms < 3 * staleMs; ms += 250) expect(me.moves(NOW + ms)).toEqual([]);
  expect(me.row(NOW + 3 * staleMs).done).toEqual({});
});

test('its row says what it keeps, by kind, what limits it, and what it may keep, in an order that does not change', () => {
  const me = node('me', [pool(1), pool(2, 50, 'game'), pool(3)], {
    places: 9,
    loadLimit: 800,
    hot: true,
    cutOff: true,
  });
  expect(me.row(NOW)).toEqual({
    ...{ name: 'me', load: 250, shifts: 3, loads: { eve: 200, game: 50 }, largest: { size: 100, kind: 'eve' } },
    ...{ weight: 1, places: 9, loadLimit: 800, keeps: ['eve', 'game'], up: true, hot: true, cutOff: true },
    ...{ out: [], ask: null, wants: {}, done: {}, reads: {}, writes: {} },
  });
  set(me, { keeps: new Set(['game', 'eve']), places: Infinity, loadLimit: Infinity });
  expect(me.row(NOW)).toMatchObject({ keeps: ['eve', 'game'], places: null, loadLimit: null });
});
