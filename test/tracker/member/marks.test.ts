/** A sender's numbers at a member: what was told twice, what is missing, what is forgotten. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { marked, marksFromJson, marksToJson, toldOf } from '../../../activities/tracker/member/marks';
import type { Marks } from '../../../activities/tracker/member/types';
import { mail, T0 } from './kit';

const DAY = 86_400_000;
const nobody = () => false;
const after = (marks: Marks, number: number, previous?: number, storedAt = T0): Marks =>
  marked(marks, mail({ number, previous, storedAt }), MEMBER, nobody, storedAt);
const told = (marks: Marks, number: number, previous?: number) => toldOf(marks, mail({ number, previous }));

test('a number is handled once, whatever comes between', () => {
  const marks = after(after(new Map(), 3), 7, 3);
  expect(told(marks, 3)).toBe('twice');
  expect(told(marks, 7, 3)).toBe('twice');
  expect(told(marks, 9, 7)).toBe('next');
  // To other members; this one has had nothing between.
  expect(told(marks, 5)).toBe('twice');
});

test('one whose predecessor has not been seen is a gap, and so is the first that is seen', () => {
  expect(told(after(new Map(), 3), 9, 7)).toBe('gap');
  expect(told(new Map(), 9, 7)).toBe('gap');
  expect(told(new Map(), 9)).toBe('next');
});

test('what was waited for in vain is taken late, in any order, each once', () => {
  let marks = after(after(new Map(), 3), 9, 7);
  expect(told(marks, 7, 5)).toBe('late');
  marks = after(marks, 7, 5);
  expect(told(marks, 7, 5)).toBe('twice');
  // Nothing was sent between 5 and 7.
  expect(told(marks, 6)).toBe('twice');
  expect(told(marks, 5, 3)).toBe('late');
  marks = after(marks, 5, 3);
  expect(marks.get('s')).toEqual({ last: 9, missing: [], at: T0 });
  expect(told(after(after(new Map(), 3), 9, 7), 5, 3)).toBe('late');
});

describe('a sender is forgotten a day after its last message, counted by messages', () => {
  const hadAt = (now: number) => marked(new Map(), mail({ from: 'old', number: 4 }), MEMBER, nobody, now);
  const isKnown = (marks: Marks, ms: number, awaited: (sender: string) => boolean = nobody) =>
    marked(marks, mail({ from: 'new', number: 1, storedAt: T0 + ms }), MEMBER, awaited, T0 + ms).has('old');

  test('and not while its mail is here', () => {
    expect(isKnown(hadAt(T0), DAY)).toBe(true);
    expect(isKnown(hadAt(T0), 2 * DAY)).toBe(false);
    expect(isKnown(hadAt(T0), 2 * DAY, (sender) => sender === 'old')).toBe(true);
  });

  test('which is that of its handling: what waited for days may have come twice', () => {
    expect(isKnown(hadAt(T0 + 2 * DAY), 2 * DAY)).toBe(true);
    expect(isKnown(hadAt(T0 + 2 * DAY), 3 * DAY)).toBe(true);
    expect(isKnown(hadAt(T0 + 2 * DAY), 4 * DAY)).toBe(false);
  });
});

test('they are stored and read, with any name of a sender', () => {
  const marks: Marks = new Map([
    [
      '__proto__',
      {
        last: 9,
        missing: [
          [4, 7],
          [1, 1],
        ],
        at: T0,
      },
    ],
    ['', { last: 1, missing: [], at: T0 }],
  ]);
  expect(marksFromJson(marksToJson(marks))).toEqual(marks);
  expect(marksFromJson(null).size).toBe(0);
});

test('of too many senders those heard of last are kept', () => {
  const limits = { ...MEMBER, senders: 2 };
  let marks: Marks = new Map();
  for (const from of ['a', 'b', 'a', 'c']) marks = marked(marks, mail({ from, number: 1 }), limits, nobody, T0);
  expect([...marks.keys()]).toEqual(['a', 'c']);
  marks = marked(marks, mail({ from: 'd', number: 1 }), limits, (sender) => sender === 'a', T0);
  expect([...marks.keys()]).toEqual(['a', 'd']);
});
