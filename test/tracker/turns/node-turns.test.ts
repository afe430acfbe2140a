/**
 * The turns of a node on a real PostgreSQL: a message is read, handled and committed with all that it came to; what
 * fails goes back; the store has the last word.
 */
import type { MemberContext } from '../../../config/define/member';
import { loadLives } from '../../../activities/tracker/store/lives';
import { readMail } from '../../../activities/tracker/store/mail';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { becomes, database, handled, mailCount, nodeOf, replyTo, send, stack, stateOf, trackerOf } from './kit';

type Message = { add?: number; fail?: string; ask?: true; tell?: string };
interface State {
  sum: number;
  seen: number[];
}

const summing = trackerOf({
  state: { initial: (): State => ({ sum: 0, seen: [] }) },
  receive(message: Message, context: MemberContext<State>) {
    context.state.sum += message.add ?? 0;
    context.state.seen.push(message.add ?? 0);
    if (message.tell !== undefined) context.send(message.tell, { add: message.add });
    if (message.fail !== undefined) throw new Error(message.fail);
    context.reply({ sum: context.state.sum });
  },
});

test('messages make their members, are handled in order, and their mail goes with the commit', async () => {
  const { turns, kit } = await nodeOf(summing);
  const before = kit.shift.members.size;
  await send([
    ['a', { add: 1 }],
    ['b', { add: 10 }],
    ['a', { add: 2 }],
    ['a', { add: 3 }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toEqual({ sum: 6, seen: [1, 2, 3] });
  expect(await stateOf('b')).toEqual({ sum: 10, seen: [10] });
  const members = await stack.sql<{ id: string }>(
    `select id from longwatch.member where removed_at is null order by id`,
  );
  expect(members.map(({ id }) => id)).toEqual(['a', 'b']);
  // The shift has taken them in.
  await becomes(
    () => kit.shift.members.size,
    (size) => size === before + 2,
  );
});

test('a request has one reply, which is there with the state; told again it is not handled again', async () => {
  const { turns } = await nodeOf(summing);
  const request = { id: 'r1', deadline: Date.now() + 60_000, client: 'c' };
  await send([['a', { add: 5 }, { request, number: 1 }]], 'asker');
  turns.lookAtAll();
  await becomes(
    () => replyTo('r1'),
    (reply) => reply !== undefined,
  );
  expect(await replyTo('r1')).toEqual({ json: '{"sum":5}', error: null, message: null });
  await send([['a', { add: 5 }, { request, number: 1 }]], 'asker');
  turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toEqual({ sum: 5, seen: [5] });
});

test('a handler that throws leaves nothing: no state, nothing sent; a request is told so, a message waits and is tried again', async () => {
  const { turns, errors } = await nodeOf(summing, { limits: { backoffMs: 20, backoffMaxMs: 20 } });
  const request = { id: 'r2', deadline: Date.now() + 60_000, client: 'c' };
  await send([
    ['a', { add: 1 }],
    ['a', { add: 2, tell: 'b', fail: 'no' }, { request }],
  ]);
  turns.lookAtAll();
  await handled();
  expect(await replyTo('r2')).toMatchObject({
    json: null,
    error: 'HandlerFailed',
    message: expect.stringContaining('no') as string,
  });
  expect(await stateOf('a')).toEqual({ sum: 1, seen: [1] });
  expect(await stateOf('b')).toBeUndefined();
  expect(errors.map(({ id }) => id)).toEqual(['a']);
});

test('what a handler sends is mail of the same commit, and is handled', async () => {
  const { turns } = await nodeOf(summing);
  await send([['a', { add: 7, tell: 'b' }]]);
  turns.lookAtAll();
  await becomes(
    () => stateOf('b'),
    (state) => state !== undefined,
  );
  expect(await stateOf('b')).toEqual({ sum: 7, seen: [7] });
  await handled();
});

test('turns that end while a commit is under way go together in the next', async () => {
  const { turns, commits } = await nodeOf(summing);
  await send(Array.from({ length: 300 }, (_, i): [string, Message] => [`m${i % 100}`, { add: 1 }]));
  turns.lookAtAll();
  await handled();
  const sums = await stack.sql<{ state: string }>(`select state from longwatch.life`);
  expect(sums.map(({ state }) => (JSON.parse(state) as State).sum)).toEqual(Array.from({ length: 100 }, () => 3));
  expect(commits.reduce((sum, count) => sum + count, 0)).toBe(300);
  expect(commits.length).toBeLessThan(20);
});

test('a node that has lost its pool commits nothing, and what it has handled is handled by the next keeper', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const waiting = trackerOf({
    state: { initial: { sum: 0 } },
    async receive(message: Message, context: MemberContext<{ sum: number }>) {
      context.state.sum += message.add!;
      await held;
    },
  });
  const first = await nodeOf(waiting, { node: 'first' });
  await send([['a', { add: 1 }]]);
  first.turns.lookAtAll();
  await becomes(
    () => [...first.turns.pools][0]!.running.size,
    (running) => running === 1,
  );
  const second = await nodeOf(summing, { node: 'second' });
  second.turns.lookAtAll();
  await handled();
  release();
  await becomes(
    () => first.kit.shift.isBroken,
    (broken) => broken,
  );
  expect(await stateOf('a')).toEqual({ sum: 1, seen: [1] });
  expect(await mailCount()).toBe(0);
});

test('a shift that ends lets its turns end and commits them; the rest of the mail waits', async () => {
  const started: (() => void)[] = [];
  const slow = trackerOf({
    state: { initial: { sum: 0 } },
    async receive(message: Message, context: MemberContext<{ sum: number }>) {
      await new Promise<void>((resolve) => started.push(resolve));
      context.state.sum += message.add!;
    },
  });
  const { turns, kit } = await nodeOf(slow);
  await send([
    ['a', { add: 1 }],
    ['a', { add: 2 }],
  ]);
  turns.lookAtAll();
  await becomes(
    () => started.length,
    (count) => count === 1,
  );
  const left = turns.leave(kit.shift, true);
  started[0]!();
  await left;
  expect(await stateOf('a')).toEqual({ sum: 1 });
  expect(await mailCount()).toBe(1);
  expect(started).toHaveLength(1);
});

test.each([
  ['in the commit of many', false],
  ['in a transaction of its own', true],
])('a tracker that was started after the last look is sent to at once: %s', async (_, transaction) => {
  const handle = (message: Message, context: MemberContext<State>): void => {
    context.send({ tracker: 'later', id: 'x' }, message);
    context.reply('sent');
  };
  const { turns } = await nodeOf(trackerOf({ receive: { handle, transaction } }));
  await stack.sql(
    `insert into longwatch.tracker (name, options, pools) values ('later', '{"receive": {"maxMail": 10, "maxMailBytes": 1000}}', 1)`,
  );
  const request = { id: 'r9', deadline: Date.now() + 60_000, client: 'c' };
  await send([['a', { add: 1 }, { request }]]);
  turns.lookAtAll();
  const reply = await becomes(
    () => replyTo('r9'),
    (found) => found !== undefined,
  );
  expect(reply).toEqual({ json: '"sent"', error: null, message: null });
});

test.each([
  ['in the commit of many', false],
  ['in a transaction of its own', true],
])('a request whose handler takes longer than its shift is handled by the next one: %s', async (_, transaction) => {
  const started: string[] = [];
  let ends: Promise<void> = new Promise(() => undefined);
  const slow = trackerOf({
    receive: {
      transaction,
      async handle(_message: unknown, context: MemberContext) {
        started.push(context.id);
        await ends;
        context.reply(context.attempt);
      },
    },
  });
  const first = await nodeOf(slow, { node: 'first' });
  const request = { id: `over-${transaction}`, deadline: Date.now() + 60_000, client: 'c' };
  await send([['a', {}, { request }]]);
  first.turns.lookAtAll();
  await becomes(
    () => started.length,
    (count) => count === 1,
  );
  await first.turns.leave(first.kit.shift, true);
  expect(await replyTo(request.id)).toBeUndefined();
  expect(first.errors).toEqual([]);
  ends = Promise.resolve();
  const second = await nodeOf(slow, { node: 'second' });
  second.turns.lookAtAll();
  const reply = await becomes(
    () => replyTo(request.id),
    (found) => found !== undefined,
  );
  expect(reply).toEqual({ json: '1', error: null, message: null });
});

test('a statement of ctx.write that fails is told to onError, as a handler that throws is', async () => {
  const writing = trackerOf({
    receive: { attempts: 1, handle: (_message: unknown, context: MemberContext) => context.write('select 1 / 0') },
  });
  const { turns, errors } = await nodeOf(writing);
  await send([['a', {}]]);
  turns.lookAtAll();
  await handled();
  expect(errors.map(({ id, error }) => `${id}: ${error.message}`)).toEqual([
    expect.stringMatching(/^a: .*division by zero/),
  ]);
});

test('a reading of the mail is bounded in bytes, and all of it is handled all the same', async () => {
  const { turns, ended } = await nodeOf(summing, { limits: { readBytes: 1_500 } });
  const large = 'x'.repeat(1_000);
  await send(['a', 'b', 'c', 'd', 'e'].map((id) => [id, { add: 1, large }]));
  const found = await readMail(database.single, [
    {
      tracker: 't',
      slots: slotsOf(0, 1),
      slotOf: (id) => slotOf(hashId(id)),
      reading: { number: 1, known: [], full: [], blocked: [], rows: 9, bytes: 1_500 },
    },
  ]);
  expect(found[0]!.mail).toHaveLength(2);
  turns.lookAtAll();
  await handled();
  expect(ended.filter(({ outcome }) => outcome === 'handled')).toHaveLength(5);
});

test('a load of members is bounded in bytes: those that have no room are in the next one', async () => {
  const { turns, ended } = await nodeOf(trackerOf({ receive: () => undefined }));
  const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
  await stack.sql(
    `insert into longwatch.life (tracker, id, slot, version, state)
     select 't', id, 0, 1, to_json(repeat('x', 4000000)) from unnest($1::text[]) id`,
    [ids],
  );
  const [pool] = turns.pools;
  const leftOut = jest.spyOn(pool!.members, 'notLoaded');
  await send(ids.map((id) => [id, {}]));
  turns.lookAtAll();
  await handled();
  // Four have less than 16 MB together, and the fifth is the one that goes beyond.
  expect(leftOut.mock.calls).toEqual([['f']]);
  expect(ended.map(({ outcome }) => outcome)).toEqual(ids.map(() => 'handled'));
});

test('a load has as many members as its bytes allow, in their order, and one that is larger all the same', async () => {
  await nodeOf(trackerOf({ receive: () => undefined }));
  await stack.sql(
    `insert into longwatch.life (tracker, id, slot, version, state)
     select 't', id, 0, 1, to_json(repeat('ж', 500)) from unnest('{a,b,c}'::text[]) id`,
  );
  await stack.sql(
    `insert into longwatch.timer (tracker, id, name, slot, set, at, json) values ('t', 'b', 'n', 0, 1, now(), $1)`,
    [JSON.stringify('x'.repeat(2_000))],
  );
  const asked = ['new', 'c', 'b', 'a'].map((id) => ({ tracker: 't', id }));
  const sizes = async (bytes: number) =>
    (await loadLives(database.single, asked, bytes)).map(({ image: { state } }) => state?.length ?? 0);
  // Each state has 1,002 bytes, and the timer of b 2,002.
  expect(await sizes(1)).toEqual([0, 502]);
  expect(await sizes(1_005)).toEqual([0, 502, 502]);
  expect(await sizes(4_000)).toEqual([0, 502, 502]);
  expect(await sizes(4_100)).toEqual([0, 502, 502, 502]);
});

test('unload is called for each member in memory when its shift ends, also where it fails for one', async () => {
  const unloaded: string[] = [];
  const { turns, kit } = await nodeOf(
    trackerOf({
      receive: () => undefined,
      unload({ id }) {
        unloaded.push(id);
        if (id === 'a') throw new Error('no');
      },
    }),
  );
  await send([
    ['a', {}],
    ['b', {}],
  ]);
  turns.lookAtAll();
  await handled();
  expect(unloaded).toEqual([]);
  await turns.leave(kit.shift, true);
  await becomes(
    () => unloaded.length,
    (count) => count === 2,
  );
  expect(unloaded.sort()).toEqual(['a', 'b']);
});

test('unload is called where load was, although no turn has ended well', async () => {
  const called: string[] = [];
  const { turns, kit, errors } = await nodeOf(
    trackerOf({
      load: ({ id }) => void called.push(`load ${id}`),
      unload: ({ id }) => void called.push(`unload ${id}`),
      receive: {
        retryBase: '1h',
        retryCap: '1h',
        handle: () => {
          throw new Error('no');
        },
      },
    }),
  );
  await send([['a', {}]]);
  turns.lookAtAll();
  await becomes(
    () => errors.length,
    (count) => count === 1,
  );
  await turns.leave(kit.shift, true);
  await becomes(
    () => called.length,
    (count) => count > 1,
  );
  expect(called).toEqual(['load a', 'unload a']);
});
