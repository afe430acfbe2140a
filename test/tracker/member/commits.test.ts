/** Commits of turns: what goes into one, and what becomes of turns that one has refused, lost or put off. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { NOT_STORED } from '../../../activities/tracker/member/member';
import type { Turn } from '../../../activities/tracker/member/turn';
import { count, mail, only, T0, TestPool } from './kit';

test('turns that end while a commit is under way go into the next one, by the next version', () => {
  const test = new TestPool();
  test.read(mail(), mail());
  test.handle(count);
  const handed = test.hand();
  test.handle(count);
  test.pool.settle(handed, { verdict: 'done', refused: [] }, T0);
  expect(only(test)).toMatchObject({ expected: 1, row: { state: '{"count":2}' } });
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
