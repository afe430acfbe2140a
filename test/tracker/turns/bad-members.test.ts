/**
 * Members that behave badly harm nobody else of their pool: one that throws in `load`, one that grows without end, one
 * that never returns; states and replies of no bytes, of 3 MB, with NUL and half of a surrogate pair, circular.
 */
import type { MemberContext } from '../../../config/define/member';
import { becomes, handled, mailCount, nodeOf, replyTo, send, stack, stateOf, trackerOf } from './kit';

interface Message {
  state?: unknown;
  reply?: unknown;
  large?: number;
  circular?: true;
  hang?: true;
  self?: true;
  ring?: string[];
  write?: string;
  push?: string;
  to?: string;
}
const circular: { self?: unknown } = {};
circular.self = circular;

const odd = trackerOf({
  load({ id }) {
    if (id === 'loads-badly') throw new Error('it cannot be loaded');
  },
  receive: {
    timeout: 100,
    attempts: 2,
    retryBase: 10,
    async handle(message: Message, context: MemberContext) {
      if (message.hang) await new Promise(() => undefined);
      if (message.state !== undefined) context.state = message.state;
      if (message.large !== undefined) context.state = 'x'.repeat(message.large);
      if (message.circular) context.state = circular;
      if (message.reply !== undefined) context.reply(message.reply);
      if (message.self) context.send(context.id, { state: 'sent to itself' });
      if (message.write !== undefined) context.write(message.write);
      if (message.push !== undefined) context.push(message.push, 1);
      const [next, ...rest] = message.ring ?? [];
      if (next !== undefined) context.send(next, { state: `after ${context.id}`, ring: rest });
    },
  },
});

const deadOf = () =>
  stack.sql<{ member: string; error: string }>('select member, error from longwatch.member_dead order by member');

test('one that throws in load, one that never returns and one that grows past its bound are dead letters, and the others go on', async () => {
  const { turns } = await nodeOf(odd);
  await send([
    ['loads-badly', { state: 1 }],
    ['hangs', { hang: true }],
    ['grows', { large: 5 * 2 ** 20 }],
    ['circular', { circular: true }],
    ['good', { state: { fine: true } }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await stateOf('good')).toEqual({ fine: true });
  expect(await deadOf()).toEqual([
    { member: 'circular', error: expect.stringContaining('circular') as string },
    { member: 'grows', error: expect.stringContaining('the state has') as string },
    { member: 'hangs', error: expect.stringContaining('its time is over: it has 100 ms') as string },
    { member: 'loads-badly', error: expect.stringContaining('it cannot be loaded') as string },
  ]);
});

test.each<[string, unknown]>([
  ['no text', ''],
  ['NUL', 'a\0b'],
  ['half of a surrogate pair', '\ud800 and \udc00'],
  ['null', null],
  ['a name of JavaScript', { __proto__: 1, constructor: 2 }],
])('a state and a reply with %s are kept as they are', async (_name, value) => {
  const { turns } = await nodeOf(odd);
  const request = { id: 'r', deadline: Date.now() + 60_000, client: 'c' };
  await send([['a', { state: value, reply: value }, { request }]]);
  turns.lookAtAll();
  await handled();
  expect(JSON.stringify((await stateOf('a')) ?? null)).toBe(JSON.stringify(value));
  expect((await replyTo('r'))?.json).toBe(JSON.stringify(value));
});

test('a state of 3 MB is kept, and a reply of 3 MB is refused', async () => {
  const { turns } = await nodeOf(odd);
  const request = { id: 'r', deadline: Date.now() + 60_000, client: 'c' };
  await send([
    ['a', { large: 3 * 2 ** 20 }],
    ['b', { reply: 'x'.repeat(2 ** 20) }, { request }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toHaveLength(3 * 2 ** 20);
  expect(await replyTo('r')).toMatchObject({
    error: 'HandlerFailed',
    message: expect.stringContaining('the reply has') as string,
  });
});

test('ids with odd characters, a message to itself and one round a ring of three', async () => {
  const { turns } = await nodeOf(odd);
  await send([
    ['ж/%20 "\'', { self: true }],
    ['one', { ring: ['two', 'three', 'one'] }],
  ]);
  turns.lookAtAll();
  await becomes(
    () => stateOf('ж/%20 "\''),
    (state) => state !== undefined,
  );
  await becomes(
    () => stateOf('one'),
    (state) => state === 'after three',
  );
  await handled();
});

test('a message to an unknown tracker, a statement that fails and a buffer that is not there are failures of their message', async () => {
  const lost = trackerOf({
    receive: {
      attempts: 1,
      handle: (message: Message, context: MemberContext) => {
        if (message.write !== undefined) context.write(message.write);
        else if (message.push !== undefined) context.push(message.push, 1);
        else context.send({ tracker: message.to ?? 'nowhere', id: 'x' }, 1);
      },
    },
  });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('deaf', '{"operations": {}}')`);
  const { turns } = await nodeOf(lost);
  await send([
    ['sends', {}],
    ['sends where nobody reads', { to: 'deaf' }],
    ['writes', { write: 'insert into nowhere values (1)' }],
    ['pushes', { push: 'nothing' }],
    ['good', { write: 'select 1' }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await deadOf()).toEqual([
    { member: 'pushes', error: expect.stringContaining("there is no buffer 'nothing'") as string },
    { member: 'sends', error: expect.stringContaining('there is no tracker nowhere') as string },
    {
      member: 'sends where nobody reads',
      error: expect.stringContaining('the members of deaf take no messages') as string,
    },
    { member: 'writes', error: expect.stringContaining('nowhere') as string },
  ]);
});

test('a message that is sent while one hangs for another member is handled meanwhile', async () => {
  const { turns } = await nodeOf(
    trackerOf({ receive: { timeout: '1h', handle: (odd.receive as { handle: never }).handle } }),
  );
  await send([['hangs', { hang: true }]]);
  turns.lookAtAll();
  await becomes(
    () => [...turns.pools][0]!.running.size,
    (running) => running === 1,
  );
  await send([['a', { state: 1 }]], 'other');
  turns.lookAtAll();
  await becomes(
    () => stateOf('a'),
    (state) => state === 1,
  );
  expect(await mailCount()).toBe(1);
});
