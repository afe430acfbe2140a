/**
 * Timers of a member: they go off once, by their time; listed, cancelled, replaced, of no time and of the longest, and
 * found again after a commit that was given up.
 */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { NOT_STORED } from '../../../activities/tracker/member/member';
import type { Turn } from '../../../activities/tracker/member/turn';
import { mail, only, T0, TestPool } from './kit';

const DAY = 86_400_000;
const names = ({ context }: Turn): string[] => context.timers().map(({ name }) => name);

/** A pool with one member that has set a timer, `tick`, for 100 ms from now. */
function ticking(): TestPool {
  const test = new TestPool();
  test.read(mail());
  test.handle(({ context }) => void context.after(100, 'tick', { name: 'tick' }));
  test.commit();
  return test;
}

test('a handler sees the timers that are set, its own with them, with their times and messages', () => {
  const test = ticking();
  test.read(mail());
  test.handle((turn) => {
    turn.context.after('2s', { n: 2 });
    expect(turn.context.timers()).toEqual([
      { name: 'tick', at: T0 + 100, message: 'tick' },
      { name: `#${T0 + 2}`, at: T0 + 2_000, message: { n: 2 } },
    ]);
  });
});

test('its key is of no other timer, also where the member was forgotten with all of its numbers and made anew', () => {
  const keys = [0, 2 * DAY].map((later) => {
    const test = new TestPool();
    test.now += later;
    test.read(mail());
    test.handle(({ context }) => void context.after(0, 'now'));
    test.commit();
    return test.begin('now').context.key;
  });
  expect(new Set(keys).size).toBe(2);
});

test('one of no time goes off as soon as its turn is committed, and not before', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(({ context }) => void context.after(0, 'now'));
  expect(test.pool.next(test.now)).toBeUndefined();
  test.commit();
  expect(test.pool.wakesAt).toBeLessThanOrEqual(test.now);
  test.begin('now');
});

test('366 days are the longest, to the millisecond', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(({ context }) => {
    for (const delay of ['400d', 366 * DAY + 1, Infinity])
      expect(() => context.after(delay as number, 1)).toThrow(`after takes '500ms', '5m', or milliseconds from 0 to`);
    context.after('366d', 'a year', { name: 'year' });
  });
  test.commit();
  expect(test.pool.wakesAt).toBe(T0 + 366 * DAY);
  test.now += 366 * DAY - 1;
  expect(test.pool.next(test.now)).toBeUndefined();
  test.now++;
  test.begin('a year');
});

describe('a timer that goes off while another turn of its member runs', () => {
  test('is not handled if that turn cancels it', () => {
    const test = ticking();
    test.read(mail({ message: 'cancel' }));
    const turn = test.begin('cancel');
    test.now += 200;
    // It is due, and waits for its member.
    expect(test.pool.next(test.now)).toBeUndefined();
    expect(turn.context.cancel('tick')).toBe(true);
    test.pool.ended(turn, test.now);
    expect(test.pool.next(test.now)).toBeUndefined();
    test.commit();
    expect(test.pool.next(test.now)).toBeUndefined();
  });

  test('is handled, once, if that turn fails', () => {
    const test = ticking();
    test.read(mail({ message: 'cancel' }));
    const turn = test.begin('cancel');
    test.now += 200;
    expect(test.pool.next(test.now)).toBeUndefined();
    turn.context.cancel('tick');
    test.pool.failed(turn, new Error('no'), test.now);
    const ticked = test.begin('tick');
    test.pool.ended(ticked, test.now);
    test.commit();
    test.now += MEMBER.backoffMaxMs;
    test.begin('cancel');
  });

  test('is handled if the store refuses the turn that has cancelled it', () => {
    const test = ticking();
    test.read(mail({ message: 'cancel' }));
    test.now += 200;
    const turn = test.begin('cancel');
    turn.context.cancel('tick');
    test.pool.ended(turn, test.now);
    test.commit([{ id: 'a', why: 'refused', error: 'no' }]);
    test.begin('tick');
  });

  test('goes off at its new time if that turn sets it anew', () => {
    const test = ticking();
    test.read(mail({ message: 'move' }));
    const turn = test.begin('move');
    test.now += 200;
    expect(test.pool.next(test.now)).toBeUndefined();
    turn.context.after(1_000, 'later', { name: 'tick' });
    test.pool.ended(turn, test.now);
    expect(test.pool.next(test.now)).toBeUndefined();
    test.commit();
    test.now = T0 + 999;
    expect(test.pool.next(test.now)).toBeUndefined();
    test.now = T0 + 1_000;
    test.begin('later');
  });
});

test('a handler that cancels a timer and sets it again has one', () => {
  const test = ticking();
  test.read(mail());
  test.handle((turn) => {
    turn.context.cancel('tick');
    turn.context.after(5, 'again', { name: 'tick' });
    expect(names(turn)).toEqual(['tick']);
  });
  test.commit();
  test.now += 5;
  test.handle((turn) => expect(turn.message).toBe('again'));
  test.commit();
  test.now += 1_000;
  expect(test.pool.next(test.now)).toBeUndefined();
});

test('a timer goes off once, by its time, and fails as messages do', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(({ context }) => void context.after(100, 'tick', { name: 'tick' }));
  test.commit();
  test.now += 99;
  expect(test.pool.next(test.now)).toBeUndefined();
  test.now += 1;
  test.pool.failed(test.begin('tick'), new Error('no'), test.now);
  const [again] = only(test).timersSet;
  expect(again).toMatchObject({ name: 'tick', set: T0 + 1, attempts: 1 });
  test.commit();
  test.now = again!.at;
  test.handle();
  expect(only(test).timersGone).toEqual(['tick']);
  test.commit();
  test.now += 1_000_000;
  expect(test.pool.next(test.now)).toBeUndefined();
});

test('a timer that its own handler sets again stays', () => {
  const test = new TestPool();
  test.read(mail());
  const set = ({ context }: Turn) => void context.after(100, 'tick', { name: 'tick' });
  test.handle(set);
  test.commit();
  test.now += 100;
  test.handle(set);
  expect(only(test)).toMatchObject({ timersGone: [], timersSet: [{ name: 'tick', set: T0 + 2 }] });
});

test('a timer that was replaced by a turn which could not be stored rings after all', () => {
  const test = new TestPool({ ...MEMBER, commitTurns: 1 });
  test.read(mail(), mail({ from: 'r' }));
  const set = (ms: number) => (turn: Turn) => void turn.context.after(ms, `in ${ms}`, { name: 'one' });
  test.handle(set(0));
  test.handle(set(1_000));
  test.commit();
  // It is not the one that the member has now.
  expect(test.pool.next(T0)).toBeUndefined();
  test.pool.cannotStore('a', new Error('54000'), T0);
  test.begin('in 0');
});

test('a timer that a given-up commit has set after all is found, and rings', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle();
  test.commit();
  const timer = { name: 'tick', set: 1, at: T0, json: '"tick"', attempts: 0 };
  test.stored.set('a', {
    ...NOT_STORED,
    version: 2,
    image: { ...NOT_STORED.image, timers: new Map([['tick', timer]]) },
  });
  test.pool.timersDue([{ member: 'a', timer }]);
  test.load();
  test.begin('tick');
});
