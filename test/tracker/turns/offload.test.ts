/**
 * Members that leave the node's memory and come back, while mail, timers and values of operations come for them:
 * nothing is lost, doubled or out of its order, and `unload` has ended before `load` is called again.
 */
import type { MemberContext } from '../../../config/define/member';
import { endLives, purgeLives } from '../../../activities/tracker/store/ended-lives';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { hashId } from '../../../workflows/lib/hash';
import { becomes, database, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';

interface State {
  got: number[];
  rang: number[];
  looks: number[];
}
let calls: string[] = [];
let unloading = Promise.resolve();
beforeEach(() => {
  calls = [];
  unloading = Promise.resolve();
});
const initial = (): State => ({ got: [], rang: [], looks: [] });
const noting = trackerOf(
  {
    state: { initial },
    load: ({ id }) => void calls.push(`load ${id}`),
    async unload({ id }) {
      calls.push(`unload ${id}`);
      await unloading;
      calls.push(`unloaded ${id}`);
    },
    receive: (message: { n: number } | { rang: number }, { state, after }: MemberContext<State>) => {
      if ('rang' in message) state.rang.push(message.rang);
      else {
        state.got.push(message.n);
        after(1, { rang: message.n });
      }
    },
  },
  {
    operations: {
      look: {
        every: '1h',
        run: () => ({ value: 0 }),
        apply: (value: number, { state }: MemberContext<State>) => void state.looks.push(value),
      },
    },
  },
);

/** As each second, of members that had nothing to do for the last millisecond. */
function unloadAll({ turns }: TurnsNode): void {
  for (const pool of turns.pools) pool.options = { ...pool.options, idleMs: 1 };
  turns['eachSecond']();
}
const state = async (id: string) => (await stateOf(id)) as State | undefined;

test('the next load of a member waits for its unload', async () => {
  let end!: () => void;
  unloading = new Promise<void>((resolve) => (end = resolve));
  const node = await nodeOf(noting);
  await send([['a', { n: 1 }]]);
  node.turns.lookAtAll();
  await becomes(
    () => state('a'),
    (is) => is?.rang.length === 1,
  );
  await becomes(
    () => (unloadAll(node), calls),
    (all) => all.includes('unload a'),
  );
  await send([['a', { n: 2 }]]);
  node.turns.lookAtAll();
  await becomes(
    () => [...node.turns.pools][0]!.begun,
    (turns) => turns === 1,
  );
  end();
  await becomes(
    () => state('a'),
    (is) => is!.got.length === 2,
  );
  expect(calls.slice(0, 4)).toEqual(['load a', 'unload a', 'unloaded a', 'load a']);
});

test('an unload that hangs does not keep the messages of its member', async () => {
  unloading = new Promise<void>(() => undefined);
  const node = await nodeOf(noting);
  for (const n of [1, 2]) {
    await send([['a', { n }]]);
    node.turns.lookAtAll();
    await becomes(
      () => state('a'),
      (is) => is?.rang.length === n,
    );
    await becomes(
      () => (unloadAll(node), calls.filter((one) => one === 'unload a').length),
      (unloads) => unloads === n,
    );
  }
});

test('under mail, timers and values nothing is lost or doubled, and the order is kept', async () => {
  const node = await nodeOf(noting);
  const ids = ['a', 'b', 'c'];
  const numbers = Array.from({ length: 31 }, (_, n) => n);
  const value = (n: number) =>
    stack.sql(
      `insert into longwatch.value (member, operation, value, changed_at)
       select key, 'look', to_jsonb($1::int), clock_timestamp() from longwatch.member
       on conflict (member, operation) do update set value = excluded.value, changed_at = excluded.changed_at`,
      [n],
    );
  for (const n of numbers) {
    await send(ids.map((id) => [id, { n }]));
    if (n % 3 === 0) await value(n);
    for (const pool of node.turns.pools) node.turns['reader'].values(pool);
    unloadAll(node);
    // Each leaves the memory once at least before more comes for it, however fast the rest is.
    if (n > 0) continue;
    await becomes(
      () => (unloadAll(node), calls),
      (made) => ids.every((id) => made.includes(`unloaded ${id}`)),
    );
  }
  for (const id of ids) {
    const is = await becomes(
      () => (unloadAll(node), state(id)),
      (found) => found?.rang.length === numbers.length && found.looks.at(-1) === numbers.at(-1),
    );
    expect(is!.got).toEqual(numbers);
    expect([...is!.rang].sort((x, y) => x - y)).toEqual(numbers);
    expect(is!.looks).toEqual([...new Set(is!.looks)].sort((x, y) => x - y));
  }
  await becomes(
    () => (unloadAll(node), calls),
    (made) => ids.every((id) => made.filter((one) => one === `unloaded ${id}`).length > 1),
  );
  await node.turns.leave(node.kit.shift, true);
  for (const id of ids) {
    const of = await becomes(
      () => calls.filter((one) => one.endsWith(` ${id}`)),
      (made) => made.at(-1) === `unloaded ${id}`,
    );
    // One after another; a turn that is begun again calls `load` again.
    const once = of.filter((call, i) => call !== `load ${id}` || of[i - 1] !== call);
    expect(once).toEqual(once.map((_, i) => [`load ${id}`, `unload ${id}`, `unloaded ${id}`][i % 3]));
  }
});

test('a member that was removed, forgotten and made anew begins as a new one, also where it is in memory', async () => {
  const node = await nodeOf(noting);
  for (const n of [1, 2]) {
    await send([['a', { n }]]);
    node.turns.lookAtAll();
    await handled();
    await becomes(
      () => state('a'),
      (is) => is?.rang.length === 1,
    );
    expect(await stateOf('a')).toEqual({ got: [n], rang: [n], looks: [] });
    const [removed] = await stack.sql<{ stamp: number }>(
      `update longwatch.member set removed_at = now() - interval '3 days', stamp = nextval('longwatch.stamp')
       where id = 'a' returning stamp::float8 as stamp`,
    );
    await database.transaction((db) => endLives(db, 't', [{ id: 'a', hash: hashId('a'), stamp: removed!.stamp }]));
    await stack.sql(`update longwatch.life set written_at = now() - interval '3 days'`);
    await stack.sql(`update longwatch.life_ended set ended_at = now() - interval '3 days'`);
    await database.transaction((db) => purgeLives(db, MEMBER));
    await stack.sql(`delete from longwatch.member where removed_at is not null`);
    expect(await stack.sql('select 1 from longwatch.life')).toEqual([]);
  }
});
