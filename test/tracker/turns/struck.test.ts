/**
 * Messages whose handler ends its process: after three nobody handles them any more, and all others are handled. Here a
 * handler that never comes back stands for one that ends its process.
 */
import type { MemberContext } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { releaseFence, takeFence } from '../../../activities/tracker/store/fence';
import {
  becomes,
  database,
  handled,
  mailCount,
  nodeOf,
  replyTo,
  send,
  stack,
  stateOf,
  trackerOf,
  type TurnsNode,
} from './kit';
import { rowOf } from '../shift-kit';

interface Message {
  /** Its process ends. */
  ends?: true;
  /** It comes back when the test says so. */
  waits?: true;
  fails?: true;
  /** A timer is set that ends its process. */
  after?: true;
}

const never = new Promise<never>(() => undefined);
let keeper = 0;
/** Handlers that have begun: the number of the keeper, and the member. */
let begun: string[] = [];
let strikesInside: object[] = [];
let goesOn: Promise<void> = never;
beforeEach(async () => {
  keeper = 0;
  begun = [];
  strikesInside = [];
  goesOn = never;
  const { name, options } = rowOf(fragile);
  await stack.sql('insert into longwatch.tracker (name, options, pools) values ($1, $2, 1)', [
    name,
    JSON.stringify(options),
  ]);
});

const strikes = () => stack.sql<{ key: string; count: number }>('select key, count from longwatch.strike order by key');
const dead = () =>
  stack.sql<object>('select member, sender, attempts, error from longwatch.member_dead order by member');
const WHY = 'ProcessEnded: its process ended 3 times while it was being handled';

async function handle({ ends, waits, fails, after }: Message, context: MemberContext): Promise<void> {
  const at = keeper;
  strikesInside = await strikes();
  begun.push(`${at} ${context.id}`);
  if (after) context.after(0, { ends });
  else if (ends) await never;
  if (waits) await goesOn;
  if (fails) throw new Error('no');
  context.state = 'handled';
}
const fragile = trackerOf({ receive: { timeout: '1h', retryBase: '1h', retryCap: '1h', handle } });

/** The next keeper: the pool was let go by nobody. */
async function next(definition: TrackerDefinition = fragile, setup = {}, limits = {}): Promise<TurnsNode> {
  keeper++;
  const node = await nodeOf(definition, { node: `n${keeper}`, setup, limits });
  node.turns.lookAtAll();
  return node;
}
/** Its process has ended: it begins nothing more, and says nothing. */
async function dies({ turns }: TurnsNode): Promise<void> {
  for (const pool of turns.pools) pool.isClosed = true;
  await stack.sql(`select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'`);
}
const begins = (...what: string[]) =>
  becomes(
    () => begun,
    (all) => what.every((one) => all.includes(one)),
  );
/** Keepers with these handlers at work, whose processes end one after the other. */
async function die(keepers: number, ids: readonly string[], definition = fragile): Promise<void> {
  for (let i = 0; i < keepers; i++) {
    const node = await next(definition);
    await begins(...ids.map((id) => `${keeper} ${id}`));
    await dies(node);
  }
}

test.each([
  ['in the commit of many', fragile],
  ['in a transaction of its own', trackerOf({ receive: { timeout: '1h', transaction: true, handle } })],
])('a message that ends three processes is a dead letter, and the others are handled: %s', async (_, definition) => {
  await send([
    ['a', { ends: true }],
    ['b', {}],
  ]);
  await die(3, ['a'], definition);
  await send([['c', {}]]);
  const { errors } = await next(definition);
  await handled();
  expect(await stateOf('b')).toBe('handled');
  expect(begun.filter((one) => one.endsWith(' a'))).toEqual(['1 a', '2 a', '3 a']);
  expect(await dead()).toEqual([{ member: 'a', sender: 's', attempts: 3, error: WHY }]);
  expect(errors).toEqual([{ id: 'a', error: expect.objectContaining({ message: WHY }) as Error }]);
  expect(await stateOf('c')).toBe('handled');
});

test('a request that ends three processes is answered so', async () => {
  const request = { id: 'r', deadline: Date.now() + 600_000, client: 'c' };
  await send([['a', { ends: true }, { request }]]);
  await die(3, ['a']);
  await next();
  const reply = await becomes(
    () => replyTo('r'),
    (found) => found !== undefined,
  );
  expect(reply).toEqual({ json: null, error: 'HandlerFailed', message: WHY });
  expect(await dead()).toEqual([]);
});

test('a timer that ends three processes is a dead letter', async () => {
  await send([['a', { after: true, ends: true }]]);
  const first = await next();
  await becomes(
    () => begun,
    (all) => all.filter((one) => one === '1 a').length === 2,
  );
  await dies(first);
  await die(2, ['a']);
  await next();
  const [letter] = await becomes(dead, (letters) => letters.length > 0);
  expect(letter).toMatchObject({ member: 'a', attempts: 3, error: WHY });
  expect(begun).toEqual(['1 a', '1 a', '2 a', '3 a']);
  expect(await stack.sql('select name from longwatch.timer')).toEqual([]);
});

test('a value whose apply ends three processes is not applied, and the next one is', async () => {
  const applying = trackerOf(
    { state: { initial: 0 }, receive: () => undefined },
    {
      operations: {
        look: {
          every: '1h',
          run: () => ({ value: 0 }),
          async apply(value: number, context: MemberContext<number>) {
            begun.push(`${keeper} ${context.id}`);
            if (value === 13) await never;
            context.state = value;
          },
        },
      },
    },
  );
  const first = await next(applying);
  await send([['a', {}]]);
  first.turns.lookAtAll();
  await handled();
  const write = (value: number): Promise<unknown> =>
    stack.sql(
      `insert into longwatch.value (member, operation, value, changed_at)
       select key, 'look', to_jsonb($1::int), clock_timestamp() from longwatch.member where id = 'a'
       on conflict (member, operation) do update set value = excluded.value, changed_at = excluded.changed_at`,
      [value],
    );
  const look = ({ turns }: TurnsNode) => turns['reader'].values([...turns.pools][0]!);
  await write(13);
  look(first);
  await begins('1 a');
  await dies(first);
  await die(2, ['a'], applying);
  const last = await next(applying);
  await becomes(
    () => last.errors,
    (errors) => errors.length > 0,
  );
  await write(14);
  look(last);
  await becomes(
    () => stateOf('a'),
    (state) => state === 14,
  );
  expect(begun).toEqual(['1 a', '2 a', '3 a', '4 a']);
});

test('one beside it is not counted with it again, and is handled as soon as that is over', async () => {
  await send([
    ['a', { ends: true }],
    ['b', { waits: true }],
  ]);
  await die(2, ['a', 'b']);
  // Both are suspects: one of them runs at a time.
  const third = await next();
  await begins('3 a');
  await becomes(strikes, ([a]) => a!.count === 2);
  // All that can run does: a message of now is handled.
  await send([['c', {}]]);
  third.turns.lookAtAll();
  await becomes(
    () => stateOf('c'),
    (state) => state !== undefined,
  );
  expect(begun).not.toContain('3 b');
  expect((await strikes()).map(({ count }) => count)).toEqual([2, 1]);
  await dies(third);
  goesOn = Promise.resolve();
  await next();
  await handled();
  expect(await dead()).toEqual([expect.objectContaining({ member: 'a', error: WHY })]);
  expect(await stateOf('b')).toBe('handled');
  await becomes(strikes, (left) => left.every(({ key }) => !key.startsWith('t/b/')));
});

test('suspects that wait take no places of those that run', async () => {
  const ids = ['a', 'b', 'd', 'e', 'f'];
  await send(ids.map((id) => [id, { ends: true }]));
  await die(2, ids);
  await next(fragile, { nodeConcurrency: 2 });
  await becomes(
    () => begun.filter((one) => one.startsWith('3 ')),
    (all) => all.length === 1,
  );
  await send([['c', {}]]);
  await becomes(
    () => stateOf('c'),
    (state) => state !== undefined,
  );
  expect(begun.filter((one) => one.startsWith('3 '))).toHaveLength(2);
});

test('a suspect that takes long keeps the others waiting for a while only', async () => {
  await send([
    ['a', { waits: true }],
    ['b', { waits: true }],
  ]);
  await die(2, ['a', 'b']);
  await next(fragile, {}, { suspectMs: 50 });
  await begins('3 a', '3 b');
});

test('after a clean end nothing is counted, and of what was sent since neither', async () => {
  await send([['a', { waits: true }]]);
  const first = await next();
  await begins('1 a');
  await first.turns.leave(first.kit.shift, true);
  await releaseFence(database, first.kit.shift.claim, first.kit.shift.token);
  const second = await next();
  await begins('2 a');
  expect(strikesInside).toEqual([]);
  await dies(second);
  goesOn = Promise.resolve();
  // Nobody has let it go: this time it is counted, and taken back.
  const third = await next();
  await handled();
  expect(strikesInside).toEqual([expect.objectContaining({ count: 1 })]);
  await becomes(strikes, (left) => left.length === 0);
  await send([['c', {}]]);
  third.turns.lookAtAll();
  await begins('3 c');
  expect(strikesInside).toEqual([]);
});

test('a keeper that ends cleanly without having begun it leaves it to be counted by the next one', async () => {
  await send([['a', { waits: true }]]);
  const first = await next();
  await begins('1 a');
  await dies(first);
  const claim = { ...first.kit.shift.claim, attempt: 2 };
  const { token } = await takeFence(database, claim, () => Promise.resolve(true));
  await releaseFence(database, claim, token);
  await next();
  await begins('2 a');
  expect(strikesInside).toEqual([expect.objectContaining({ count: 1 })]);
});

test('a handler that comes back is not to blame: neither where it throws, nor where its shift ends', async () => {
  await send([
    ['a', { fails: true }],
    ['b', { waits: true }],
  ]);
  const first = await next();
  await begins('1 a', '1 b');
  await becomes(
    () => stack.sql<{ attempts: number }>(`select attempts from longwatch.mail where member = 'a'`),
    ([mail]) => mail!.attempts === 1,
  );
  await dies(first);
  await stack.sql('update longwatch.mail set not_before = null');
  const second = await next();
  await begins('2 a', '2 b');
  await becomes(strikes, ([one, more]) => one!.key.startsWith('t/b/') && more === undefined);
  await second.turns.leave(second.kit.shift, true);
  expect(await strikes()).toEqual([]);
  expect(await mailCount()).toBe(2);
});

test('each keeper counts once, however often it begins; and none takes back what a later one has counted', async () => {
  await send([['a', { waits: true }]]);
  await die(1, ['a']);
  let release = (): void => undefined;
  goesOn = new Promise((resolve) => (release = resolve));
  const second = await next();
  await begins('2 a');
  const [pool] = second.turns.pools;
  pool!.members.readAgain('a', second.turns.now());
  second.turns.lookAtAll();
  await becomes(
    () => begun.filter((one) => one === '2 a'),
    (all) => all.length === 2,
  );
  expect(strikesInside).toEqual([expect.objectContaining({ count: 1 })]);
  await dies(second);
  goesOn = never;
  await next();
  await begins('3 a');
  expect(strikesInside).toEqual([expect.objectContaining({ count: 2 })]);
  release();
  await becomes(
    () => pool!.begun,
    (running) => running === 0,
  );
  expect(await strikes()).toEqual([expect.objectContaining({ count: 2 })]);
});

test('a request whose time is over while it waits is not begun', async () => {
  const deadline = Date.now() + 2_000;
  await send([
    ['a', { waits: true }],
    ['b', { waits: true }, { request: { id: 'late', deadline, client: 'c' } }],
  ]);
  await die(2, ['a', 'b']);
  let release = (): void => undefined;
  goesOn = new Promise((resolve) => (release = resolve));
  await next();
  await begins('3 a');
  await becomes(Date.now, (now) => now > deadline);
  release();
  const reply = await becomes(
    () => replyTo('late'),
    (found) => found !== undefined,
  );
  expect(reply).toMatchObject({ error: 'RequestTimedOut' });
  expect(begun).not.toContain('3 b');
});
