/**
 * Members that are removed: their state, timers and mail go with them, who waits for an answer has one, and a new
 * message begins a new life.
 */
import type { MemberContext } from '../../../config/define/member';
import { applyRoster } from '../../../activities/tracker/roster/apply';
import { becomes, database, flush, handled, nodeOf, replyTo, send, stack, stateOf, trackerOf } from './kit';

type Message = { add: number };
const counting = trackerOf({
  state: { initial: { sum: 0 } },
  receive(message: Message, context: MemberContext<{ sum: number }>) {
    context.state.sum += message.add;
    context.after('1h', { add: 0 }, { name: 'later' });
  },
});

test('a removal ends a life: the next message begins with nothing, and what was told before it is answered or gone', async () => {
  const { turns, kit } = await nodeOf(counting);
  await send([['a', { add: 1 }]]);
  turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toEqual({ sum: 1 });
  // Mail that nobody has read.
  turns.pools.forEach((pool) => (pool.isClosed = true));
  const request = { id: 'r', deadline: Date.now() + 60_000, client: 'c' };
  await send([['a', { add: 5 }, { request }]], 'asker');
  await applyRoster(database, { tracker: 't', pool: 0, changes: [{ id: 'a', change: 'remove' }] });
  expect(await replyTo('r')).toMatchObject({ json: null, error: 'Removed' });
  expect(await stateOf('a')).toBeUndefined();
  expect(await stack.sql('select 1 from longwatch.timer')).toEqual([]);
  // The shift learns of it by its next flush, and its turns with it.
  turns.pools.forEach((pool) => (pool.isClosed = false));
  await send([['a', { add: 7 }]]);
  turns.lookAtAll();
  await becomes(
    () => kit.shift.hinted,
    (hinted) => hinted,
  );
  await flush({ kit });
  await handled();
  expect(await stateOf('a')).toEqual({ sum: 7 });
  const members = await stack.sql<{ id: string; count: number }>(
    `select m.id, p.members as count from longwatch.member m, longwatch.pool p where m.removed_at is null`,
  );
  expect(members).toEqual([{ id: 'a', count: 1 }]);
});
