/**
 * Turns with transactions of their own, beside one another in one pool: while their code runs they hold nothing of the
 * pool. Members are made, the roster changes, another node takes the pool.
 */
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import type { MemberContext } from '../../../config/define/member';
import { becomes, database, handled, mailCount, nodeOf, send, stack, stateOf, trackerOf } from './kit';

beforeAll(() => stack.sql('create table booked (id text not null)'));
beforeEach(() => stack.sql('truncate booked'));

let runs: string[] = [];
/** Code of messages with this name waits here, once it has written. */
let open: Record<string, { begun: () => void; end: Promise<void> }> = {};
beforeEach(() => {
  runs = [];
  open = {};
});

function hold(name: string): { begun: Promise<void>; end: () => void } {
  let begun!: () => void;
  let end!: () => void;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  open[name] = { begun, end: new Promise<void>((resolve) => (end = resolve)) };
  return { begun: hasBegun, end };
}

const booking = trackerOf({
  state: { initial: 0 },
  receive: {
    transaction: true,
    timeout: '1m',
    retryBase: 20,
    concurrency: 200,
    async handle(message: string, ctx: MemberContext<number>) {
      runs.push(ctx.id);
      await ctx.query('insert into booked values ($1)', [ctx.id]);
      const held = open[message];
      held?.begun();
      await held?.end;
      ctx.state++;
    },
  },
});
const booked = async () => (await stack.sql<{ count: number }>('select count(*)::int as count from booked'))[0]!.count;

test('of 200 members that are made at once none starves, and the code of each runs once', async () => {
  const { turns } = await nodeOf(booking);
  await send(Array.from({ length: 200 }, (_, i): [string, string] => [`m${i}`, 'go']));
  turns.lookAtAll();
  await handled();
  expect(new Set(runs).size).toBe(200);
  expect(runs).toHaveLength(200);
  expect(await booked()).toBe(200);
  const [pool] = await stack.sql('select members from longwatch.pool');
  expect(pool).toEqual({ members: 200 });
});

test('a member is made while the code of others of its pool runs', async () => {
  const { turns } = await nodeOf(booking);
  await send([['old', 'go']]);
  turns.lookAtAll();
  await handled();
  const { begun, end } = hold('wait');
  await send([['old', 'wait']]);
  turns.lookAtAll();
  await begun;
  await send([['new', 'go']]);
  turns.lookAtAll();
  await becomes(
    () => stateOf('new'),
    (state) => state === 1,
  );
  expect(await stateOf('old')).toBe(1);
  end();
  await handled();
  expect(runs).toEqual(['old', 'old', 'new']);
});

test('a roster that has changed while the code ran is read first: the code does not run again', async () => {
  let follow = (): void => undefined;
  const node = await nodeOf(booking, { setup: { hintValues: () => follow() } });
  const { begun, end } = hold('wait');
  await send([['a', 'wait']]);
  node.turns.lookAtAll();
  await begun;
  const [changed] = await stack.sql<{ version: number }>(
    'update longwatch.pool set roster_version = roster_version + 1 returning roster_version::int as version',
  );
  // As the flush does, a moment later.
  follow = () => setImmediate(() => (node.kit.shift.rosterVersion = changed!.version));
  end();
  await handled();
  expect(runs).toEqual(['a']);
  expect(await stateOf('a')).toBe(1);
});

test('another node takes the pool while the code runs: it waits for nobody, and one turn is committed', async () => {
  const first = await nodeOf(booking, { node: 'first' });
  const { begun, end } = hold('wait');
  await send([['a', 'wait']]);
  first.turns.lookAtAll();
  await begun;
  delete open.wait;
  const second = await nodeOf(booking, { node: 'second' });
  second.turns.lookAtAll();
  await handled();
  expect(await stateOf('a')).toBe(1);
  end();
  await becomes(
    () => first.kit.shift.isOver,
    (isOver) => isOver,
  );
  expect(runs).toEqual(['a', 'a']);
  expect([await booked(), await stateOf('a'), await mailCount()]).toEqual([1, 1, 0]);
});

test('a member that is removed while its code runs: the turn leaves nothing, and nobody waits for it', async () => {
  const { turns } = await nodeOf(booking);
  await send([['a', 'go']]);
  turns.lookAtAll();
  await handled();
  const { begun, end } = hold('wait');
  await send([['a', 'wait']]);
  turns.lookAtAll();
  await begun;
  // As a removal does: the pool's row, then the life.
  await database.transaction(
    async (db) => {
      const plain = (text: string) => db.query({ text, values: [] });
      await plain(`update longwatch.pool set members = members - 1`);
      await plain(`update longwatch.member set removed_at = now(), stamp = nextval('longwatch.stamp') where id = 'a'`);
      await plain(`update longwatch.life set version = version + 1, state = null where id = 'a'`);
      await plain(`delete from longwatch.mail`);
    },
    { lockTimeoutMs: 1_000 },
  );
  end();
  await becomes(
    () => turns.pools.values().next().value!.begun,
    (count) => count === 0,
  );
  expect([await booked(), await stateOf('a')]).toEqual([1, undefined]);
});

test('more turns than connections wait for one in their order, and no member is read again for that', async () => {
  const log = pino({ level: 'silent' });
  const few = new Database({ url: stack.servers.databaseUrl, log, connections: 1, connectTimeoutMs: 200 });
  const nothing = (): void => undefined;
  let loads = 0;
  const loaded = (_tracker: string, members: number): void => void (loads += members);
  const slow = trackerOf({
    receive: {
      transaction: true,
      timeout: '1m',
      handle: async (_message: unknown, ctx: MemberContext) => void (await ctx.query('select pg_sleep(0.1)')),
    },
  });
  const { turns } = await nodeOf(slow, {
    setup: { handlers: few, events: { ended: nothing, redirected: nothing, loaded, committed: nothing } },
  });
  await send(Array.from({ length: 10 }, (_, i): [string, string] => [`m${i}`, 'go']));
  turns.lookAtAll();
  await handled();
  await few.close();
  expect(loads).toBe(10);
});
