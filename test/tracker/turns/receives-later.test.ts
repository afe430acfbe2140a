/** `receive` that a tracker gets while its shift runs (`start --update`): the shift's members take messages at once. */
import type { MemberContext } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { becomes, flush, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';
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

/** As the shift of a worker that has the code already, of a tracker that has not been told. */
async function notYet(definition: TrackerDefinition): Promise<TurnsNode> {
  const node = await nodeOf(definition);
  const { turns, kit } = node;
  await turns.leave(kit.shift, true);
  const without = { ...rowOf(definition).options };
  delete without.receive;
  kit.shift.follow({ ...kit.tracker, options: without });
  expect([kit.shift.life, turns.pools.size]).toEqual([undefined, 0]);
  return node;
}

/** The tracker's row is another one, and the node flushes. */
async function update(node: TurnsNode): Promise<void> {
  await stack.sql(`update longwatch.tracker set version = version + 1`);
  await flush(node, { turns: node.turns });
}

test('the shift that runs takes them in, by its next flush, and once', async () => {
  const node = await notYet(receiving);
  const { turns } = node;
  await update(node);
  await update(node);
  expect(turns.pools.size).toBe(1);
  await send([['a', 5]]);
  turns.lookAtAll();
  await handled();
  await becomes(
    () => stateOf('a'),
    (state) => state === 5,
  );
});

test('what may have ended the processes of earlier keepers has a strike before it begins', async () => {
  const found: unknown[] = [];
  const noting = trackerOf({
    receive: async () => void found.push(...(await stack.sql('select count from longwatch.strike'))),
  });
  const node = await notYet(noting);
  await send([['a', 1]]);
  await stack.sql('update longwatch.pool set struck_before = clock_timestamp()');
  await update(node);
  await handled();
  expect(found).toEqual([{ count: 1 }]);
});
