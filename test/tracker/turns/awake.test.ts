/** The turns of a node say who is awake, for operations that run for no others. On a real PostgreSQL. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MemberContext } from '../../../config/define/member';
import type { Duration } from '../../../config/define/types';
import { applyRoster } from '../../../activities/tracker/roster/apply';
import { recentLives } from '../../../activities/tracker/store/lives';
import { slotsOf } from '../../../workflows/tracker/slots';
import { becomes, database, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';

const countingFor = (idle: Duration) =>
  trackerOf(
    {
      state: { initial: 0 },
      receive: { idle, handle: (_message: unknown, ctx: MemberContext<number>) => void ctx.state++ },
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
const counting = countingFor('1500ms');
/** A value of the member's operation is written, and has been applied. */
async function bring({ turns }: TurnsNode, id: string, state: number): Promise<void> {
  const [{ key }] = (await stack.sql(`select key::int from longwatch.member where id = $1`, [id])) as [{ key: number }];
  await stack.sql(
    `insert into longwatch.value (member, operation, value, fetched_at, changed_at) values ($1, 'look', '5', now(), now())
     on conflict (member, operation) do update set changed_at = now()`,
    [key],
  );
  [...turns.pools][0]!.wrote([key]);
  await becomes(
    () => stateOf(id),
    (is) => is === state,
  );
}
const isAwake = ({ turns }: TurnsNode, id: string) => [...turns.pools][0]!.isAwake(id, ['awake']);

test('a message wakes a member for its time; what an operation brings does not; a new keeper knows who is awake', async () => {
  await nodeOf(counting, { node: 'none' });
  await applyRoster(database, { tracker: 't', pool: 0, changes: [{ id: 'quiet', change: 'add' }] });
  const first = await nodeOf(counting, { node: 'first' });
  await bring(first, 'quiet', 100);
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
});

test('who was awake is judged by messages and timers, also where values were applied since; by every keeper', async () => {
  const resting = countingFor('1h');
  const first = await nodeOf(resting, { node: 'first' });
  const found = async () => {
    const [recent] = await recentLives(database.single, 't', slotsOf(0, 1), 3_600_000);
    type Row = { written_at: number };
    const [life] = await stack.sql<Row>(
      `select extract(epoch from written_at)::float8 * 1000 as written_at from longwatch.life`,
    );
    return { at: recent!.at, isOfRow: Math.abs(recent!.at - life!.written_at) < 0.5 };
  };
  await send([['a', 1]]);
  first.turns.lookAtAll();
  await handled();
  expect(await found()).toMatchObject({ isOfRow: true });
  await bring(first, 'a', 101);
  const { at, isOfRow } = await found();
  expect(isOfRow).toBe(false);
  const second = await nodeOf(resting, { node: 'second' });
  await bring(second, 'a', 201);
  expect(await found()).toEqual({ at, isOfRow: false });
  await send([['a', 1]]);
  second.turns.lookAtAll();
  await handled();
  const later = await found();
  expect(later.isOfRow).toBe(true);
  expect(later.at).toBeGreaterThan(at);
});
