/**
 * The small decisions: retries, bounds at the tables, tables that turn, versions of state, who is awake, who writes
 * next.
 */
import { admit, isPoolFull, type Told } from '../../../activities/tracker/member/admission';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { isIdle, runsFor, sleepOf } from '../../../activities/tracker/member/idle';
import { leftBy, mayKeep, readState, unreadable } from '../../../activities/tracker/member/loading';
import { waitAfter } from '../../../activities/tracker/member/retry';
import { tableStep } from '../../../activities/tracker/member/rotation';
import { Sender } from '../../../activities/tracker/member/sender';
import { nextTransaction, valueRows } from '../../../activities/tracker/member/writer';
import { T0 } from './kit';

describe('a message that fails', () => {
  test('waits longer each time, not all at once, and is dead in the end', () => {
    const waits = [1, 2, 3, 7].map((failures) => waitAfter(failures, 'a', MEMBER)!);
    for (const [at, most] of [1_000, 2_000, 4_000, 60_000].entries()) {
      expect(waits[at]).toBeGreaterThanOrEqual(0.75 * most);
      expect(waits[at]).toBeLessThanOrEqual(most);
    }
    expect(waitAfter(1, 'b', MEMBER)).not.toBe(waits[0]);
    expect(waitAfter(8, 'a', MEMBER)).toBeUndefined();
  });
});

describe('what the tables take', () => {
  const limits = { ...MEMBER, memberMail: { entries: 3, bytes: 100 }, poolMail: { entries: 100, bytes: 1_000 } };
  const told = (member: string, bytes = 1, given: Partial<Told> = {}): Told => ({
    member,
    bytes,
    toldAt: T0,
    isRequest: false,
    ...given,
  });
  const none = { entries: 0, bytes: 0 };
  const no = () => false;

  test('up to the bound of a member, in entries and in bytes; what follows one that waits waits too', () => {
    const two = () => ({ entries: 2, bytes: 2 });
    expect(admit([told('a'), told('a'), told('b')], two, no, T0, limits)).toEqual(['taken', 'wait', 'taken']);
    expect(admit([told('a', 90), told('a', 20), told('a', 1)], () => none, no, T0, limits)).toEqual([
      'taken',
      'wait',
      'wait',
    ]);
  });
  test('one that is larger than all of the room is taken alone', () => {
    expect(admit([told('a', 500), told('a')], () => none, no, T0, limits)).toEqual(['taken', 'wait']);
  });
  test('nothing for a pool that is full, nothing that is too old', () => {
    expect(
      admit(
        [told('a')],
        () => none,
        () => true,
        T0,
        limits,
      ),
    ).toEqual(['wait']);
    const old = { toldAt: T0 - 86_400_001 };
    expect(admit([told('a', 1, old), told('a')], () => none, no, T0, limits)).toEqual(['too old', 'taken']);
    expect(admit([told('a', 1, { toldAt: T0 - 600_001, isRequest: true })], () => none, no, T0, limits)).toEqual([
      'too old',
    ]);
  });
  test('a pool is full at its bound, until a quarter is free', () => {
    expect(isPoolFull(false, { entries: 99, bytes: 0 }, limits.poolMail)).toBe(false);
    expect(isPoolFull(false, { entries: 100, bytes: 0 }, limits.poolMail)).toBe(true);
    expect(isPoolFull(false, { entries: 1, bytes: 1_000 }, limits.poolMail)).toBe(true);
    expect(isPoolFull(true, { entries: 75, bytes: 0 }, limits.poolMail)).toBe(true);
    expect(isPoolFull(true, { entries: 74, bytes: 0 }, limits.poolMail)).toBe(false);
  });
});

describe('the mail tables', () => {
  const clean = { rows: 0, isClean: true };
  const used = (rows: number) => ({ rows, isClean: false });
  const step = (tables: { rows: number; isClean: boolean }[], age = MEMBER.tableMs, busy?: Set<number>) =>
    tableStep({ current: 0, since: T0 - age, tables }, T0, MEMBER, busy);

  test('the next one takes over after its time, if it is clean and there was mail', () => {
    expect(step([used(5), clean, clean])).toEqual({ do: 'turn', to: 1 });
    expect(step([used(5), clean, clean], MEMBER.tableMs - 1)).toBeUndefined();
    expect(step([clean, clean, clean])).toBeUndefined();
    expect(step([used(0), used(5), clean])).toEqual({ do: 'turn', to: 2 });
  });
  test('one that is empty is truncated, never the one that takes mail', () => {
    expect(step([used(0), used(3), used(0)], 0)).toEqual({ do: 'truncate', table: 2 });
    expect(step([used(0), used(3), clean], 0)).toBeUndefined();
    expect(step([used(0), used(0), used(0)], 0, new Set([1]))).toEqual({ do: 'truncate', table: 2 });
  });
  test('the last rows of an old one are carried over when nothing else is clean', () => {
    expect(step([used(9), used(2_000), used(1_000)])).toEqual({ do: 'carry', table: 2 });
    expect(step([used(9), used(2_000), used(1_001)])).toBeUndefined();
    expect(step([used(9), used(3), clean])).toEqual({ do: 'turn', to: 2 });
  });
});

describe('the version of a state', () => {
  const versions = {
    version: 3,
    migrate: { 1: (s: unknown) => ({ two: s }), 2: (s: unknown) => ({ three: s }) },
    down: { 4: (s: unknown) => (s as { four: unknown }).four },
  };
  test('goes up step by step, and down where there is a way', () => {
    expect(readState('x', 1, versions)).toEqual({ three: { two: 'x' } });
    expect(readState('x', 3, versions)).toBe('x');
    expect(readState({ four: 'x' }, 4, versions)).toBe('x');
    expect(() => readState('x', 5, versions)).toThrow('this code knows 3, and there is no down from 5');
    expect(unreadable(0, versions)).toContain('no migrate from 0 to 1');
  });
  test('a pool with a newer one is left to others; a rollback says who would be left', () => {
    expect(
      mayKeep(
        new Map([
          [1, 5],
          [4, 1],
        ]),
        versions,
      ),
    ).toBe(true);
    expect(mayKeep(new Map([[5, 1]]), versions)).toBe(false);
    expect(
      mayKeep(
        new Map([
          [5, 0],
          [0, 1],
        ]),
        versions,
      ),
    ).toBe(true);
    const before = { version: 1, migrate: {}, down: { 2: (s: unknown) => s } };
    expect(
      leftBy(
        new Map([
          [3, 7],
          [2, 4],
          [1, 9],
        ]),
        before,
      ),
    ).toEqual([
      { version: 3, members: 7, why: 'the state has version 3, this code knows 1, and there is no down from 3' },
    ]);
  });
});

describe('who is awake', () => {
  const quiet = { usedAt: T0 - 60_000, hasMail: false };
  test("operations that are 'always' run for all and keep awake; those that are 'awake' do neither", () => {
    expect([runsFor('always', false), runsFor('awake', false), runsFor('awake', true)]).toEqual([true, false, true]);
    expect(isIdle(quiet, ['awake'], T0, 60_000)).toBe(true);
    expect(isIdle(quiet, ['awake', 'always'], T0, 60_000)).toBe(false);
    expect(isIdle({ ...quiet, hasMail: true }, [], T0, 60_000)).toBe(false);
    expect(isIdle({ ...quiet, usedAt: T0 - 59_999 }, [], T0, 60_000)).toBe(false);
  });
  test('a pool sleeps when all do, until its first timer', () => {
    expect(sleepOf([quiet], [T0 + 90_000, T0 + 70_000], [], T0, 60_000)).toEqual({ wakeAt: T0 + 70_000 });
    expect(sleepOf([quiet], [], [], T0, 60_000)).toEqual({ wakeAt: Infinity });
    expect(sleepOf([quiet], [T0 + 10], [], T0, 60_000)).toBeUndefined();
    expect(sleepOf([quiet, { ...quiet, hasMail: true }], [], [], T0, 60_000)).toBeUndefined();
  });
});

test('turns and values take turns on the connection, and values are short while turns wait', () => {
  expect(nextTransaction(true, true, 'turns')).toBe('values');
  expect(nextTransaction(true, true, 'values')).toBe('turns');
  expect(nextTransaction(true, false, 'turns')).toBe('turns');
  expect(nextTransaction(false, true, 'values')).toBe('values');
  expect(nextTransaction(false, false, 'turns')).toBeUndefined();
  expect([valueRows(true, 50_000, MEMBER), valueRows(false, 50_000, MEMBER)]).toEqual([500, 50_000]);
});

describe('a sender', () => {
  const numbers = (batch: readonly { number: number; previous?: number }[] = []) =>
    batch.map(({ number, previous }) => [number, previous]);

  test('writes one batch after another, and the same again until its outcome is known', () => {
    const sender = new Sender<string>('s');
    for (const member of ['a', 'b', 'a']) sender.add(member, 'm', 1, T0);
    const batch = sender.next(T0);
    expect(numbers(batch)).toEqual([
      [1, undefined],
      [2, undefined],
      [3, 1],
    ]);
    sender.add('a', 'm', 1, T0);
    expect(sender.next(T0)).toBeUndefined();
    expect(sender.unknown()).toEqual(batch);
    sender.answered(['taken', 'taken', 'taken'], T0, 200);
    expect(numbers(sender.next(T0))).toEqual([[4, 3]]);
  });
  test('what must wait keeps back all that follow it to that member, with their numbers', () => {
    const sender = new Sender<string>('s');
    for (const member of ['a', 'a', 'b']) sender.add(member, 'm', 1, T0);
    sender.next(T0);
    sender.answered(['taken', 'wait', 'wait'], T0, 200);
    sender.add('a', 'm', 1, T0);
    sender.add('c', 'm', 1, T0);
    expect(numbers(sender.next(T0))).toEqual([[5, undefined]]);
    sender.answered(['taken'], T0, 200);
    expect(sender.next(T0 + 199)).toBeUndefined();
    expect(numbers(sender.next(T0 + 200))).toEqual([
      [2, 1],
      [3, undefined],
      [4, 2],
    ]);
  });
  test('a batch is bounded in entries and bytes, and a member is not passed by its own mail', () => {
    const sender = new Sender<string>('s', { batchEntries: 3, batchBytes: 10, members: 1 });
    for (const [member, bytes] of [
      ['a', 8],
      ['b', 5],
      ['c', 1],
      ['b', 1],
    ] as const)
      sender.add(member, 'm', bytes, T0);
    expect(numbers(sender.next(T0))).toEqual([
      [1, undefined],
      [3, undefined],
    ]);
    sender.answered(['taken', 'refused'], T0, 0);
    expect(numbers(sender.next(T0))).toEqual([
      [2, undefined],
      [4, 2],
    ]);
    sender.answered(['taken', 'taken'], T0, 0);
    // It has forgotten a, and says so.
    sender.add('a', 'm', 1, T0);
    expect(numbers(sender.next(T0))).toEqual([[5, undefined]]);
  });
  test('what was not written can be taken back', () => {
    const sender = new Sender<string>('s');
    sender.add('a', 'm', 1, T0);
    sender.next(T0);
    sender.add('a', 'm', 1, T0);
    expect([sender.takeBack(1), sender.takeBack(2), sender.takeBack(2)]).toEqual([false, true, false]);
    sender.answered(['wait'], T0, 0);
    expect(sender.takeBack(1)).toBe(true);
    expect(sender.isIdle).toBe(true);
  });
});
