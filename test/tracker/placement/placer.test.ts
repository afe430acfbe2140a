/**
 * A node sees and remembers something between the rows: views, hand-overs, asks from both sides, and what it does
 * after an outage.
 */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { Placer, type NodeSettings } from '../../../activities/tracker/placement/placer';
import type { PlacedPool } from '../../../activities/tracker/placement/types';
import type { PlacementRow, WrittenRow } from '../../../activities/tracker/placement/row';
import { SETTINGS } from './settings';

const NOW = 1_700_000_000_000;

const pool = (at: number, size = 100): PlacedPool => ({ id: `eve/${at}`, kind: 'eve', size, members: 100 });
const at = (row: WrittenRow, ms: number): PlacementRow => ({ ...row, at: ms });
const BORN = { hops: 0, waitedMs: 0 };

function node(name: string, pools: PlacedPool[] = [], settings: Partial<NodeSettings> = {}): Placer {
  const placer = new Placer(name, SETTINGS);
  for (const one of pools) placer.offered(one, { hops: 2, waitedMs: 0 }, NOW - 60_000, 0);
  placer.settings = { ...SETTINGS, ...settings };
  return placer;
}
const pools = (count: number, from = 0): PlacedPool[] => Array.from({ length: count }, (_, n) => pool(from + n));
const seen = (placer: Placer, name: string, nowMs: number) => placer.view(nowMs).find((peer) => peer.name === name);

describe('the view', () => {
  test('a row is fresh, then counted and given nothing, then gone', () => {
    const me = node('me');
    me.observe([at(node('peer', pools(2)).row(NOW), NOW)], NOW);
    expect(seen(me, 'peer', NOW + 2_999)).toMatchObject({ load: 200, shifts: 2, stale: false });
    expect(seen(me, 'peer', NOW + 3_000)).toMatchObject({ load: 200, stale: true });
    expect(seen(me, 'peer', NOW + 5_000)).toBeUndefined();
    expect(me.view(NOW).map(({ name }) => name)).toEqual(['me', 'peer']);
  });

  test('what was sent counts at its target until the row of the target shows it', () => {
    const me = node('me', [], { up: false });
    const peer = node('peer');
    me.observe([at(peer.row(NOW), NOW)], NOW);
    expect(me.offered(pool(1), BORN, NOW + 10, 0)).toEqual({ answer: 'redirect', to: 'peer' });
    expect(seen(me, 'peer', NOW + 20)).toMatchObject({ load: 100, shifts: 1 });
    me.taken('eve/1', 'peer', NOW + 100, NOW + 250);
    expect(seen(me, 'peer', NOW + 260)).toMatchObject({ load: 100 });
    peer.offered(pool(1), { hops: 1, waitedMs: 60, from: 'me' }, NOW + 90, 0);
    me.observe([at(peer.row(NOW + 900), NOW + 900)], NOW + 1_000);
    expect(seen(me, 'peer', NOW + 1_000)).toMatchObject({ load: 100, shifts: 1 });
    expect(me.row(NOW + 1_000).out).toEqual([]);
  });

  test('what another one has taken in place of the target is not counted there', () => {
    const me = node('me', [], { up: false });
    me.observe([at(node('peer').row(NOW), NOW), at(node('third').row(NOW), NOW)], NOW);
    const decision = me.offered(pool(1), BORN, NOW + 10, 0);
    const to = decision.answer === 'redirect' ? decision.to : '';
    me.taken('eve/1', to === 'peer' ? 'third' : 'peer', NOW + 100, NOW + 250);
    expect(seen(me, to, NOW + 260)).toMatchObject({ load: 0 });
  });

  test('what a third node has sent to a peer since its row counts there, and what it has sent here counts here', () => {
    const third = node('third', [], { up: false });
    third.observe([at(node('peer').row(NOW), NOW), at(node('me').row(NOW), NOW)], NOW);
    third.offered(pool(1), BORN, NOW + 50, 0);
    third.offered(pool(2), BORN, NOW + 50, 0.99);
    const row = third.row(NOW + 100);
    expect(row.out.map(({ to }) => to).sort()).toEqual(['me', 'peer']);
    const me = node('me');
    me.observe([at(row, NOW + 100), at(node('peer').row(NOW), NOW)], NOW + 200);
    expect(me.view(NOW + 200)[0]).toMatchObject({ load: 100, shifts: 1 });
    expect(seen(me, 'peer', NOW + 200)).toMatchObject({ load: 100, shifts: 1 });
    // The peer's row is from long after: it has it, or will not get it.
    me.observe([at(row, NOW + 100), at(node('peer').row(NOW), NOW + 900)], NOW + 950);
    expect(seen(me, 'peer', NOW + 950)).toMatchObject({ load: 0 });
    // The one that came is not counted twice.
    const mine = row.out.find(({ to }) => to === 'me')!.pool;
    me.offered(pool(Number(mine.split('/')[1])), { hops: 1, waitedMs: 60, from: 'third' }, NOW + 960, 0);
    expect(me.view(NOW + 970)[0]).toMatchObject({ load: 100, shifts: 1 });
  });

  test('a shared queue deals to all: what came here since the row came to the peer as well', () => {
    const me = node('me');
    me.observe([at(node('peer', [], { weight: 0.5 }).row(NOW), NOW)], NOW);
    expect(me.offered(pool(1), BORN, NOW + 10, 0)).toEqual({ answer: 'take' });
    expect(seen(me, 'peer', NOW + 20)).toMatchObject({ load: 50, shifts: 0.5 });
    me.observe([at(node('peer').row(NOW), NOW + 900)], NOW + 1_000);
    expect(seen(me, 'peer', NOW + 1_000)).toMatchObject({ load: 0 });
  });

  test('a row is JSON, and its limits survive that', () => {
    const row = node('peer', pools(1), { places: 7 }).row(NOW);
    const read = JSON.parse(JSON.stringify(row)) as WrittenRow;
    expect(read).toEqual(row);
    const me = node('me');
    me.observe([at(read, NOW)], NOW);
    expect(seen(me, 'peer', NOW)).toMatchObject({ places: 7, loadLimit: Infinity, load: 100 });
  });
});

describe('a newcomer asks, and is given', () => {
  /** Two nodes with ten pools each, and a third that has just come. */
  function three() {
    const [a, b, me] = [node('a', pools(10)), node('b', pools(10, 10)), node('me')];
    const rows = () => [a, b, me].map((one) => at(one.row(NOW), NOW));
    return { a, b, me, rows };
  }

  test('the ask is in its row at once, and its parts bring the newcomer to its share', () => {
    const { me, rows } = three();
    expect(me.observe(rows(), NOW)).toBe(true);
    const { ask, wants } = me.row(NOW);
    expect(Object.keys(ask!.from).sort()).toEqual(['a', 'b']);
    expect(ask!.from.a! + ask!.from.b!).toBeGreaterThanOrEqual(500);
    expect(wants).toEqual(ask!.from);
    expect(me.observe(rows(), NOW + 1_000)).toBe(false);
  });

  test('each giver gives its part, in its part of the flight, and no more for the same ask', () => {
    const { a, me, rows } = three();
    me.observe(rows(), NOW);
    a.observe(rows(), NOW + 100);
    const { from } = me.row(NOW).ask!;
    const moves = a.moves(NOW + 100);
    expect(moves.every(({ to }) => to === 'me')).toBe(true);
    expect(moves).toHaveLength(Math.min(Math.floor(from.a! / 100 + 1e-6), PLACEMENT.poolsInFlight / 2));
    expect(a.pools.size).toBe(10 - moves.length);
    expect(a.moves(NOW + 200)).toEqual([]);
    a.observe(rows(), NOW + 1_100);
    expect(a.moves(NOW + 1_100)).toEqual([]);
  });

  test('a pool that has just come from the asker is not given back to it; others are', () => {
    const { a, me, rows } = three();
    me.observe(rows(), NOW);
    // Somebody moves it by hand while the ask is there; it is the largest, so the first that an ask would take.
    a.offered(pool(77, 101), { hops: 2, waitedMs: 0, from: 'me' }, NOW + 50, 0);
    a.observe(rows(), NOW + 100);
    const given = a.moves(NOW + 100).map((move) => move.pool.id);
    expect(given.length).toBeGreaterThan(0);
    expect(given).not.toContain('eve/77');
  });

  test('a giver whose view shows nothing to give says so after a second and a half', () => {
    const { a, b, me, rows } = three();
    me.observe(rows(), NOW);
    const asked = rows();
    for (const { id } of [...a.pools.values()].slice(0, 8)) a.ended(id);
    a.observe(asked, NOW + 100);
    expect(a.moves(NOW + 100)).toEqual([]);
    expect(a.row(NOW + 200).done).toEqual({});
    expect(a.moves(NOW + 1_600)).toEqual([]);
    const id = me.row(NOW).ask!.id;
    expect(a.row(NOW + 1_600).done).toEqual({ me: id });
    // Both have nothing: the ask is over, and they are left alone for ten seconds.
    b.observe(asked, NOW + 100);
    for (const one of b.pools.keys()) b.ended(one);
    b.moves(NOW + 100);
    b.moves(NOW + 1_600);
    const now = NOW + 2_000;
    const withDone = [
      { ...at(node('a', pools(10)).row(now), now), done: { me: id } },
      { ...at(node('b', pools(10, 10)).row(now), now), done: { me: id } },
    ];
    me.observe(withDone, now);
    expect(me.row(now).ask).toBeNull();
    me.observe(
      withDone.map((row) => ({ ...row, at: now + 9_000 })),
      now + 9_000,
    );
    me.observe(
      withDone.map((row) => ({ ...row, at: now + 9_900 })),
      now + 9_900,
    );
    expect(me.row(now + 9_900).ask).toBeNull();
    me.observe(
      withDone.map((row) => ({ ...row, at: now + 12_000 })),
      now + 12_000,
    );
    expect(me.row(now + 12_000).ask?.id).toBeGreaterThan(id);
  });

  test('an ask to which nothing comes ends after three seconds', () => {
    const { me, rows } = three();
    me.observe(rows(), NOW);
    const later = (ms: number) => rows().map((row) => ({ ...row, at: NOW + ms }));
    for (const ms of [1_000, 2_000, 3_000]) me.observe(later(ms), NOW + ms);
    expect(me.row(NOW + 3_000).ask).not.toBeNull();
    me.observe(later(3_100), NOW + 3_100);
    expect(me.row(NOW + 3_100).ask).toBeNull();
  });

  test('what has come, and what is on its way, is not wanted any more', () => {
    const { a, me, rows } = three();
    me.observe(rows(), NOW);
    a.observe(rows(), NOW + 100);
    const [first, ...others] = a.moves(NOW + 100);
    me.offered(first!.pool, { hops: 1, waitedMs: 60, from: 'a' }, NOW + 200, 0);
    const asked = me.row(NOW + 200).ask!.from.a!;
    expect(me.row(NOW + 200).wants.a).toBeCloseTo(asked - 100);
    me.observe([at(a.row(NOW + 300), NOW + 300), rows()[1]!], NOW + 300);
    expect(me.row(NOW + 300).wants.a ?? 0).toBeCloseTo(asked - 100 * (1 + others.length));
  });

  test('a process that is started anew asks with a greater number', () => {
    const { me, rows } = three();
    me.observe(rows(), NOW);
    const again = node('me');
    again.observe(rows(), NOW + 1);
    expect(again.row(NOW + 1).ask!.id).toBeGreaterThan(me.row(NOW).ask!.id);
  });

  test('who is drained drops its ask, and gives what it has', () => {
    const { me, rows } = three();
    me.observe(rows(), NOW);
    me.settings = { ...SETTINGS, up: false };
    me.observe(rows(), NOW + 100);
    expect(me.row(NOW + 100).ask).toBeNull();
    const { a } = three();
    a.settings = { ...SETTINGS, up: false };
    a.observe(rows(), NOW + 100);
    expect(a.moves(NOW + 100)).toHaveLength(10);
    expect(a.pools.size).toBe(0);
  });
});

describe('hand-overs', () => {
  function drained(count: number) {
    const me = node('me', pools(count), { up: false });
    me.observe([at(node('peer').row(NOW), NOW)], NOW);
    return me;
  }

  test('no more than the flight is on its way, and what was taken makes room for the next', () => {
    const me = drained(40);
    expect(me.moves(NOW + 10)).toHaveLength(PLACEMENT.poolsInFlight);
    expect(me.moves(NOW + 20)).toEqual([]);
    const [first, second] = me.awaited();
    me.taken(first!, 'peer', NOW + 100, NOW + 250);
    me.taken(second!, 'peer', NOW + 100, NOW + 250);
    expect(me.moves(NOW + 260)).toHaveLength(2);
    expect(me.awaited()).toHaveLength(PLACEMENT.poolsInFlight);
  });

  test('members are limited as well', () => {
    const me = node(
      'me',
      pools(5).map((one) => ({ ...one, members: 6_000 })),
      { up: false },
    );
    me.observe([at(node('peer').row(NOW), NOW)], NOW);
    expect(me.moves(NOW + 10)).toHaveLength(2);
    expect(me.moves(NOW + 20)).toEqual([]);
  });

  test('one of which nothing was heard for eight seconds blocks nobody any more', () => {
    const me = drained(40);
    for (const { pool: one } of me.moves(NOW + 10)) me.released(one.id, NOW + 50);
    const later = NOW + 50 + PLACEMENT.handOverMs;
    me.observe([at(node('peer').row(later), later)], later);
    me.observe([at(node('peer').row(later), later + 2_000)], later + 2_000);
    expect(me.moves(later + 2_000)).toHaveLength(PLACEMENT.poolsInFlight);
  });

  test('while they take long, a node takes what it is offered', () => {
    // Full beyond its share, so that it would redirect.
    const offer = (me: Placer, nowMs: number) => me.offered(pool(500), BORN, nowMs, 0).answer;
    const over = () => {
      const me = node('me', pools(20));
      me.observe([at(node('peer').row(NOW), NOW)], NOW);
      return me;
    };
    expect(offer(over(), NOW + 10)).toBe('redirect');
    const slow = over();
    offer(slow, NOW + 10);
    expect(slow.offered(pool(501), BORN, NOW + 600, 0).answer).toBe('take');
    slow.taken('eve/500', 'peer', NOW + 900, NOW + 1_000);
    expect(slow.offered(pool(502), BORN, NOW + 2_000, 0).answer).toBe('take');
    slow.observe([at(node('peer').row(NOW), NOW + 4_000)], NOW + 4_000);
    expect(slow.offered(pool(503), BORN, NOW + 4_100, 0).answer).toBe('redirect');
  });

  test('a pool that comes back to who has sent it stays there', () => {
    const me = node('me', pools(20));
    me.observe([at(node('peer').row(NOW), NOW)], NOW);
    expect(me.offered(pool(500), BORN, NOW + 10, 0).answer).toBe('redirect');
    expect(me.offered(pool(500), { hops: 1, waitedMs: 100 }, NOW + 100, 0).answer).toBe('take');
    expect(me.awaited()).toEqual([]);
  });

  test('a shift that ended otherwise is neither kept nor on its way', () => {
    const me = drained(2);
    const [move] = me.moves(NOW + 10);
    me.ended(move!.pool.id);
    expect(me.awaited()).not.toContain(move!.pool.id);
    me.released('unknown', NOW);
    me.taken('unknown', 'peer', NOW, NOW);
  });
});

describe('an outage of PostgreSQL', () => {
  test('who sees no rows for three seconds gives nothing and asks for nothing, until two seconds after it sees them again', () => {
    const rows = (ms: number) => [at(node('a', pools(20)).row(ms), ms)];
    const me = node('me');
    const giver = node('giver', pools(20), { up: false });
    for (const one of [me, giver]) one.observe(rows(NOW), NOW);
    expect(giver.moves(NOW + 3_100)).toEqual([]);
    const back = NOW + 20_000;
    expect(me.observe(rows(back), back)).toBe(false);
    expect(me.row(back).ask).toBeNull();
    giver.observe(rows(back), back);
    expect(giver.moves(back + 1_900)).toEqual([]);
    for (const ms of [1_000, 2_000]) for (const one of [me, giver]) one.observe(rows(back + ms), back + ms);
    expect(me.row(back + 2_000).ask).not.toBeNull();
    expect(giver.moves(back + 2_000)).not.toEqual([]);
  });

  test('its polls of shared queues open with the first rows, and close while it sees none or is drained', () => {
    const me = node('me');
    expect(me.opensSharedQueues(NOW)).toBe(false);
    me.observe([], NOW);
    expect(me.opensSharedQueues(NOW + 3_000)).toBe(true);
    expect(me.opensSharedQueues(NOW + 3_001)).toBe(false);
    me.observe([], NOW + 9_000);
    expect(me.opensSharedQueues(NOW + 9_000)).toBe(true);
    me.settings = { ...SETTINGS, up: false };
    expect(me.opensSharedQueues(NOW + 9_000)).toBe(false);
  });

  test('it takes what it is offered meanwhile', () => {
    const me = node('me', pools(20));
    me.observe([at(node('peer').row(NOW), NOW)], NOW);
    expect(me.offered(pool(500), BORN, NOW + 3_100, 0).answer).toBe('take');
  });
});

test('a pool that has grown counts with its new size', () => {
  const me = node('me', pools(2));
  me.resized(pool(1, 700));
  me.resized(pool(77, 700));
  expect(me.row(NOW)).toMatchObject({ load: 800, shifts: 2, largest: { size: 700, kind: 'eve' } });
  me.ended('eve/1');
  expect(me.row(NOW)).toMatchObject({ load: 100, shifts: 1, largest: { size: 100, kind: 'eve' } });
});
