/**
 * The mail of a pool is bounded: the node that keeps it counts what it has no room for, senders wait then, and go on
 * when a quarter of it is free.
 */
import type { MemberContext } from '../../../config/define/member';
import type { Queryable } from '../../../activities/lib/database';
import { MEMBER } from '../../../activities/tracker/member/constants';
import { CountTimes, sayWhichAreFull } from '../../../activities/tracker/store/mail-full';
import { hashId } from '../../../workflows/lib/hash';
import { poolOf } from '../../../workflows/tracker/plan';
import { slotsOf } from '../../../workflows/tracker/slots';
import { rowOf } from '../shift-kit';
import { becomes, database, handled, nodeOf, send, stack, trackerOf } from './kit';

const limits = {
  ...MEMBER,
  poolMail: { entries: 8, bytes: 10_000 },
  handlerPoolMail: { entries: 16, bytes: 20_000 },
  poolMemory: { entries: 2, bytes: 10_000 },
};
const full = () => stack.sql<object>('select pool, entries::int, for_handlers from longwatch.mail_full order by pool');
const many = (count: number) => Array.from({ length: count }, (_, i): [string, unknown] => [`m${i}`, 1]);

let release = (): void => undefined;
let held = Promise.resolve();
beforeEach(() => {
  held = new Promise<void>((resolve) => (release = resolve));
});
const waiting = trackerOf({
  receive: { timeout: '1m', handle: (_message: unknown, _ctx: MemberContext) => held },
});

test('its keeper says that it is full: senders wait, whoever they send to, until it is not', async () => {
  const { turns } = await nodeOf(waiting, { limits });
  await send(many(7));
  turns.lookAtAll();
  await becomes(
    () => [...turns.pools][0]!.members.hasMore,
    (hasMore) => hasMore,
  );
  expect(await send([['new', 1]])).toEqual(['taken']);
  const look = async (is: boolean) => {
    await becomes(
      async () => {
        turns.lookAtAll();
        return (await full()).length > 0;
      },
      (isFull) => isFull === is,
    );
  };
  await look(true);
  expect(await full()).toEqual([{ pool: 0, entries: 8, for_handlers: false }]);
  expect(await send([['other', 1]])).toEqual(['wait']);
  release();
  await handled();
  await look(false);
  expect(await send([['other', 1]])).toEqual(['taken']);
  await handled();
});

test('mail that is kept back by messages which fail is counted as well', async () => {
  const fails = () => {
    throw new Error('no');
  };
  const { poolMail, handlerPoolMail } = limits;
  const failing = trackerOf({ receive: { retryBase: '1h', retryCap: '1h', handle: fails } });
  const { turns } = await nodeOf(failing, { limits: { poolMail, handlerPoolMail } });
  await send(['a', 'b', 'c'].flatMap((id) => [1, 2, 3].map((n): [string, unknown] => [id, n])));
  await becomes(
    () => (turns.lookAtAll(), full()),
    (rows) => rows.length > 0,
  );
  expect(await full()).toEqual([{ pool: 0, entries: 9, for_handlers: false }]);
  expect(await send([['other', 1]])).toEqual(['wait']);
});

test('what handlers send into a pool that nobody keeps is counted by their node', async () => {
  const receiving = trackerOf({
    receive: ({ to }: { to?: string }, ctx: MemberContext) => {
      if (to !== undefined) ctx.send(to, {});
    },
  });
  const { name, options } = rowOf(receiving);
  await stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, 2)', [
    name,
    JSON.stringify(options),
  ]);
  const idIn = (pool: number, from = 0): string => {
    for (let i = from; ; i++) if (poolOf(hashId(`m${i}`), 2) === pool) return `m${i}`;
  };
  const { turns } = await nodeOf(receiving, { limits, layout: { pool: 0, pools: 2 } });
  await stack.sql('update longwatch.tracker set pools = 2');
  const rows = await becomes(
    async () => {
      await send([[idIn(0), { to: idIn(1, Math.floor(Math.random() * 1_000)) }]]);
      turns.lookAtAll();
      return full();
    },
    (found) => found.length > 0,
  );
  expect(rows).toMatchObject([{ pool: 1 }]);
});

describe('whoever counts', () => {
  const pool = { tracker: 't', pool: 0, slots: slotsOf(0, 1) };
  const count = () => sayWhichAreFull(database.single, [pool], limits);
  const left = (messages: number) =>
    stack.sql('delete from longwatch.mail where id not in (select id from longwatch.mail order by id limit $1)', [
      messages,
    ]);

  test('says so at the bound, and takes it back when a quarter is free; handlers have a bound of their own', async () => {
    const { turns } = await nodeOf(waiting);
    turns.pools.forEach((one) => (one.isClosed = true));
    await send(many(7));
    await count();
    expect(await full()).toEqual([]);
    await send(many(8));
    await count();
    expect(await full()).toEqual([{ pool: 0, entries: 15, for_handlers: false }]);
    await stack.sql('delete from longwatch.mail_full');
    await send(many(1));
    await count();
    expect(await full()).toEqual([{ pool: 0, entries: 16, for_handlers: true }]);
    await left(12);
    await count();
    expect(await full()).toEqual([{ pool: 0, entries: 12, for_handlers: true }]);
    await left(11);
    await count();
    expect(await full()).toEqual([{ pool: 0, entries: 11, for_handlers: false }]);
    await left(6);
    await count();
    expect(await full()).toHaveLength(1);
    await left(5);
    await count();
    expect(await full()).toEqual([]);
  });

  test('counts bytes as well, and leaves out a tracker that is gone', async () => {
    const { turns } = await nodeOf(waiting);
    turns.pools.forEach((one) => (one.isClosed = true));
    await send([['a', 'x'.repeat(9_998)]]);
    await count();
    expect(await full()).toEqual([{ pool: 0, entries: 1, for_handlers: false }]);
    await stack.sql('delete from longwatch.tracker');
    await count();
    expect(await full()).toEqual([]);
  });

  test('counts many in parts, and where one of these takes too long, says so of the others all the same', async () => {
    const { turns } = await nodeOf(waiting);
    turns.pools.forEach((one) => (one.isClosed = true));
    await send(many(8));
    const nowhere = Array.from({ length: 4 }, (_, i) => ({ ...pool, tracker: 'u', pool: i }));
    let statements = 0;
    const failing: Queryable = {
      query: (query) => {
        if (++statements === 1) return Promise.reject(Object.assign(new Error('it took too long'), { code: '57014' }));
        return database.single.query(query);
      },
    };
    await expect(sayWhichAreFull(failing, [...nowhere, pool], limits)).rejects.toThrow('it took too long');
    expect(await full()).toEqual([{ pool: 0, entries: 8, for_handlers: false }]);
  });

  test('does so one at a time, and not again at once', async () => {
    const times = new CountTimes();
    let counts = 0;
    let end!: () => void;
    const work = () => new Promise<void>((resolve) => (counts++, (end = resolve)));
    times.run(work);
    times.run(work);
    expect(counts).toBe(1);
    end();
    await times.idle();
    times.run(work);
    expect([counts, times.isDue]).toEqual([1, false]);
  });
});
