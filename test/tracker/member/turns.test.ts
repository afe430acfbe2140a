/** A member's turns: one after another, each whole or not at all, and what of them is committed. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { NOT_STORED } from '../../../activities/tracker/member/member';
import type { Turn, TurnContext } from '../../../activities/tracker/member/turn';
import { mail, request, T0, TestPool } from './kit';

interface Counter {
  count: number;
}
const count = ({ context }: Turn): void => {
  const state = (context.state ?? { count: 0 }) as Counter;
  context.state = { count: state.count + 1 };
};
/** The part that one member would have of the next commit. */
const only = (test: TestPool) => {
  const handed = test.hand();
  test.pool.notCommitted(handed);
  const { members } = handed.part;
  expect(members).toHaveLength(1);
  return members[0]!;
};
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

test('the first message makes the member, and its turn goes into one commit: state, mark, mail', () => {
  const test = new TestPool();
  const first = mail({ number: 1 });
  test.read(first);
  test.handle(count);
  const part = only(test);
  expect(part).toMatchObject({ id: 'a', expected: 0, spawn: first.id, mailGone: [first.id] });
  expect(part.row?.state).toBe('{"count":1}');
  expect(part.row?.marks.get('s')?.last).toBe(1);
});

test('handlers of one member run one after another, each on what the last one left, before it is committed', () => {
  const test = new TestPool();
  test.read(mail({ message: 1 }), mail({ message: 2 }), mail({ member: 'b', message: 'b' }));
  const one = test.begin(1);
  const other = test.begin('b');
  expect(test.pool.next(T0)).toBeUndefined();
  count(one);
  test.pool.ended(one, T0);
  const two = test.begin(2);
  expect(two.context.state).toEqual({ count: 1 });
  count(two);
  test.pool.ended(two, T0);
  test.pool.ended(other, T0);
  const { part } = test.commit();
  expect(part.members.map(({ id, row }) => [id, row?.state])).toEqual([
    ['a', '{"count":2}'],
    ['b', null],
  ]);
});

test('turns that end while a commit is under way go into the next one, by the next version', () => {
  const test = new TestPool();
  test.read(mail(), mail());
  test.handle(count);
  const handed = test.hand();
  test.handle(count);
  test.pool.settle(handed, { verdict: 'done', refused: [] }, T0);
  expect(only(test)).toMatchObject({ expected: 1, row: { state: '{"count":2}' } });
});

test('a handler that throws changes nothing: its state goes back, what it sent was never sent', () => {
  const test = new TestPool();
  const bad = mail({ message: 'bad', number: 1 });
  test.read(mail({ from: 'r', number: 1 }), bad);
  test.handle(count);
  const turn = test.begin('bad');
  const { context } = turn;
  (context.state as Counter).count = 99;
  context.send('b', 'hello');
  context.after('1s', 'tick');
  test.pool.failed(turn, new Error('no'), T0);
  const part = only(test);
  expect(part.row?.state).toBe('{"count":1}');
  expect([part.sent, part.timersSet]).toEqual([[], []]);
  expect(part.again).toMatchObject([{ mail: bad.id, attempts: 1, error: 'Error: no' }]);
  expect(part.mailGone).toHaveLength(1);
});

test('what has failed often enough is a dead letter, and the next goes on', () => {
  const test = new TestPool();
  const bad = mail({ number: 1, attempts: MEMBER.attempts - 1, message: 'bad' });
  test.read(bad, mail({ number: 2, previous: 1, message: 'good' }));
  test.pool.failed(test.begin('bad'), new Error('no'), T0);
  test.begin('good');
  const part = only(test);
  expect(part.dead).toEqual([{ json: '"bad"', from: 's', attempts: MEMBER.attempts, error: 'Error: no' }]);
  expect(part.mailGone).toEqual([bad.id]);
  // It has had its turn: told again, it is not handled.
  expect(part.row?.marks.get('s')?.last).toBe(1);
});

test('a request has one answer: the reply, nothing, the failure, or that it was too late', () => {
  const test = new TestPool();
  test.read(
    request('r'),
    request('n'),
    request('f'),
    request('l', { request: { id: 'l', client: 'c', deadline: T0 } }),
  );
  test.handle(({ context }) => context.reply({ ok: true }));
  test.handle();
  test.pool.failed(test.begin(), new Error('no'), T0);
  expect(test.pool.next(T0)).toBeUndefined();
  const part = only(test);
  expect(
    part.answers.map(({ request: id, answer }) => [id, 'json' in answer ? answer.json : answer.error.type]),
  ).toEqual([
    ['r', '{"ok":true}'],
    ['n', 'null'],
    ['f', 'HandlerFailed'],
    ['l', 'RequestTimedOut'],
  ]);
});

test('a request that is told again is answered by the answer that is there', () => {
  const test = new TestPool();
  const again = request('r', { from: 'another process' });
  test.read(request('r'), again);
  test.handle();
  expect(test.pool.next(T0)).toBeUndefined();
  const { part } = test.commit();
  expect(part.members[0]).toMatchObject({ tellAgain: [{ client: 'c', request: 'r' }], answers: [{ request: 'r' }] });
  // Also when the first one was committed before it was seen.
  test.read(request('r'));
  expect(test.pool.next(T0)).toBeUndefined();
  expect(only(test)).toMatchObject({ tellAgain: [{ client: 'c', request: 'r' }], answers: [] });
});

test('what a handler sends, sets, cancels, pushes and writes are rows of the same commit', () => {
  const test = new TestPool();
  const trace = { requestId: 'x' };
  const timer = { name: 'old', set: 1, at: T0 + 9, json: '1', attempts: 0 };
  test.stored.set('a', {
    ...NOT_STORED,
    version: 4,
    image: { ...NOT_STORED.image, present: true, timers: new Map([['old', timer]]), sets: 1 },
  });
  test.read(mail({ trace }));
  test.handle(({ context }) => {
    expect(context.timers()).toEqual([{ name: 'old', at: T0 + 9, message: 1 }]);
    expect(context.cancel('old')).toBe(true);
    expect(context.cancel('old')).toBe(false);
    expect(context.after('5m', { tick: 1 }, { name: 'tick' })).toBe('tick');
    context.send('b', 'hi', { replyTo: context.id });
    context.send({ tracker: 'users', id: 'u' }, 'hi');
    context.push('news', { a: 1 });
    context.write('insert into x values ($1)', [1]);
  });
  expect(only(test)).toMatchObject({
    expected: 4,
    timersGone: ['old'],
    timersSet: [{ name: 'tick', set: 2, at: T0 + 300_000, json: '{"tick":1}', trace }],
    sent: [
      { to: { tracker: 't', id: 'b' }, json: '"hi"', replyTo: { tracker: 't', id: 'a' }, trace },
      { to: { tracker: 'users', id: 'u' }, json: '"hi"', trace },
    ],
    pushes: [{ buffer: 'news', json: '{"a":1}' }],
    writes: [{ sql: 'insert into x values ($1)', values: [1] }],
  });
});

test('the reply to a send with replyTo is a message', () => {
  const test = new TestPool();
  test.read(mail({ replyTo: { tracker: 't', id: 'b' } }), mail());
  test.handle(({ context }) => context.reply('yes'));
  test.handle(({ context }) => context.reply('nobody waits'));
  expect(only(test).sent).toEqual([{ to: { tracker: 't', id: 'b' }, json: '"yes"' }]);
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
  expect(again).toMatchObject({ name: 'tick', set: 1, attempts: 1 });
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
  expect(only(test)).toMatchObject({ timersGone: [], timersSet: [{ name: 'tick', set: 2 }] });
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

test('apply is a turn: once for each value, tried again, and given up', () => {
  const test = new TestPool({ ...MEMBER, attempts: 2 });
  test.stored.set('a', { ...NOT_STORED, version: 1, image: { ...NOT_STORED.image, present: true } });
  const bring = () => test.pool.bring('a', { operation: 'look', json: '7', fetchedAt: T0 });
  bring();
  test.load();
  test.pool.failed(test.begin(7), new Error('no'), T0);
  expect(test.pool.hasTurnsToCommit).toBe(false);
  test.now += 1_000;
  test.handle(count);
  expect(only(test).row).toMatchObject({ state: '{"count":1}', applied: new Map([['look', T0]]) });
  test.commit();
  bring();
  expect(test.pool.next(test.now)).toBeUndefined();
});

test('a refused member is read again, and what is still there is handled again; others are not touched', () => {
  const test = new TestPool();
  const first = mail();
  test.read(first, mail({ member: 'b' }));
  test.handle(count);
  test.handle(count);
  const handed = test.hand();
  const late = mail();
  test.read(late);
  const running = test.begin();
  const settled = test.pool.settle(handed, { verdict: 'done', refused: [{ id: 'a', why: 'stale' }] }, T0);
  expect(settled.void).toEqual(['a']);
  expect(settled.turns.map(({ entry }) => entry.what)).toMatchObject([{ mail: { member: 'b' } }]);
  // The one that ran meanwhile had a state that is not.
  expect(test.pool.ended(running, T0)).toBeUndefined();
  expect(() => running.context.send('b', 1)).toThrow('is over');
  expect(test.pool.memory.entries).toBe(0);
  test.stored.set('a', {
    ...NOT_STORED,
    version: 7,
    image: { ...NOT_STORED.image, present: true, state: '{"count":5}' },
  });
  test.read(first, late);
  test.handle(count);
  expect(only(test)).toMatchObject({ expected: 7, mailGone: [first.id], row: { state: '{"count":6}' } });
});

test('a commit whose answer was lost is read again; one that was not made is made again', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(count);
  test.pool.notCommitted(test.hand());
  expect(only(test).row?.state).toBe('{"count":1}');
  test.pool.notCommitted(test.hand());
  test.pool.lost(test.hand());
  expect(test.pool.hasTurnsToCommit).toBe(false);
  expect(test.pool.takeLoads(9, 0)).toEqual(['a']);
});

test('a pool that is locked, or whose roster has changed, keeps its turns for the next commit', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(count);
  for (const verdict of ['later', 'roster'] as const) {
    const { turns } = test.pool.settle(test.hand(), { verdict, refused: [] }, T0);
    expect(turns).toEqual([]);
  }
  expect(only(test).row?.state).toBe('{"count":1}');
});

test('what a reading finds that began before a commit is not handled again', () => {
  const test = new TestPool();
  const first = mail();
  test.read(first);
  test.handle();
  test.pool.beginReading();
  test.commit();
  test.pool.endReading([first]);
  expect(test.pool.next(T0)).toBeUndefined();
});

test('a statement that fails is the failure of its message, and of no other', () => {
  const test = new TestPool();
  const bad = mail({ message: 'bad', number: 2, previous: 1 });
  test.read(mail({ message: 1, number: 1 }), bad, mail({ from: 'r', message: 3 }));
  test.handle(count);
  test.handle(({ context }) => context.write('insert into nowhere'));
  test.handle(count);
  const refused = [{ id: 'a', why: 'refused', error: 'there is no table nowhere' } as const];
  expect(test.commit(refused).part.members[0]!.mailGone).toHaveLength(3);
  // One by one, so that what fails is known.
  expect(test.commit().part.members[0]!.mailGone).toHaveLength(1);
  expect(test.commit(refused).part.members[0]!.writes).toHaveLength(1);
  expect(test.begin(3).context.state).toEqual({ count: 1 });
  expect(only(test).again).toMatchObject([{ mail: bad.id, attempts: 1, error: 'Error: there is no table nowhere' }]);
});

test('a turn that cannot be stored alone has failed; where its failure cannot either, the member is read again', () => {
  const test = new TestPool();
  test.read(mail({ number: 1 }), mail({ from: 'r', message: 'other' }));
  test.handle(count);
  test.handle(count);
  expect(test.pool.cannotStore('a', new Error('54000'), T0)?.again).toBeDefined();
  test.begin('other');
  test.pool.cannotStore('a', new Error('54000'), T0);
  expect(test.pool.takeLoads(9, 0)).toEqual(['a']);
});

test('a removal forgets what is in memory; a newer message makes the member anew', () => {
  const test = new TestPool();
  const [before, after] = [mail({ message: 'before' }), mail({ message: 'after' })];
  test.read(before);
  test.handle(count);
  test.pool.removed('a', after.id - 0.5);
  expect(test.pool.hasTurnsToCommit).toBe(false);
  test.load();
  test.read(before, after);
  expect(test.begin('after').context.state).toBeUndefined();
  expect(only(test)).toMatchObject({ mailGone: [before.id] });
});

test('a split forgets whom the pool has not any more, and the reading that may have found their mail', () => {
  const test = new TestPool();
  test.read(mail(), mail({ member: 'b', message: 'b' }));
  test.pool.beginReading();
  test.pool.narrow((id) => id === 'b');
  test.pool.endReading([mail(), mail({ member: 'c' })]);
  expect(test.pool.size).toBe(1);
  test.begin('b');
  expect(test.pool.next(T0)).toBeUndefined();
});

test('who has nothing to do is put out of memory, who has is not', () => {
  const test = new TestPool();
  test.read(mail(), mail({ member: 'b' }));
  test.handle();
  test.commit();
  expect(test.pool.unload(test.now)).toEqual([]);
  test.now += 1;
  expect(test.pool.unload(test.now)).toEqual(['a']);
  test.handle();
  test.now += 1;
  expect(test.pool.unload(test.now)).toEqual([]);
  test.commit();
  expect(test.pool.unload(test.now)).toEqual(['b']);
  expect(test.pool.size).toBe(0);
});

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

describe('a commit is bounded', () => {
  test('in turns, a fair part for each member', () => {
    const test = new TestPool({ ...MEMBER, commitTurns: 3 });
    test.read(mail(), mail(), mail(), mail(), mail({ member: 'b' }));
    for (let i = 0; i < 5; i++) test.handle(count);
    expect(test.commit().part.members.map(({ id, mailGone }) => [id, mailGone.length])).toEqual([['a', 3]]);
    expect(test.commit().part.members.map(({ id, mailGone }) => [id, mailGone.length])).toEqual([
      ['b', 1],
      ['a', 1],
    ]);
  });
  test('in bytes; one turn that is larger goes alone', () => {
    const test = new TestPool({ ...MEMBER, commitBytes: 100 });
    test.read(mail(), mail({ member: 'b' }), mail({ member: 'c' }));
    const large = ({ context }: Turn) => void (context.state = 'x'.repeat(context.id === 'b' ? 500 : 10));
    for (let i = 0; i < 3; i++) test.handle(large);
    const ids = () => test.commit().part.members.map(({ id }) => id);
    expect([ids(), ids(), ids()]).toEqual([['a'], ['b'], ['c']]);
  });
  test('and a member that is far ahead of its commits waits', () => {
    const test = new TestPool({ ...MEMBER, ahead: { entries: 2, bytes: 1_000 } });
    test.read(mail(), mail(), mail());
    test.handle(count);
    test.handle(count);
    expect(test.pool.next(T0)).toBeUndefined();
    test.commit();
    test.handle(count);
  });
});

test('a verdict for what was forgotten meanwhile changes nothing', () => {
  const test = new TestPool();
  test.read(mail());
  test.handle(count);
  const handed = test.hand();
  test.pool.removed('a', 1);
  test.stored.set('a', { ...NOT_STORED, version: 5 });
  test.load();
  test.read(mail());
  test.handle(count);
  test.pool.settle(handed, { verdict: 'done', refused: [] }, T0);
  expect(only(test).expected).toBe(5);
});

test('what an operation has brought is not lost with a commit that is', () => {
  const test = new TestPool();
  test.stored.set('a', { ...NOT_STORED, version: 1, image: { ...NOT_STORED.image, present: true } });
  test.pool.bring('a', { operation: 'look', json: '7', fetchedAt: T0 });
  test.load();
  test.handle(count);
  test.pool.lost(test.hand());
  test.load();
  expect(test.begin(7).context.state).toBeUndefined();
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

describe('memory is bounded', () => {
  test('mail behind a message that waits is neither in memory nor read, and is read as soon as it may be', () => {
    const test = new TestPool();
    test.read(mail({ number: 1, message: 1 }), mail({ number: 2, previous: 1 }), mail({ number: 3, previous: 2 }));
    test.pool.failed(test.begin(1), new Error('no'), T0);
    test.pool.next(T0);
    expect(test.pool.memory.entries).toBe(1);
    expect(test.pool.beginReading().blocked).toEqual([{ member: 'a', from: 's' }]);
    test.pool.dropReading();
    expect(test.pool.wantsReading).toBe(false);
    test.now += 1_000;
    test.begin(1);
    expect(test.pool.wantsReading).toBe(true);
  });
  test('mail that waits for one for which there was no room makes room', () => {
    const test = new TestPool({ ...MEMBER, memberMemory: { entries: 9, bytes: 10 }, readRows: 2 });
    const [missing, other] = [mail({ number: 1, message: 1 }), mail({ from: 'r', message: 2 })];
    const large = mail({ number: 9, previous: 1, message: 'x'.repeat(50) });
    test.read(large);
    expect(test.pool.next(T0)).toBeUndefined();
    // It comes first where it fills the gap, whether or not there is room.
    test.read(missing);
    test.begin(1);

    const crowded = new TestPool({ ...MEMBER, memberMemory: { entries: 9, bytes: 10 }, readRows: 1 });
    crowded.read({ ...large, from: 'q', id: other.id + 9 });
    expect(crowded.pool.next(T0)).toBeUndefined();
    crowded.read(other);
    expect(crowded.pool.memory.entries).toBe(0);
    crowded.read(other);
    crowded.begin(2);
  });
  test('for a member and for a pool; what is left is read again, and a full member keeps no other out', () => {
    const test = new TestPool({
      ...MEMBER,
      memberMemory: { entries: 2, bytes: 100 },
      poolMemory: { entries: 3, bytes: 1_000 },
    });
    const flood = [1, 2, 3, 4].map((number) => mail({ number, previous: number - 1 || undefined, message: number }));
    const [one, other] = [mail({ member: 'b', message: 'b' }), mail({ member: 'c', message: 'c' })];
    test.read(...flood, one, other);
    expect(test.pool.memory.entries).toBe(3);
    expect(test.pool.beginReading()).toMatchObject({ full: ['a'], known: [flood[0]!.id, flood[1]!.id, one.id] });
    test.pool.dropReading();
    for (let i = 0; i < 3; i++) test.handle();
    test.commit();
    test.read(flood[2]!, flood[3]!, other);
    test.begin(3);
    test.begin('c');
  });
  test('a message that is larger than the bound is taken by who has no other', () => {
    const test = new TestPool({ ...MEMBER, memberMemory: { entries: 9, bytes: 10 } });
    test.read(mail({ message: 'x'.repeat(50) }), mail());
    expect(test.pool.memory.entries).toBe(1);
  });
});
