/** The pools that a node may keep, and its weight: by wishes, trackers, labels, lag and crashes. Pure. */
import { Minute, Growth } from '../../activities/tracker/shift/last-minute';
import { Settings } from '../../activities/tracker/shift/node-settings';
import { hasRoom, stuckPools, wantedNodesOf } from '../../activities/tracker/shift/cluster-sight';
import { poolOf } from '../../activities/tracker/placement/types';
import { placedPool } from '../../activities/tracker/shift/placed-pool';
import { readFigures } from '../../activities/tracker/store/node-use';
import type { Cluster, NodeLoad } from '../../activities/tracker/placement/types';
import { rowOf } from './shift-kit';
import { trackerOf } from './nodes-kit';

const wishes = { drained: false, drainedFor: [] as string[], target: null as number | null, weight: 1 };
const settings = (labels: string[] = []) => new Settings(new Set(['eve', 'gpus', 'far']), new Set(labels));
const kinds = (of: Settings) => [...of.current().keeps].sort();

describe('settings', () => {
  test('its own trackers, where it has their label and is not drained for them', () => {
    const mine = settings(['gpu']);
    mine.know(
      new Map([
        ['eve', undefined],
        ['gpus', 'gpu'],
        ['far', 'tpu'],
        ['others', undefined],
      ]),
    );
    expect(kinds(mine)).toEqual(['eve', 'gpus@gpu']);
    expect(mine.lacks).toEqual(['others']);
    mine.learn('far', 'gpu');
    mine.wish({ ...wishes, drainedFor: ['eve'] });
    expect(kinds(mine)).toEqual(['far@gpu', 'gpus@gpu']);
  });

  test('a target bounds its pools, no target does not; drained or leaving it is not up', () => {
    const mine = settings();
    expect(mine.current()).toMatchObject({ places: Infinity, up: true, weight: 1, hot: false });
    mine.wish({ ...wishes, target: 0, weight: 3 });
    expect(mine.current()).toMatchObject({ places: 0, up: true, weight: 3 });
    mine.wish({ ...wishes, drained: true });
    expect(mine.current().up).toBe(false);
    mine.wish(wishes);
    mine.leave(true);
    expect(mine.current().up).toBe(false);
  });

  test('a lag for some seconds makes it hot and lighter; two crashes halve it until they are forgotten', () => {
    const mine = settings();
    for (let second = 0; second <= 6; second++) mine.feel(400, true, 0, 600_000, second * 1_000);
    expect(mine.current()).toMatchObject({ hot: true, weight: 0.8 });
    const crashed = settings();
    crashed.feel(0, true, 2, 1_000, 0);
    expect(crashed.current().weight).toBe(0.5);
    crashed.feel(0, true, 2, 5 * 60_000, 0);
    expect(crashed.current().weight).toBe(1);
  });
});

const node = (over: Partial<NodeLoad> = {}): NodeLoad => ({
  name: 'me',
  load: 0,
  shifts: 0,
  loads: new Map(),
  weight: 1,
  places: Infinity,
  loadLimit: Infinity,
  keeps: new Set(['eve']),
  up: true,
  stale: false,
  hot: false,
  coming: 0,
  wants: new Map(),
  ...over,
});

describe('the picture of the cluster', () => {
  test.each<[string, Partial<NodeLoad>, Partial<NodeLoad> | undefined, boolean]>([
    ['alone', {}, undefined, true],
    ['drained', { up: false }, undefined, false],
    ['at its target, another has room', { shifts: 2, places: 2 }, {}, false],
    ['at its target, as all are', { shifts: 2, places: 2 }, { shifts: 1, places: 1 }, true],
    ['behind, another is not', { hot: true }, {}, false],
    [
      'at its target, the other may keep something else only',
      { shifts: 2, places: 2 },
      { keeps: new Set(['far']) },
      true,
    ],
    ['behind, the other may not keep all of it', { hot: true, keeps: new Set(['eve', 'eve@gpu']) }, {}, true],
    ['behind, the other may keep more', { hot: true }, { keeps: new Set(['eve', 'eve@gpu']) }, false],
    ['behind, and the other is drained', { hot: true }, { up: false }, true],
    ['at its target, and the other reads no states', { shifts: 2, places: 2, reads: { eve: 1 } }, {}, true],
    [
      'at its target, and the other reads older ones',
      { shifts: 2, places: 2, reads: { eve: 2 } },
      { reads: { eve: 1 } },
      true,
    ],
    [
      'at its target, and the other reads as new ones',
      { shifts: 2, places: 2, reads: { eve: 2 } },
      { reads: { eve: 2 } },
      false,
    ],
    ['at its target, and the other reads newer ones', { hot: true, reads: { eve: 2 } }, { reads: { eve: 3 } }, false],
    ['behind, and nothing was heard of the other', { hot: true }, { stale: true }, true],
  ])('room: %s', (_what, self, peer, room) => {
    const cluster: Cluster = peer ? [node(self), node({ name: 'peer', ...peer })] : [node(self)];
    expect(hasRoom(cluster)).toBe(room);
  });

  test('pools that must leave and that nobody else may keep', () => {
    const pools = [
      placedPool(rowOf(trackerOf('eve')), 0, { members: 1 }),
      placedPool(rowOf(trackerOf('far')), 1, { members: 1 }),
    ];
    const peer = node({ name: 'peer' });
    expect(stuckPools([node(), peer], pools)).toEqual(['far/1']);
    expect(stuckPools([node({ up: false }), peer], pools)).toEqual(['far/1']);
    expect(stuckPools([node({ up: false }), { ...peer, stale: true }], pools)).toEqual(['eve/0', 'far/1']);
  });

  test('nodes that are wanted: by the limit that each meets first, also of those that do not say how they do', () => {
    const cluster: Cluster = [node({ shifts: 9, places: 10 }), node({ name: 'peer', shifts: 14, places: 10 })];
    expect(wantedNodesOf(cluster, [], 0)).toBe(4);
    expect(wantedNodesOf([node({ places: 0 })], [], 0.2)).toBe(1);
  });
});

test('a pool: its load by the configuration, its name back from its id', () => {
  const row = rowOf(trackerOf('eve'));
  expect(placedPool(row, 7, { members: 100 })).toEqual({ id: 'eve/7', kind: 'eve', size: 110, members: 100 });
  row.options.operations.look!.enabled = false;
  row.options.placement = { on: 'gpu' };
  expect(placedPool(row, 7, { members: 100 })).toMatchObject({ kind: 'eve@gpu', size: 10 });
  expect(poolOf('eve/7')).toEqual({ tracker: 'eve', pool: 7 });
});

test('the last minute: what is older does not count any more, and a counter that begins anew takes nothing away', () => {
  const minute = new Minute<'moved'>();
  minute.count('moved', 500);
  minute.count('moved', 1_500, 2);
  expect(minute.sum('moved', 59_000)).toBe(3);
  expect(minute.sum('moved', 60_900)).toBe(2);
  expect(minute.sum('moved', 120_000)).toBe(0);
  const growth = new Growth();
  expect(growth.of(100, 0)).toBe(0);
  expect(growth.of(130, 1_000)).toBe(30);
  expect(growth.of(10, 2_000)).toBe(30);
  expect(growth.of(15, 62_000)).toBe(5);
});

test('figures of other releases and of people: what is missing or odd is nothing, the rest counts', () => {
  expect(readFigures('full')).toBeUndefined();
  expect(readFigures(null)).toBeUndefined();
  const figures = readFigures({ eventLoop: 'much', cpu: 1.5, share: -1, lacks: ['a', 2], minute: [1], later: true });
  expect(figures).toMatchObject({ eventLoop: 0, cpu: 1.5, share: null, lacks: ['a'], health: 1, stuck: 0 });
  expect(figures!.failing).toEqual({ pools: 0, example: null });
  expect(readFigures({ failing: { pools: 2, example: 'why' } })!.failing).toEqual({ pools: 2, example: 'why' });
  expect(figures!.minute).toEqual({
    lateMs: null,
    ...{ fetched: 0, failed: 0, restarts: 0, declined: 0, redirected: 0, moved: 0, fenced: 0 },
  });
});
