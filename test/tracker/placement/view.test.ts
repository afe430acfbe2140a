/** The cluster as one node sees it: what the rows say, what has come since, and for how long that is believed. */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { retimed, type HandOver, type PlacementRow, type WrittenRow } from '../../../activities/tracker/placement/row';
import type { NodeLoad } from '../../../activities/tracker/placement/types';
import { viewOf, type OwnView } from '../../../activities/tracker/placement/view';
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';
import { nodeWith } from './clusters';

const NOW = 1_700_000_000_000;
const { staleMs, goneMs, handOverMs, clockErrorMs } = PLACEMENT;

const row = (name: string, more: Partial<PlacementRow> = {}): PlacementRow => ({
  ...{ name, at: NOW, load: 100, shifts: 1, loads: { eve: 100 }, largest: { size: 100, kind: 'eve' }, weight: 1 },
  ...{ places: null, loadLimit: null, keeps: ['eve'], up: true, hot: false, cutOff: false },
  ...{ out: [], ask: null, wants: {}, done: {} },
  ...more,
});
const own = (more: Partial<OwnView> = {}): OwnView => ({
  ...{ node: nodeWith('me', []), knows: () => false, sent: [], tookShared: [] },
  ...more,
});
const sent = (to: string, sentAt: number, kind = 'eve'): HandOver => ({ pool: 'p/1', to, size: 40, kind, sentAt });
const seen = (rows: PlacementRow[], name = 'a', mine = own(), now = NOW): NodeLoad | undefined =>
  viewOf(mine, rows, now).find((node) => node.name === name);

test('a row of the future is as old as one of the past: a node that is gone does not live on after a failover', () => {
  const at = (ms: number) => seen([row('a', { at: NOW + ms })])?.stale;
  for (const sign of [1, -1]) {
    expect([staleMs - 1, staleMs, goneMs - 1, goneMs].map((ms) => at(sign * ms))).toEqual([
      ...[false, true, true, undefined],
    ]);
  }
});

test('what is on its way here counts until it should have come, by its kind', () => {
  const arriving = (sentAt: number, now = NOW) =>
    viewOf(own(), [row('a', { at: now, out: [sent('me', sentAt, 'game')] })], now)[0];
  expect(arriving(NOW - handOverMs + 1)).toMatchObject({ load: 40, shifts: 1, loads: new Map([['game', 40]]) });
  expect(arriving(NOW - handOverMs)).toMatchObject({ load: 0, shifts: 0, loads: new Map() });
});

test('what others have sent to a peer counts unless its row is surely newer', () => {
  const at = (sentAt: number) => seen([row('a'), row('b', { out: [sent('a', sentAt, 'game')] })])!;
  expect(at(NOW - clockErrorMs + 1)).toMatchObject({ load: 140, shifts: 2 });
  expect(at(NOW - clockErrorMs + 1).loads).toEqual(new Map(Object.entries({ eve: 100, game: 40 })));
  expect(at(NOW - clockErrorMs)).toMatchObject({ load: 100, shifts: 1 });
});

test('what this node has sent counts at its target until the target’s row is from after the taking', () => {
  const taken = (takenAt?: number) =>
    seen([row('a')], 'a', own({ sent: [{ ...sent('a', NOW - 900), takenAt }] }))!.load;
  expect([taken(undefined), taken(NOW + 1), taken(NOW), taken(NOW - 1)]).toEqual([140, 140, 100, 100]);
  expect(seen([row('a'), row('b')], 'b', own({ sent: [sent('a', NOW)] }))!.load).toBe(100);
});

test('what a shared queue has dealt here it has dealt to each peer that takes such, by their weights', () => {
  const mine = own({ node: nodeWith('me', [], { weight: 2 }), tookShared: [{ at: NOW + 1, kind: 'eve', size: 50 }] });
  expect(seen([row('a')], 'a', mine)).toMatchObject({ load: 125, shifts: 1.5, loads: new Map([['eve', 125]]) });
  expect(seen([row('a', { weight: 4 })], 'a', mine)).toMatchObject({ load: 200, shifts: 3 });
  for (const not of [{ up: false }, { keeps: ['game'] }, { at: NOW - staleMs }, { at: NOW + 1 }])
    expect(seen([row('a', not)], 'a', mine)).toMatchObject({ load: 100, shifts: 1 });
});

test('a row is read as it is: limits, wants, what it waits for, and whether it can take anything', () => {
  const full = seen([row('a', { places: 3, loadLimit: 500, wants: { b: 20, c: 30 }, hot: true, keeps: ['eve', 'x'] })]);
  expect(full).toMatchObject({ places: 3, loadLimit: 500, coming: 50, hot: true, up: true, stale: false });
  expect([full!.wants, full!.keeps]).toEqual([new Map(Object.entries({ b: 20, c: 30 })), new Set(['eve', 'x'])]);
  expect(seen([row('a')])).toMatchObject({ places: Infinity, loadLimit: Infinity, coming: 0, weight: 1 });
  expect(seen([row('a', { largest: null })])!.largest).toBeUndefined();
  expect(seen([row('a', { cutOff: true })])!.stale).toBe(true);
  // Its own row is one that it wrote a second ago.
  expect(viewOf(own(), [row('me')], NOW)).toHaveLength(1);
});

test('a row by another clock has all its times by that, and nothing else', () => {
  const read = row('a', { out: [sent('b', NOW - 100)], ask: { id: NOW, from: { b: 5 }, deep: true } });
  const moved = retimed(read, (ms) => ms - 60_000);
  expect(moved).toEqual({ ...read, at: NOW - 60_000, out: [sent('b', NOW - 60_100)] });
  // A row that a node writes has no time of its own yet.
  const written: WrittenRow = { ...read, ...{ at: undefined } };
  expect(retimed(written, (ms) => ms)).toEqual(written);
});

/** Random rows and memories: whatever adds up, the parts are the whole, and nobody has less than its row says. */
function look(seed: number): void {
  const draw = new Draws(seed);
  const names = ['a', 'b', 'c', 'd'].slice(0, draw.whole(1, 4));
  const kinds = ['eve', 'game'];
  const time = (): number => NOW + draw.one([0, -1, -300, -clockErrorMs, -2_999, -7_000, 1, 400]);
  const out = (): HandOver[] =>
    Array.from({ length: draw.whole(0, 3) }, () => ({
      ...{ pool: `p/${draw.whole(0, 9)}`, to: draw.one([...names, 'me']), size: draw.size(1, 900) },
      ...{ kind: draw.one(kinds), sentAt: time() },
    }));
  const rows = names.map((name) => {
    const loads = Object.fromEntries(kinds.map((kind) => [kind, draw.size(1, 900)]));
    const load = loads.eve! + loads.game!;
    return row(name, { at: time(), load, loads, shifts: 2, weight: draw.one([0.5, 1, 2]), out: out(), keeps: kinds });
  });
  const tookShared = [{ at: time(), kind: draw.one(kinds), size: draw.size(1, 900) }];
  const view = viewOf(own({ sent: out(), tookShared, knows: (pool) => pool === 'p/1' }), rows, NOW);
  expect(view[0].name).toBe('me');
  for (const node of view) {
    const sum = [...node.loads.values()].reduce((total, load) => total + load, 0);
    expect(node.load).toBeCloseTo(sum, 6);
    const read = rows.find(({ name }) => name === node.name);
    if (read) expect(node.load >= read.load && node.shifts >= read.shifts).toBe(true);
  }
  const live = rows.filter(({ at }) => Math.abs(NOW - at) < goneMs);
  expect(view.map(({ name }) => name)).toEqual(['me', ...live.map(({ name }) => name)]);
  const arriving = live.flatMap((one) => one.out).filter(({ to, pool }) => to === 'me' && pool !== 'p/1');
  const young = arriving.filter(({ sentAt }) => NOW - sentAt < handOverMs);
  expect(view[0].load).toBeCloseTo(
    young.reduce((sum, { size }) => sum + size, 0),
    6,
  );
}

simulate('the parts of a view are its whole, whatever the rows say', look, { histories: 300 });
