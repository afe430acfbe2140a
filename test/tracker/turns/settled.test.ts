/**
 * After a commit of turns, and while one is under way: an error in what it is told to others ends nothing, and a shift
 * that ends meanwhile is not a failure of its messages.
 */
import type { MemberContext } from '../../../config/define/member';
import { setPointHook } from '../../../activities/lib/points';
import { becomes, handled, nodeOf, send, stateOf, trackerOf } from './kit';

const telling = trackerOf({
  receive: {
    attempts: 1,
    handle({ tell }: { tell?: string }, context: MemberContext) {
      context.state = 'handled';
      if (tell !== undefined) context.send(tell, {});
    },
  },
});

test('a route that cannot be asked after a commit ends no commit of the node, and what was sent is handled', async () => {
  const { turns } = await nodeOf(telling);
  const [pool] = turns.pools;
  const asked = jest.spyOn(pool!, 'holds').mockImplementation(() => {
    throw new Error('the route is another one now');
  });
  const told = new Promise<void>((resolve, reject) =>
    setPointHook((point) => {
      // The commit is made; here it is told.
      if (point === 'turns.committed') turns['committer'].idle().then(resolve, reject);
      return undefined;
    }),
  );
  await send([['a', { tell: 'b' }]]);
  turns.lookAtAll();
  await expect(told).resolves.toBeUndefined();
  expect(asked).toHaveBeenCalled();
  asked.mockRestore();
  await handled();
  expect(await stateOf('b')).toBe('handled');
});

test('a pool that leaves while its commit asks for routes is no failure of its turn: it is committed', async () => {
  const { turns, kit, ended } = await nodeOf(telling);
  const meet = turns.meet.bind(turns);
  let left: Promise<void> | undefined;
  jest.spyOn(turns, 'meet').mockImplementation((trackers) => {
    left ??= turns.leave(kit.shift, false);
    return meet(trackers);
  });
  await send([['a', {}]]);
  turns.lookAtAll();
  await becomes(
    () => ended.length,
    (count) => count > 0,
  );
  await left;
  expect(await stateOf('a')).toBe('handled');
  expect(ended).toEqual([expect.objectContaining({ outcome: 'handled' })]);
});
