/** The choice of a node for a pool whose states this one cannot read. Pure. */
import { knownStates, readerOf } from '../../activities/tracker/shift/newer-code';
import { nodeOf } from '../../activities/tracker/placement/view';
import type { PlacementRow } from '../../activities/tracker/placement/row';
import { wordOf } from './cluster-kit';

const NOW = 1_700_000_000_000;
const pool = { id: 't/3', kind: 't', size: 10, members: 0 };
const peer = (name: string, reads: number | undefined, over: Partial<PlacementRow> = {}): PlacementRow => ({
  ...wordOf(name, { keeps: ['t'], ...(reads !== undefined && { reads: { t: reads } }) }).placement,
  ...{ at: NOW, ...over },
});
/** The node that is to have it, as `me` sees these peers. */
const reader = (...rows: PlacementRow[]): string | undefined =>
  readerOf([nodeOf(peer('me', 1), NOW), ...rows.map((row) => nodeOf(row, NOW))], rows.map((row) => ({ row })), pool, 3); // prettier-ignore

test('one that says that it can read them, with most room', () => {
  expect(reader(peer('old', 2), peer('new', 3))).toBe('new');
  expect(reader(peer('fuller', 4, { load: 50 }), peer('emptier', 3, { load: 40 }))).toBe('emptier');
  expect(reader(peer('old', 2), peer('silent about it', undefined))).toBeUndefined();
});

test('not one that may not keep it, nor one that does not ask for pools', () => {
  expect(reader(peer('drained', 3, { up: false }))).toBeUndefined();
  expect(reader(peer('without its label', 3, { keeps: ['t@gpu'] }))).toBeUndefined();
  expect(reader(peer('cut off', 3, { cutOff: true }))).toBeUndefined();
  // At its target, while this node has room.
  expect(reader(peer('full', 3, { shifts: 2, places: 2 }))).toBeUndefined();
  expect(reader(peer('full', 3, { shifts: 2, places: 2 }), peer('new', 3, { load: 900 }))).toBe('new');
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
