/** The memory of a pool is bounded, and forgets who leaves or has nothing to do. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { count, mail, only, T0, TestPool } from './kit';

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
