/** A member's turns: one after another, each whole or not at all. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { NOT_STORED } from '../../../activities/tracker/member/member';
import { count, mail, only, request, T0, TestPool, type Counter } from './kit';

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
