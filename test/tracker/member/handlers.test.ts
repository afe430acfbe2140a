/** A handler is told its mistake where it makes it, and nothing else fails; a state is anything that JSON can say. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import type { TurnContext } from '../../../activities/tracker/member/turn';
import { mail, only, TestPool } from './kit';

/** The message that a handler gets for its mistake. */
const refused = (work: (context: TurnContext) => void): string => {
  const test = new TestPool({ ...MEMBER, turnRows: 3, timers: 2, messageBytes: 10, replyBytes: 10, turnBytes: 25 });
  test.read(mail());
  try {
    work(test.begin().context);
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return 'nothing';
};

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

describe('a handler is told what it may not do', () => {
  test.each<[string, (context: TurnContext) => void, string]>([
    ['request', (context) => context.request('b', 1), 'a handler may send, not request'],
    ['reply twice', (context) => [1, 2].forEach((n) => context.reply(n)), 'has one reply'],
    ['send a function', (context) => context.send('b', () => 1), 'a function, which JSON cannot say'],
    ['send a cycle', (context) => context.send('b', cycle), 'circular'],
    ['send too much', (context) => context.send('b', 'x'.repeat(20)), 'at most 10 are taken'],
    ['send too often', (context) => [1, 2, 3, 4].forEach((n) => context.send('b', n)), 'at most 3 rows'],
    [
      'send too much in all',
      (context) => [1, 2, 3].forEach(() => context.send('b', 'xxxxxxx')),
      'at most 25 are taken',
    ],
    ['reply with too much', (context) => context.reply('x'.repeat(20)), 'at most 10 are taken'],
    ['wait for no time', (context) => void context.after('soon', 1), "after takes '500ms'"],
    ['wait for less than nothing', (context) => void context.after(-1, 1), "after takes '500ms'"],
    ['wait for NaN', (context) => void context.after(NaN, 1), "after takes '500ms'"],
    ['set many timers', (context) => [1, 2, 3].forEach(() => void context.after(1, 1)), 'at most 2 timers'],
  ])('%s', (_name, work, message) => {
    expect(refused(work)).toContain(message);
  });
});

describe('a state', () => {
  const endsWith = (state: unknown, given = MEMBER) => {
    const test = new TestPool(given);
    test.read(mail({ number: 1 }));
    test.handle(({ context }) => void (context.state = state));
    return only(test);
  };
  test.each([
    ['a cycle', cycle, 'circular'],
    ['a function', () => 1, 'is a function'],
    ['a bigint', 1n, 'BigInt'],
    ['too much', 'x'.repeat(100), 'the state has 102 bytes'],
  ])('that is %s is a failure of the message', (_name, state, error) => {
    const part = endsWith(state, { ...MEMBER, stateBytes: 50 });
    expect(part.again[0]?.error).toContain(error);
    expect(part.row).toBeUndefined();
  });
  test.each([
    ['NUL and half a pair', 'a\0\ud800', '"a\\u0000\\ud800"'],
    ['nothing', undefined, null],
    ['null', null, 'null'],
    ['3 MB', 'x'.repeat(3 * 1024 * 1024), `"${'x'.repeat(3 * 1024 * 1024)}"`],
  ])('that is %s is kept as it is', (_name, state, json) => {
    expect(endsWith(state).row?.state).toBe(json);
  });
  test('is a copy: what a handler does to it later changes nothing', () => {
    const test = new TestPool();
    test.read(mail(), mail());
    const state = { count: 1 };
    test.handle(({ context }) => void (context.state = state));
    state.count = 9;
    expect(test.begin().context.state).toEqual({ count: 1 });
  });
});

test('after its end a turn takes nothing, and says so', () => {
  const test = new TestPool();
  test.read(mail());
  const { context } = test.handle();
  expect(() => (context.state = 1)).toThrow('await all that a handler does');
  expect(() => context.reply(1)).toThrow('the turn of a is over, so reply would be lost');
});

test('a name that cannot be stored is refused where it is used', () => {
  for (const id of ['a\0b', '\ud800', 'x'.repeat(3_000), '']) {
    expect(refused((context) => context.send(id, 1))).toContain('an id that nobody can have');
  }
  expect(refused((context) => context.send({ tracker: 'No', id: 'a' }, 1))).toContain('not the name of a tracker');
  expect(refused((context) => context.push('a\0', 1))).toContain('not the name of a buffer');
  expect(refused((context) => void context.after(1, 1, { name: 'a\0' }))).toContain('a name that cannot be kept');
});
