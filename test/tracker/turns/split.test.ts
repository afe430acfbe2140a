/**
 * A pool that is split while mail comes: its keeper forgets whom it has not any more, the other pool's keeper goes on
 * with them, and each message is handled once, in the order of its sender.
 */
import type { Database, Queryable } from '../../../activities/lib/database';
import type { MemberContext } from '../../../config/define/member';
import { splitPool } from '../../../activities/tracker/store/pools';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf, slotsOf, holds } from '../../../workflows/tracker/slots';
import { rowOf } from '../shift-kit';
import { becomes, database, flush, handled, nodeOf, send, stack, stateOf, trackerOf, type TurnsNode } from './kit';

const ids = Array.from({ length: 12 }, (_, i) => `m${i}`);
const moves = (id: string) => holds(slotsOf(1, 2), slotOf(hashId(id)));

let unloaded: string[] = [];
let loaded: string[] = [];
let held: Promise<void> | undefined;
let aborted: string[] = [];
beforeEach(() => {
  unloaded = [];
  loaded = [];
  aborted = [];
  held = undefined;
});
const noting = trackerOf({
  state: { initial: (): number[] => [] },
  load: ({ id }) => void loaded.push(id),
  unload: ({ id }) => void unloaded.push(id),
  receive: {
    timeout: '1m',
    async handle(message: number, ctx: MemberContext<number[]>) {
      ctx.state.push(message);
      if (message < 0 && held) {
        ctx.signal.addEventListener('abort', () => aborted.push(ctx.id));
        await held;
      }
    },
  },
});

const split = () =>
  database.transaction(async (db) => {
    await db.query({ text: `update longwatch.tracker set pools = 2 where name = 't'`, values: [] });
    await splitPool(db, 't', 1);
  });
test('the keeper unloads whom it gives away, and ends their code; their messages are handled by the other keeper', async () => {
  const { turns, kit } = await nodeOf(noting, { node: 'first' });
  await send(ids.map((id) => [id, 1]));
  turns.lookAtAll();
  await handled();
  let end!: () => void;
  held = new Promise<void>((resolve) => (end = resolve));
  const [moving, staying] = [ids.find(moves)!, ids.find((id) => !moves(id))!];
  await send([
    [moving, -1],
    [staying, -1],
  ]);
  turns.lookAtAll();
  await becomes(
    () => [...turns.pools][0]!.running.size,
    (size) => size === 2,
  );
  await split();
  await flush({ kit });
  await becomes(
    () => unloaded.length,
    (count) => count >= ids.filter(moves).length,
  );
  expect(unloaded.sort()).toEqual(ids.filter(moves).sort());
  expect(aborted).toEqual([moving]);
  held = undefined;
  const second = await nodeOf(noting, { node: 'second', layout: { pool: 1, pools: 2 } });
  second.turns.lookAtAll();
  await becomes(
    () => stateOf(moving),
    (state) => (state as number[]).length === 2,
  );
  expect(await stateOf(staying)).toEqual([1]);
  end();
  await handled();
  expect(await stateOf(staying)).toEqual([1, -1]);
  expect(loaded).toHaveLength(ids.length + 1);
});

describe('what was read before the split is left to the other keeper', () => {
  const looking = trackerOf(
    { receive: () => undefined },
    { operations: { look: { every: '1h', run: () => ({ value: 0 }), apply: () => undefined } } },
  );
  const moving = ids.find(moves)!;
  const staying = ids.find((id) => !moves(id))!;
  let asked = false;
  let goOn = (): void => undefined;
  /** A database whose answers to this statement are held until `goOn`: also those to what the node asks by itself. */
  const databaseThatHolds = (statement: string): Database => {
    asked = false;
    const on = new Promise<void>((resolve) => (goOn = resolve));
    const query: Queryable['query'] = async (given) => {
      const found = await database.single.query(given);
      if (given.name === statement) {
        asked = true;
        await on;
      }
      return found as never;
    };
    return Object.create(database, { single: { value: { query } } }) as Database;
  };
  /** Read by its statement, which is answered when the pool has been split. It must find it: it is there before. */
  async function splitMeanwhile(statement: string, read: (node: TurnsNode) => void): Promise<TurnsNode> {
    const node = await nodeOf(looking, { setup: { database: databaseThatHolds(statement) } });
    read(node);
    await becomes(
      () => asked,
      (is) => is,
    );
    await split();
    await flush(node);
    goOn();
    return node;
  }
  beforeEach(async () => {
    const { name, options } = rowOf(looking);
    await stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, 1)', [
      name,
      JSON.stringify(options),
    ]);
    for (const id of [moving, staying])
      await stack.sql(
        `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', $1, $2, 1, 0)`,
        [id, hashId(id)],
      );
  });
  const timers = () => stack.sql<{ id: string }>('select id from longwatch.timer');
  const applied = () => stack.sql<{ id: string }>(`select id from longwatch.life where applied <> '[]'`);

  test('timers', async () => {
    for (const id of [moving, staying])
      await stack.sql(
        `insert into longwatch.timer (tracker, id, name, slot, set, at, json) values ('t', $1, 'one', $2, 1, now(), '1')`,
        [id, slotOf(hashId(id))],
      );
    const { turns } = await splitMeanwhile('timer-due', ({ turns: of }) => of.lookAtAll());
    turns.lookAtAll();
    await becomes(
      () => (turns.lookAtAll(), timers()),
      (left) => !left.some(({ id }) => id === staying),
    );
    expect(await timers()).toEqual([{ id: moving }]);
  });

  test('values for apply', async () => {
    await stack.sql(
      `insert into longwatch.value (member, operation, value, changed_at)
       select key, 'look', '1', clock_timestamp() from longwatch.member`,
    );
    const { turns } = await splitMeanwhile('value-unapplied', ({ turns: of }) =>
      of['reader'].values([...of.pools][0]!),
    );
    await becomes(applied, (all) => all.some(({ id }) => id === staying));
    expect([...turns.pools][0]!.members.member(moving)).toBeUndefined();
    expect(await applied()).toEqual([{ id: staying }]);
  });
});

test('under mail nothing is lost, nothing doubled, and the order of each sender is kept', async () => {
  const first = await nodeOf(noting, { node: 'first' });
  const total = 40;
  let sent = 0;
  const more = async (rounds: number) => {
    for (; rounds > 0; rounds--) {
      sent++;
      await send(ids.map((id) => [id, sent]));
      first.turns.lookAtAll();
    }
  };
  await more(10);
  const during = more(total - 20);
  await split();
  await flush(first);
  const second = await nodeOf(noting, { node: 'second', layout: { pool: 1, pools: 2 } });
  second.turns.lookAtAll();
  await during;
  await more(10);
  await becomes(
    async () => {
      first.turns.lookAtAll();
      second.turns.lookAtAll();
      await flush(first);
      await flush(second);
      const [row] = await stack.sql<{ count: number }>('select count(*)::int as count from longwatch.mail');
      return row!.count;
    },
    (count) => count === 0,
  );
  const all = Array.from({ length: total }, (_, i) => i + 1);
  for (const id of ids) expect([id, await stateOf(id)]).toEqual([id, all]);
});
