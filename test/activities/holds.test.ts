/** Holds of a node: the longest one in force counts, an operation's stays with it, a tracker's covers all of its own. */
import { NodeHolds } from '../../activities/shift/holds';

test('nothing is held at first', () => {
  expect(new NodeHolds().until('t', 'a')).toBe(0);
});

test('an operation’s hold is for that operation of that tracker alone', () => {
  const holds = new NodeHolds();
  holds.hold('t', 'a', 1_000);
  expect(holds.until('t', 'a')).toBe(1_000);
  expect(holds.until('t', 'b')).toBe(0);
  expect(holds.until('other', 'a')).toBe(0);
});

test('a tracker’s hold is for all of its operations, and no other tracker’s', () => {
  const holds = new NodeHolds();
  holds.hold('t', undefined, 2_000);
  holds.hold('t', 'a', 1_000);
  expect(holds.until('t', 'a')).toBe(2_000);
  expect(holds.until('t', 'b')).toBe(2_000);
  expect(holds.until('other', 'b')).toBe(0);
});

test('a shorter hold does not end a longer one', () => {
  const holds = new NodeHolds();
  holds.hold('t', 'a', 5_000);
  holds.hold('t', 'a', 3_000);
  expect(holds.until('t', 'a')).toBe(5_000);
});
