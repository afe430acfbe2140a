/**
 * Mail that lies where the route of its members placed them before (it should give one text always, and did not): it is
 * moved to where their commits look, and handled in its order.
 */
import type { MemberContext } from '../../../config/define/member';
import { handled, nodeOf, send, stack, stateOf, trackerOf } from './kit';

test('mail in another slot than that of its member is handled all the same, with what lies in the right one', async () => {
  const { turns } = await nodeOf(
    trackerOf({
      state: { initial: (): number[] => [] },
      receive: (message: number, ctx: MemberContext<number[]>) => void ctx.state.push(message),
    }),
  );
  turns.pools.forEach((pool) => (pool.readNotBefore = Infinity));
  await send([
    ['a', 1],
    ['a', 2],
  ]);
  await stack.sql('update longwatch.mail set slot = slot # 12345');
  await send([
    ['a', 3],
    ['b', 4],
  ]);
  turns.pools.forEach((pool) => (pool.readNotBefore = 0));
  turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toEqual([1, 2, 3]);
  expect(await stateOf('b')).toEqual([4]);
});
