/** Slots of members: given out again, but not for what is still under way of a member's time before. */
import type { Harvest } from '../../activities/tracker/shift/harvest';
import { Members } from '../../activities/tracker/shift/members';
import { member, shiftOf, T0 } from './shift-kit';

test('the slot of one who has left is given out again, but not to the same member', () => {
  const members = new Members();
  const first = members.join(member('a', { key: 1, addedAt: T0 }));
  members.leave('a');
  const again = members.join(member('a', { key: 1, addedAt: T0 + 1 }));
  expect(again).not.toBe(first);
  expect([members.holds(first, 1), members.holds(again, 1)]).toEqual([false, true]);
  expect(members.join(member('b', { key: 2, addedAt: T0 }))).toBe(first);
  members.leave('a');
  members.leave('b');
  // Two slots are free; neither member has to have a third.
  expect(members.join(member('b', { key: 2, addedAt: T0 + 2 }))).toBe(again);
  expect(members.join(member('a', { key: 1, addedAt: T0 + 2 }))).toBe(first);
  expect(members.holds(first, 1)).toBe(true);
});

test('a value that a flush has taken is not stored for a member that was removed and added again meanwhile', async () => {
  const { shift, pass } = shiftOf({
    name: 't',
    operations: { look: { every: '1s', stagger: { window: 0 }, run: () => ({ value: 'of before' }) } },
  });
  const before = member('a');
  shift.loadAll([before], []);
  await pass(20);
  const dropped = shift.harvest();
  const putBack: Harvest = new Map();
  for (const [loop, { successes }] of dropped)
    putBack.set(loop, { successes: new Map(successes), failures: new Map() });
  expect([...dropped.values()].map(({ successes }) => successes.size)).toEqual([1]);
  shift.loadChanges([{ ...before, addedAt: T0 + 10 }], []);
  shift.dropLeavers(dropped);
  expect([...dropped.values()].map(({ successes }) => successes.size)).toEqual([0]);
  shift.putBack(putBack);
  expect(shift.hasResults).toBe(false);
});
