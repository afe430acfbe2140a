/**
 * Members that receive, end to end: what a program sends is handled on a worker, in its order, once, and what comes of
 * it is seen from outside.
 */
import { connect, defineTracker, type Longwatch, type MemberContext } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import { HandlerFailedError, RequestTimedOutError } from '../../client/member/errors';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

interface Room {
  said: string[];
}
type Message = { say: string } | { who: true } | { fail: string } | { sleep: number };

const traces: unknown[] = [];
const rooms = defineTracker({
  name: 'rooms',
  operations: {},
  state: { initial: (): Room => ({ said: [] }) },
  receive: {
    attempts: 2,
    retryBase: '10ms',
    handle: async (message: Message, ctx: MemberContext<Room, string[]>) => {
      traces.push(ctx.trace);
      if ('fail' in message) throw new Error(message.fail);
      if ('sleep' in message) await new Promise((resolve) => setTimeout(resolve, message.sleep));
      if ('say' in message) ctx.state.said.push(message.say);
      ctx.reply(ctx.state.said);
    },
  },
});

let stack: Stack;
let longwatch: Longwatch;
const room = (id = 'lobby') => longwatch.tracker(rooms).member(id);

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker({ trackers: [rooms] });
  longwatch = await stack.connect();
  await longwatch.tracker('rooms').start(resolveConfig({ trackers: [rooms] }).trackers[0]!.options);
});
afterAll(() => stack?.close());

test('the first message makes the member; messages are handled in their order, and a request sees them all', async () => {
  const told = Array.from({ length: 50 }, (_, i) => String(i));
  void room().request({ say: 'before' });
  await Promise.all(told.map((say) => room().send({ say })));
  expect(await room().request({ who: true })).toEqual(['before', ...told]);
  expect(await longwatch.tracker('rooms').show('lobby')).toMatchObject({ id: 'lobby', life: { mail: { entries: 0 } } });
  expect(await room().show()).toMatchObject({ state: { said: ['before', ...told] } });
});

test('requests to many members at once, each answered by its own', async () => {
  const ids = Array.from({ length: 200 }, (_, i) => `r${i}`);
  const answers = await Promise.all(ids.map((id) => room(id).request({ say: id }, { timeout: '1m' })));
  expect(answers).toEqual(ids.map((id) => [id]));
});

test('add with wait answers when a live node keeps the member', async () => {
  const added = await runCli(stack, 'add', 'rooms', 'added', '--wait');
  expect(added).toMatchObject({ status: 0, out: "1 id tracked by 'rooms'\n" });
  expect(await longwatch.tracker('rooms').alive('added')).toMatchObject({ alive: true });
  expect(await room('added').request({ who: true })).toEqual([]);
});

test('a handler that throws: its words for who asks, a dead letter for who sent, and retry handles it again', async () => {
  await expect(room('bad').request({ fail: 'no such user' })).rejects.toThrow(HandlerFailedError);
  await expect(room('bad').request({ fail: 'no such user' })).rejects.toThrow('no such user');
  await room('bad').send({ fail: 'later' });
  const { dead } = longwatch.tracker('rooms');
  const [letter] = await eventually('it is dead', async () => {
    const letters = await dead.list({ error: 'later' });
    return letters.length > 0 && letters;
  });
  expect(letter).toMatchObject({ member: 'bad', value: { fail: 'later' }, attempts: 2 });
  expect(await dead.retry({ ids: [letter!.id] }, { apply: true })).toEqual({ chosen: 1, applied: true });
  await eventually('it died again', async () => (await dead.list({ error: 'later' }))[0]);
  expect(await room('bad').request({ say: 'on' })).toEqual(['on']);
});

test('a handler that is late: the request ends in time, and the handler goes on', async () => {
  const late = room('slow').request({ sleep: 1_500 }, { timeout: 500 });
  await expect(late).rejects.toThrow(RequestTimedOutError);
  expect(await room('slow').request({ say: 'after' }, { timeout: '20s' })).toEqual(['after']);
});

test('the request id and the trace context of the caller come to the handler', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await room('traced').request({ who: true }, { requestId: 'r-1', traceparent });
  expect(traces.at(-1)).toEqual({ requestId: 'r-1', traceparent });
});

test('a program of its own, by the command line', async () => {
  const sent = await runCli(stack, 'send', 'rooms', 'cli', '{"say":"a"}', '{"say":"b"}');
  expect(sent.status).toBe(0);
  const asked = await runCli(stack, 'request', 'rooms', 'cli', '{"who":true}', '--json');
  expect(JSON.parse(asked.out)).toEqual({ tracker: 'rooms', member: 'cli', reply: ['a', 'b'] });
  const failed = await runCli(stack, 'request', 'rooms', 'cli', '{"fail":"so it is"}');
  expect([failed.status, failed.err]).toEqual([1, expect.stringContaining('so it is')]);
  const { servers } = stack;
  const temporal = { address: servers.temporalAddress, namespace: servers.namespace };
  const own = await connect({ environment: { temporal, databaseUrl: servers.databaseUrl } });
  void own.tracker(rooms).member('cli').send({ say: 'c' });
  await own.close();
  expect(await room('cli').request({ who: true })).toEqual(['a', 'b', 'c']);
});
