/** The turns of a node say who is awake, for operations that run for no others. On a real PostgreSQL. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MemberContext } from '../../../config/define/member';
import { applyRoster } from '../../../activities/tracker/roster/apply';
import { becomes, database, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';

const counting = trackerOf(
  {
    state: { initial: 0 },
    receive: { idle: '1500ms', handle: (_message: unknown, ctx: MemberContext<number>) => void ctx.state++ },
  },
  {
    operations: {
      look: {
        every: '1s',
        while: 'awake',
        run: () => ({ value: 1 }),
        apply: (_value: number, ctx: MemberContext<number>) => void (ctx.state += 100),
      },
    },
  },
);
const isAwake = ({ turns }: TurnsNode, id: string) => [...turns.pools][0]!.isAwake(id, ['awake']);

test('a message wakes a member for its time; what an operation brings does not; a new keeper knows who is awake', async () => {
  await nodeOf(counting, { node: 'none' });
  await applyRoster(database, { tracker: 't', pool: 0, changes: [{ id: 'quiet', change: 'add' }] });
  const first = await nodeOf(counting, { node: 'first' });
  const [{ key }] = (await stack.sql(`select key::int from longwatch.member where id = 'quiet'`)) as [{ key: number }];
  await stack.sql(
    `insert into longwatch.value (member, operation, value, fetched_at, changed_at) values ($1, 'look', '5', now(), now())`,
    [key],
  );
  [...first.turns.pools][0]!.wrote([key]);
  await becomes(
    () => stateOf('quiet'),
    (state) => state === 100,
  );
  await send([['a', 1]]);
  first.turns.lookAtAll();
  await handled();
  expect([isAwake(first, 'a'), isAwake(first, 'quiet'), isAwake(first, 'nobody')]).toEqual([true, false, false]);
  expect([...first.turns.pools][0]!.isAwake('nobody', ['awake', 'always'])).toBe(true);
  const second = await nodeOf(counting, { node: 'second' });
  await becomes(
    () => isAwake(second, 'a'),
    (is) => is,
  );
  await becomes(
    async () => (await delay(50), isAwake(second, 'a')),
    (is) => !is,
  );
}, 30_000);
