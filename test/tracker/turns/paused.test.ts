/** While a tracker is paused its members take messages and handle none; what is due waits, and costs nothing. */
import type { MemberContext } from '../../../config/define/member';
import { slotsOf } from '../../../workflows/tracker/slots';
import { becomes, handled, nodeOf, send, trackerOf, type TurnsNode } from './kit';

let begun: unknown[] = [];
beforeEach(() => (begun = []));
const noting = trackerOf({
  receive: (message: { after?: number }, ctx: MemberContext) => {
    begun.push(message);
    if (message.after !== undefined) ctx.after(message.after, { rang: true });
  },
});
const set = ({ kit }: TurnsNode, state: 'paused' | 'running') => kit.shift.follow({ ...kit.tracker, state });
/** Its mail is in memory, and so is the member: a turn could begin. */
const couldBegin = async ({ turns }: TurnsNode, id: string) => {
  const [pool] = turns.pools;
  await becomes(
    () => (turns.lookAtAll(), pool!.members.memory.entries),
    (entries) => entries > 0,
  );
  await becomes(
    () => pool!.members.member(id)?.phase,
    (phase) => phase === 'here',
  );
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
};

test('no handler begins until it is resumed, also at a keeper that has come meanwhile', async () => {
  const node = await nodeOf(noting);
  set(node, 'paused');
  expect(await send([['a', {}]])).toEqual(['taken']);
  await couldBegin(node, 'a');
  expect(begun).toEqual([]);
  await node.turns.leave(node.kit.shift, true);
  node.turns.keep(node.kit.shift, slotsOf(0, 1));
  await couldBegin(node, 'a');
  expect(begun).toEqual([]);
  set(node, 'running');
  await handled();
  expect(begun).toEqual([{}]);
});

test('a timer that is due waits, and the node does not look at it all the time', async () => {
  const node = await nodeOf(noting);
  const { turns } = node;
  await send([['a', { after: 100 }]]);
  turns.lookAtAll();
  await handled();
  const due = Date.now() + 100;
  set(node, 'paused');
  await becomes(Date.now, (now) => now > due);
  let seconds = 0;
  let works = 0;
  const counted = turns as unknown as { lookAtAll(): void; work(): void };
  const { lookAtAll, work } = counted;
  counted.lookAtAll = () => (seconds++, lookAtAll.call(turns));
  counted.work = () => (works++, work.call(turns));
  await becomes(
    () => seconds,
    (looks) => looks >= 2,
  );
  expect(works).toBeLessThan(50);
  expect(begun).toEqual([{ after: 100 }]);
  set(node, 'running');
  await becomes(
    () => begun,
    (all) => all.length === 2,
  );
  expect(begun[1]).toEqual({ rang: true });
});
