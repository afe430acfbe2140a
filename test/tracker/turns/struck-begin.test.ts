/**
 * Strikes of turns that have not begun: they wait for a connection, or their shift ends before. Here a handler that
 * never comes back stands for one that ends its process, as in `struck.test.ts`.
 */
import type { Database, Queryable } from '../../../activities/lib/database';
import { failure } from '../../../activities/lib/failures';
import type { MemberContext } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { Longwatch } from '../../../client/longwatch';
import { ErrorType } from '../../../workflows/lib/errors';
import { hashId } from '../../../workflows/lib/hash';
import { rowOf } from '../shift-kit';
import { becomes, database, mailCount, nodeOf, send, stack, trackerOf, type TurnsNode } from './kit';

let connected: Promise<Longwatch> | undefined;
const longwatch = async () => (await (connected ??= stack.connect())).tracker('t');
const never = new Promise<never>(() => undefined);
let keeper = 0;
/** Handlers that have begun: the number of the keeper, and the member. */
let begun: string[] = [];
beforeEach(async () => {
  keeper = 0;
  begun = [];
  const { name, options } = rowOf(plain);
  await stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, 1)', [
    name,
    JSON.stringify(options),
  ]);
});
const strikes = () => stack.sql<{ key: string; count: number }>('select key, count from longwatch.strike order by key');
const handle = (_message: unknown, { id }: MemberContext): Promise<never> => {
  begun.push(`${keeper} ${id}`);
  return never;
};
const plain = trackerOf({ receive: { timeout: '1h', handle } });
const alone = trackerOf({ receive: { timeout: '1h', transaction: true, handle } });

/** The next keeper: the pool was let go by nobody. */
async function next(definition: TrackerDefinition, setup = {}): Promise<TurnsNode> {
  keeper++;
  const node = await nodeOf(definition, { node: `n${keeper}`, setup });
  node.turns.lookAtAll();
  return node;
}
/** Keepers with these handlers at work, whose processes end one after the other. */
async function die(keepers: number, ids: readonly string[], definition: TrackerDefinition): Promise<void> {
  for (let i = 0; i < keepers; i++) {
    const { turns } = await next(definition);
    await becomes(
      () => begun,
      (all) => ids.every((id) => all.includes(`${keeper} ${id}`)),
    );
    for (const pool of turns.pools) pool.isClosed = true;
    await stack.sql(`select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'`);
  }
}

test('a turn that could not begin proves nothing: its strikes stay', async () => {
  await send([['a', {}]]);
  await die(2, ['a'], alone);
  let tried = 0;
  const away = (): Promise<never> => {
    tried++;
    return Promise.reject(failure(ErrorType.StoreUnavailable, 'away'));
  };
  const { turns, kit } = await next(alone, { handlers: { most: 1, transaction: away } });
  await becomes(
    () => tried,
    (times) => times >= 3,
  );
  await turns.leave(kit.shift, true);
  // As the second keeper has left it: the first one had nothing to count it for.
  expect(await strikes()).toEqual([expect.objectContaining({ count: 1 })]);
  expect(begun).not.toContain('3 a');
});

test('a turn that waits for a connection is not counted as one that is at work', async () => {
  await send([
    ['a', {}],
    ['b', {}],
  ]);
  await die(1, ['a', 'b'], alone);
  const { turns } = await next(alone, { handlers: { most: 1, transaction: () => never } });
  await becomes(
    () => [...turns.pools][0]!.begun,
    (both) => both === 2,
  );
  expect(await becomes(strikes, (all) => all.length > 0)).toEqual([expect.objectContaining({ count: 1 })]);
});

test.each([
  ['and the strike is taken back', 1, []],
  ['and what earlier keepers have counted stays as it was', 2, [expect.objectContaining({ count: 1 })]],
])('a turn whose shift ends while its strike is counted does not begin, %s', async (_, ended, left) => {
  await send([['a', {}]]);
  await die(ended, ['a'], plain);
  let asked = false;
  let count = (): void => undefined;
  const counted = new Promise<void>((resolve) => (count = resolve));
  const single: Queryable = {
    query: async (query) => {
      if (query.name === 'strike-count') {
        asked = true;
        await counted;
      }
      return database.single.query(query);
    },
  };
  const second = await next(plain, { database: Object.create(database, { single: { value: single } }) as Database });
  await becomes(
    () => asked,
    (is) => is,
  );
  const leaving = second.turns.leave(second.kit.shift, true);
  count();
  await leaving;
  expect(begun).not.toContain(`${keeper} a`);
  expect(await strikes()).toEqual(left);
  expect(await mailCount()).toBe(1);
  // It was at work in fewer processes than make a dead letter.
  await next(plain);
  await becomes(
    () => begun,
    (all) => all.includes(`${keeper} a`),
  );
});

test('the strikes of a value are shown, by the key that its turn has', async () => {
  const applying = trackerOf(
    { receive: () => undefined },
    {
      operations: { look: { every: '1h', run: () => ({ value: 0 }), apply: (_value, context) => handle(0, context) } },
    },
  );
  await stack.sql(
    `with member as (
       insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', 'a', $1, 1, 0) returning key
     )
     insert into longwatch.value (member, operation, value, changed_at) select key, 'look', '1', clock_timestamp() from member`,
    [hashId('a')],
  );
  const { life: before } = await (await longwatch()).show('a');
  expect(before).toBeNull();
  await die(2, ['a'], applying);
  const { struckValues } = await (await longwatch()).member('a').show();
  expect(struckValues).toEqual([expect.objectContaining({ operation: 'look', strikes: 1 })]);
});
