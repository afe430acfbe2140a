/**
 * Turns that have a transaction of their own: what the handler reads and writes there commits with its state, or not
 * at all.
 */
import type { MemberContext } from '../../../config/define/member';
import { becomes, handled, nodeOf, replyTo, send, stack, stateOf, trackerOf } from './kit';

interface Message {
  add: number;
  fail?: string;
  state?: 'circular';
}

beforeAll(async () => {
  await stack.sql('create table account (id text primary key, sum int not null)');
  await stack.sql('create table owed (id text references account (id) deferrable initially deferred)');
});
beforeEach(() => stack.sql('truncate account cascade'));

let runs = 0;
const booking = trackerOf({
  state: { initial: { count: 0 } },
  receive: {
    transaction: true,
    retryBase: 20,
    attempts: 3,
    async handle({ add, fail, state }: Message, context: MemberContext<{ count: number; self?: unknown }>) {
      runs++;
      const { rows } = await context.query<{ sum: number }>('select sum from account where id = $1', [context.id]);
      const sum = (rows[0]?.sum ?? 0) + add;
      await context.query('insert into account values ($1, $2) on conflict (id) do update set sum = excluded.sum', [
        context.id,
        sum,
      ]);
      context.state.count++;
      if (state === 'circular') context.state.self = context.state;
      if (fail !== undefined && runs < 3) throw new Error(fail);
      context.reply(sum);
    },
  },
});
const sums = () => stack.sql<{ id: string; sum: number }>('select * from account order by id');

test('what it has read and written is committed with its state, its mail and its reply', async () => {
  const { turns } = await nodeOf(booking);
  await send([
    ['a', { add: 1 }],
    ['b', { add: 5 }],
    ['a', { add: 2 }, { request: { id: 'r', deadline: Date.now() + 60_000, client: 'c' } }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await sums()).toEqual([
    { id: 'a', sum: 3 },
    { id: 'b', sum: 5 },
  ]);
  expect(await stateOf('a')).toEqual({ count: 2 });
  expect(await replyTo('r')).toMatchObject({ json: '3' });
});

test('a handler that throws leaves none of it, and is tried again', async () => {
  runs = 0;
  const { turns, errors } = await nodeOf(booking);
  await send([['a', { add: 1, fail: 'no' }]]);
  turns.lookAtAll();
  await handled();
  expect(errors.map(({ error }) => error.message)).toEqual([
    expect.stringContaining('no'),
    expect.stringContaining('no'),
  ]);
  expect(await sums()).toEqual([{ id: 'a', sum: 1 }]);
  expect(await stateOf('a')).toEqual({ count: 1 });
});

test('a state that JSON cannot say is its failure, and in the end a dead letter; what it wrote is not there', async () => {
  const { turns } = await nodeOf(booking);
  await send([['a', { add: 1, state: 'circular' }]]);
  turns.lookAtAll();
  const dead = await becomes(
    () => stack.sql<{ attempts: number; error: string }>('select attempts, error from longwatch.member_dead'),
    (rows) => rows.length > 0,
  );
  expect(dead).toEqual([{ attempts: 3, error: expect.stringContaining('circular') as string }]);
  expect(await sums()).toEqual([]);
});

const deadOf = () =>
  becomes(
    () => stack.sql<{ attempts: number; error: string }>('select attempts, error from longwatch.member_dead'),
    (rows) => rows.length > 0,
  );

test.each<[string, string, string]>([
  ['a statement whose error the handler has caught', 'select 1 / 0', 'transaction is aborted'],
  ['a constraint that is looked at in the end', `insert into owed values ('nobody')`, 'foreign key'],
])('%s fails its message: it is tried as often as others, and is a dead letter then', async (_, sql, words) => {
  let tries = 0;
  const swallowing = trackerOf({
    receive: {
      transaction: true,
      attempts: 2,
      retryBase: 10,
      async handle(_message: unknown, context: MemberContext) {
        tries++;
        await context.query(sql).catch(() => undefined);
      },
    },
  });
  const { turns, errors } = await nodeOf(swallowing);
  await send([['a', {}]]);
  turns.lookAtAll();
  expect(await deadOf()).toEqual([{ attempts: 2, error: expect.stringContaining(words) as string }]);
  expect(tries).toBe(2);
  expect(errors.map(({ error }) => error.message)).toEqual([
    expect.stringContaining(words),
    expect.stringContaining(words),
  ]);
});

test('a handler whose time is over writes nothing behind its rollback', async () => {
  let late!: (outcome: unknown) => void;
  const outcome = new Promise<unknown>((resolve) => (late = resolve));
  const slow = trackerOf({
    receive: {
      transaction: true,
      attempts: 1,
      timeout: 100,
      async handle(_message: unknown, context: MemberContext) {
        await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
        // The rollback is on its way.
        await new Promise(setImmediate);
        const write = async () => context.query(`insert into account values ('late', 1)`);
        late(await write().catch((error: unknown) => error));
      },
    },
  });
  const { turns } = await nodeOf(slow);
  await send([['a', {}]]);
  turns.lookAtAll();
  expect(await outcome).toMatchObject({ message: expect.stringContaining('is over') as string });
  await deadOf();
  expect(await sums()).toEqual([]);
});

test('a query that nobody awaits ends no process: its message fails', async () => {
  const careless = trackerOf({
    receive: {
      transaction: true,
      attempts: 1,
      handle(_message: unknown, context: MemberContext) {
        void context.query('select 1 / 0');
      },
    },
  });
  const { turns } = await nodeOf(careless);
  await send([['a', {}]]);
  turns.lookAtAll();
  expect(await deadOf()).toEqual([{ attempts: 1, error: expect.stringContaining('aborted') as string }]);
});
