/** One member's mail: in order for each sender, nobody waits for another's failure, and what no handler sees. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { Mailbox, type Next, type View } from '../../../activities/tracker/member/mailbox';
import { marked } from '../../../activities/tracker/member/marks';
import { NOT_STORED } from '../../../activities/tracker/member/member';
import type { Image, Mail } from '../../../activities/tracker/member/types';
import { mail, request, T0 } from './kit';

const { image: NOBODY } = NOT_STORED;
let box: Mailbox;
let view: View & { image: Image };
let order = 0;
beforeEach(() => {
  box = new Mailbox(MEMBER);
  view = { image: NOBODY, removedAt: 0, asked: () => false };
});

const put = (one: Mail, reading = 1): void => box.put({ what: { kind: 'mail', mail: one }, order: ++order, reading });
const next = (now = T0): Next | undefined => box.next(view, now);
/** The next message, which is handled. */
function handle(now = T0): unknown {
  const found = next(now);
  if (found?.entry.what.kind !== 'mail') return undefined;
  const { mail: one } = found.entry.what;
  view = { ...view, image: { ...view.image, marks: marked(view.image.marks, one, MEMBER, () => false, one.storedAt) } };
  return found.drop ?? (JSON.parse(one.json) as unknown);
}

test('a sender is handled in the order of its numbers, whatever the order of the rows', () => {
  put(mail({ number: 2, previous: 1, message: 'second' }));
  put(mail({ number: 1, message: 'first' }));
  put(mail({ from: 'r', number: 1, message: 'other' }));
  expect([handle(), handle(), handle()].sort()).toEqual(['first', 'other', 'second']);
  expect(box.isEmpty).toBe(true);
});

test('the oldest is next, so a sender with much mail keeps nobody out', () => {
  for (let number = 1; number <= 3; number++) put(mail({ number, message: number }));
  put(mail({ from: 'r', number: 1, message: 'other' }));
  put(mail({ number: 4, message: 4 }));
  expect([handle(), handle(), handle(), handle(), handle()]).toEqual([1, 2, 3, 'other', 4]);
});

test('a message that has failed keeps back its sender, and no other', () => {
  put(mail({ number: 1, message: 'poison' }));
  put(mail({ number: 2, previous: 1, message: 'behind' }));
  put(mail({ from: 'r', number: 1, message: 'other' }));
  const { entry } = next()!;
  box.putBack(entry, T0 + 500);
  expect(handle()).toBe('other');
  expect(handle()).toBeUndefined();
  expect(box.wakesAt).toBe(T0 + 500);
  // The one behind it is not in memory as long, and is read again.
  expect(box.blocked).toEqual(['s']);
  const { mail: out } = box.takeBehind();
  expect(out.map(({ json }) => json)).toEqual(['"behind"']);
  expect(handle(T0 + 500)).toBe('poison');
  expect(box.takeBehind()).toEqual({ mail: [], isFreed: true });
  out.forEach((one) => put(one));
  expect(handle(T0 + 500)).toBe('behind');
});

test('a row that says that it waits is waited for', () => {
  put(mail({ number: 1, notBefore: T0 + 100, attempts: 2 }));
  expect(handle()).toBeUndefined();
  expect(handle(T0 + 100)).toBe(1);
});

test('a gap ends when the missing one comes, or when a reading that began later has not found it', () => {
  put(mail({ number: 5, previous: 3, message: 5 }), 1);
  expect(handle()).toBeUndefined();
  expect(box.hasGaps).toBe(true);
  put(mail({ number: 3, message: 3 }), 2);
  expect([handle(), handle()]).toEqual([3, 5]);

  const last = mail({ number: 9, previous: 7, message: 9 });
  put(last, 3);
  expect(handle()).toBeUndefined();
  box.lookedFor(3, Infinity, false);
  expect(handle()).toBeUndefined();
  box.lookedFor(4, last.id - 1, false);
  expect(handle()).toBeUndefined();
  box.lookedFor(5, Infinity, false);
  expect(handle()).toBe(9);
  // Late, and not lost.
  put(mail({ number: 7, previous: 5, message: 7 }), 6);
  expect(handle()).toBe(7);
});

test('what is told twice is dropped, also a request of another sender, and one that has its answer', () => {
  put(mail({ number: 1, message: 'one' }));
  put(mail({ number: 1, message: 'one' }));
  expect([handle(), handle()]).toEqual(['one', 'twice']);
  view = { ...view, asked: (id) => id === 'asked' };
  put(request('asked', { from: 'r' }));
  expect(handle()).toBe('twice');
  put(request('answered', { from: 'q', answered: true }));
  expect(handle()).toBe('twice');
});

test('a request is begun before its deadline or not at all', () => {
  put(request('r'));
  put(request('q', { from: 'q' }));
  expect(handle(T0 + 9_999)).toBe(1);
  expect(handle(T0 + 10_000)).toBe('too late');
});

test('what is told again too late is refused, what waited long is not', () => {
  put(mail({ from: 'p', toldAt: T0 - 86_400_001 }));
  expect(handle()).toBe('too old');
  put(mail({ from: 'q', toldAt: T0 - 86_400_000 }));
  expect(handle(T0 + 10 * 86_400_000)).toBe(1);
  put(request('r', { from: 'r', toldAt: T0 - 600_001 }));
  expect(handle()).toBe('too old');
  put(request('s', { from: 's', toldAt: T0 - 600_000 }));
  expect(handle()).toBe(1);
});

test('mail of before the removal is dropped, newer mail is handled', () => {
  const [before, after] = [mail(), mail({ from: 'r' })];
  view = { ...view, removedAt: after.id };
  put(before);
  put(after);
  expect([handle(), handle()]).toEqual(['removed', 1]);
});

test('of what an operation has brought the last counts, and only if it was not applied', () => {
  const bring = (fetchedAt: number) =>
    box.put({
      what: { kind: 'apply', brought: { operation: 'look', json: `${fetchedAt}`, fetchedAt }, attempts: 0 },
      order: ++order,
      reading: 0,
    });
  view = { ...view, image: { ...NOBODY, present: true, applied: new Map([['look', 5]]) } };
  bring(4);
  expect(next()).toBeUndefined();
  bring(6);
  bring(8);
  bring(7);
  expect(next()?.entry.what).toMatchObject({ brought: { fetchedAt: 8 } });
  expect(next()).toBeUndefined();
});

test('a timer that was cancelled or set anew does not go off', () => {
  const timer = { name: 'tick', set: 1, at: T0, json: '1', attempts: 0 };
  const ring = (set: number) =>
    box.put({ what: { kind: 'timer', timer: { ...timer, set } }, order: ++order, reading: 0 });
  view = { ...view, image: { ...NOBODY, timers: new Map([['tick', { ...timer, set: 2 }]]) } };
  ring(1);
  expect(next()).toBeUndefined();
  ring(2);
  expect(next()?.entry.what).toMatchObject({ timer: { set: 2 } });
});

test('forgotten, it keeps only what operations have brought', () => {
  put(mail());
  box.put({
    what: { kind: 'apply', brought: { operation: 'look', json: '1', fetchedAt: T0 }, attempts: 0 },
    order: ++order,
    reading: 0,
  });
  box.clear();
  expect([...box].map(({ what }) => what.kind)).toEqual(['apply']);
});
