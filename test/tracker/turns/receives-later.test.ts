/** `receive` that a tracker gets while its shift runs (`start --update`): the shift's members take messages at once. */
import type { MemberContext } from '../../../config/define/member';
import { becomes, flush, handled, nodeOf, send, stack, stateOf, trackerOf } from './kit';
import { rowOf } from '../shift-kit';

const receiving = trackerOf(
  {
    state: { initial: 0 },
    receive: (message: number, ctx: MemberContext<number>) => {
      ctx.state += message;
    },
  },
  { operations: { look: { every: '1h', run: () => ({ value: 1 }) } } },
);

test('the shift that runs takes them in, by its next flush, and once', async () => {
  const { turns, kit } = await nodeOf(receiving);
  // As the shift of a worker that has the code already, of a tracker that has not been told.
  await turns.leave(kit.shift, true);
  const without = { ...rowOf(receiving).options };
  delete without.receive;
  kit.shift.follow({ ...kit.tracker, options: without });
  expect([kit.shift.life, turns.pools.size]).toEqual([undefined, 0]);
  const look = () => flush({ kit }, { turns });
  const update = () => stack.sql(`update longwatch.tracker set version = version + 1`);
  await update();
  await look();
  await update();
  await look();
  expect(turns.pools.size).toBe(1);
  await send([['a', 5]]);
  turns.lookAtAll();
  await handled();
  await becomes(
    () => stateOf('a'),
    (state) => state === 5,
  );
});
