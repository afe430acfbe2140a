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

beforeAll(() => stack.sql('create table account (id text primary key, sum int not null)'));
beforeEach(() => stack.sql('truncate account'));

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
