/** The wishes for a node, as commands change them. */
import { drained, sameWishes, wishesOf, type WishRow } from '../../client/cluster/wishes';

const ROW: WishRow = {
  target: null,
  weight: 1,
  drained: false,
  drained_for: [],
  drained_until: null,
  now: 0,
  ended: false,
};

test('a drain that holds already changes nothing, in whatever order the database gives the trackers', () => {
  const names = ['ab', 'a-z', 'B', 'a_c'];
  const is = wishesOf({ ...ROW, drained_for: names.map((tracker) => ({ tracker, until: null })) });
  for (const tracker of names) expect(sameWishes(is, drained(is, tracker, null))).toBe(true);
  expect(sameWishes(is, drained(is, 'another', null))).toBe(false);
});
