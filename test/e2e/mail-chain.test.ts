/**
 * Members beside the other parts, end to end: what a handler pushes to a buffer, what the buffer's code (an activity)
 * sends to members, and a member that is removed while its handler is at work.
 */
import { defineBuffer, defineTracker, type Longwatch, type MemberContext } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import { MemberRemovedError } from '../../client/member/errors';
import { eventually, Stack } from '../support/stack';

interface News {
  from: string;
  n: number;
}
interface Message {
  n: number;
  fails?: true;
}

let longwatch: Longwatch;

/** Pushes first, and fails then: nothing of that may be seen. */
function tell(message: Message, ctx: MemberContext): void {
  ctx.push('news', { from: ctx.id, n: message.n });
  ctx.reply(message.n);
  if (message.fails && ctx.attempt === 1) throw new Error('the first time');
}
const plain = defineTracker({
  name: 'plain',
  operations: {},
  receive: { retryBase: '10ms', handle: (message: Message, ctx: MemberContext) => tell(message, ctx) },
});
const booked = defineTracker({
  name: 'booked',
  operations: {},
  receive: {
    retryBase: '10ms',
    transaction: true,
    async handle(message: Message, ctx: MemberContext) {
      await ctx.query('select 1');
      tell(message, ctx);
    },
  },
});
const readers = defineTracker({
  name: 'readers',
  operations: {},
  state: { initial: (): News[] => [] },
  receive: (message: News | 'all', ctx: MemberContext<News[], News[]>) => {
    if (message === 'all') ctx.reply(ctx.state);
    else ctx.state.push(message);
  },
});
const news = defineBuffer({
  name: 'news',
  run: async (entries: News[]) => {
    for (const entry of entries) await longwatch.tracker<typeof readers>('readers').member('ж').send(entry);
  },
});
let atWork = (): void => undefined;
let released = Promise.resolve();
const slow = defineTracker({
  name: 'slow',
  operations: {},
  state: { initial: { messages: 0 } },
  receive: {
    timeout: '1m',
    async handle(message: 'wait' | 'count', ctx: MemberContext<{ messages: number }, number>) {
      ctx.state.messages++;
      if (message === 'wait') {
        atWork();
        await released;
      }
      ctx.reply(ctx.state.messages);
    },
  },
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
  const definitions = { trackers: [plain, booked, readers, slow], buffers: [news] };
  const config = resolveConfig(definitions);
  await stack.worker(definitions);
  for (const { name, options } of config.trackers) await longwatch.tracker(name).start(options);
  await longwatch.buffer('news').start(config.buffers[0]!.options);
});
afterAll(() => stack?.close());

test.each(['plain', 'booked'])(
  'what handlers of %s push is in the buffer once, also where the first attempt fails; its code sends to members',
  async (tracker) => {
    const members = ['a', 'b'];
    const sent = Array.from({ length: 20 }, (_, i) => ({ from: members[i % 2]!, n: i }));
    const to = longwatch.tracker<typeof plain>(tracker);
    await Promise.all(
      sent.map(({ from, n }) => to.member(`${tracker}-${from}`).send({ n, ...(n % 5 === 0 && { fails: true }) })),
    );
    const all = () => longwatch.tracker<typeof readers>('readers').member('ж').request('all', { timeout: '20s' });
    const came = async () => (await all()).filter(({ from }) => from.startsWith(tracker));
    const found = await eventually('all of it has come', async () => {
      const there = await came();
      return there.length >= sent.length && there;
    });
    const texts = (list: News[]) => list.map(({ from, n }) => `${from} ${n}`).sort();
    expect(texts(found)).toEqual(texts(sent.map(({ from, n }) => ({ from: `${tracker}-${from}`, n }))));
  },
);

test('a member that is removed while its handler is at work: who asked is told so, and the next message makes another one', async () => {
  const one = () => longwatch.tracker<typeof slow>('slow').member('one');
  expect(await one().request('count', { timeout: '20s' })).toBe(1);
  let release!: () => void;
  released = new Promise<void>((resolve) => (release = resolve));
  const begun = new Promise<void>((resolve) => (atWork = resolve));
  const asked = one().request('wait', { timeout: '1m' });
  const told = expect(asked).rejects.toThrow(MemberRemovedError);
  await begun;
  await longwatch.tracker('slow').remove(['one']);
  await told;
  release();
  await expect(one().show()).rejects.toThrow('one');
  expect(await one().request('count', { timeout: '20s' })).toBe(1);
  expect(await one().show()).toMatchObject({ state: { messages: 1 } });
});
