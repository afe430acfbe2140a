/** The asks of others, as one node answers them: how much of each is open, and who is told that nothing is left. */
import { PLACEMENT } from '../../../activities/tracker/placement/constants';
import { Giver } from '../../../activities/tracker/placement/giver';
import type { PlacementRow } from '../../../activities/tracker/placement/row';

const ask = (id: number, from: Record<string, number>, deep = false) => ({ id, from, deep });
const rows = (asks: Record<string, PlacementRow['ask']>): ReadonlyMap<string, PlacementRow> =>
  new Map(Object.entries(asks).map(([name, of]) => [name, { name, ask: of } as PlacementRow]));

test('an ask is open until it was given, whoever else is asked; each new one is seen once', () => {
  const giver = new Giver('me');
  giver.read(rows({ a: ask(1, { me: 30, other: 50 }, true), b: ask(7, { other: 5 }), c: null, d: ask(3, { me: 0 }) }));
  expect(giver.requests()).toEqual([{ asker: 'a', left: 30, deep: true }]);
  giver.gave('a', 20);
  // The same row once more gives nothing back.
  giver.read(rows({ a: ask(1, { me: 30 }, true) }));
  expect(giver.requests()).toEqual([{ asker: 'a', left: 10, deep: true }]);
  // A load unit that is open is open; with more than was asked for, nothing is.
  giver.gave('a', 9.5);
  expect(giver.requests()).toEqual([{ asker: 'a', left: 0.5, deep: true }]);
  giver.gave('a', 0.5);
  expect(giver.requests()).toEqual([]);
  giver.read(rows({ a: ask(2, { me: 4 }) }));
  expect(giver.requests()).toEqual([{ asker: 'a', left: 4, deep: false }]);
  // Withdrawn, or its node is gone.
  giver.read(rows({ a: null }));
  expect(giver.requests()).toEqual([]);
  giver.read(rows({ a: ask(9, { me: 4 }) }));
  giver.read(rows({}));
  expect(giver.requests()).toEqual([]);
});

test('its part of what may be on its way is its part of all that is asked for', () => {
  const giver = new Giver('me');
  expect(giver.part(rows({}))).toBe(0);
  expect(giver.part(rows({ a: null, b: ask(1, { other: 10 }) }))).toBe(0);
  expect(giver.part(rows({ a: ask(1, { me: 10 }) }))).toBe(1);
  expect(giver.part(rows({ a: ask(1, { me: 0.25, other: 0.25 }) }))).toBe(0.5);
  expect(giver.part(rows({ a: ask(1, { me: 10, other: 20 }), b: ask(1, { me: 5, other: 5 }) }))).toBe(15 / 40);
});

test('whoever cannot be helped is told so when the view has become newer, and not after a pool that was given', () => {
  const giver = new Giver('me');
  giver.read(rows({ a: ask(5, { me: 30 }) }));
  giver.nothing('nobody', 0);
  giver.gave('nobody', 1);
  giver.nothing('a', 1_000);
  giver.nothing('a', 999 + PLACEMENT.nothingToGiveMs);
  expect(giver.done()).toEqual({});
  giver.gave('a', 10);
  giver.nothing('a', 1_000 + PLACEMENT.nothingToGiveMs);
  expect(giver.done()).toEqual({});
  expect(giver.requests()).toHaveLength(1);
  giver.nothing('a', 1_000 + 2 * PLACEMENT.nothingToGiveMs);
  expect(giver.done()).toEqual({ a: 5 });
  // It is not given anything any more, until it asks anew.
  expect(giver.requests()).toEqual([]);
  giver.read(rows({ a: ask(6, { me: 30 }) }));
  expect(giver.done()).toEqual({});
  expect(giver.requests()).toHaveLength(1);
});
