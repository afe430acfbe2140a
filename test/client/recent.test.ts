/** Things by their names, of which only the last ones are kept. */
import { Recent } from '../../client/recent';

test('the same one for a name that was asked for lately, and never more than so many', () => {
  const recent = new Recent<object>(3);
  const make = (): object => ({});
  const [a] = ['a', 'b', 'c'].map((name) => recent.get(name, make));
  expect(recent.get('a', make)).toBe(a);
  recent.get('d', make);
  // `b` was asked for the longest ago.
  expect(recent.get('a', make)).toBe(a);
  for (let i = 0; i < 100_000; i++) recent.get(`x${i}`, make);
  expect(recent.all()).toHaveLength(3);
  expect(recent.get('a', make)).not.toBe(a);
});

test('one that has work in hand is kept, and so is the one that was just made', () => {
  const busy = new Set<string>(['a', 'b']);
  const recent = new Recent<string>(2, (name) => !busy.has(name));
  for (const name of ['a', 'b', 'c']) recent.get(name, () => name);
  expect(recent.all()).toEqual(['a', 'b', 'c']);
  recent.get('d', () => 'd');
  expect(recent.all()).toEqual(['a', 'b', 'd']);
  busy.delete('a');
  recent.get('e', () => 'e');
  expect(recent.all()).toEqual(['b', 'd', 'e']);
});
