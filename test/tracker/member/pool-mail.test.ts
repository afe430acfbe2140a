/** A pool knows whether there is mail that it does not have in memory, and when to read it. */
import { MEMBER } from '../../../activities/tracker/member/constants';
import { mail, TestPool } from './kit';

const few = (entries: number) => ({ ...MEMBER, memberMemory: { entries, bytes: 1_000 } });

test('where a member has as much as it may, there may be more: it is read as soon as there is room', () => {
  const at = new TestPool(few(2));
  const rows = [mail({ message: 1 }), mail({ message: 2 }), mail({ message: 3 })];
  at.read(...rows.slice(0, 2));
  expect([at.pool.hasMore, at.pool.wantsReading]).toEqual([false, false]);
  // A reading leaves such a member out.
  expect(at.pool.beginReading().full).toEqual(['a']);
  at.pool.endReading([]);
  expect([at.pool.hasMore, at.pool.wantsReading]).toEqual([true, false]);
  at.handle();
  at.commit();
  expect(at.pool.wantsReading).toBe(true);
  at.read(rows[2]!);
  expect([at.pool.hasMore, at.pool.wantsReading]).toEqual([false, false]);
});

test('a commit of other members is not a reason to read one that has as much as it may', () => {
  const at = new TestPool(few(2));
  at.read(mail({ message: 1 }), mail({ message: 2 }));
  const slow = at.begin(1);
  at.read(mail({ member: 'b', message: 3 }));
  at.handle();
  at.commit();
  expect([at.pool.hasMore, at.pool.wantsReading]).toEqual([true, false]);
  at.pool.ended(slow, at.now);
  at.commit();
  expect(at.pool.wantsReading).toBe(true);
});

test('behind a message that waits after its failure there may be more', () => {
  const at = new TestPool();
  at.read(mail({ message: 1, number: 1 }), mail({ message: 2, number: 2, previous: 1 }));
  at.pool.failed(at.begin(1), new Error('no'), at.now);
  at.commit();
  expect(at.pool.beginReading().blocked).toEqual([{ member: 'a', from: 's' }]);
  at.pool.endReading([]);
  expect([at.pool.hasMore, at.pool.wantsReading]).toEqual([true, false]);
});
