/**
 * The gate is asked by one, and its answer counts for a time: keepers of several nodes on one PostgreSQL. Their clocks
 * are the test's; how old an answer is in the row is set by hand.
 */
import { GateKeeper } from '../../activities/tracker/shift/gate';
import type { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Database } from '../../activities/lib/database';
import { HoldError } from '../../exports';
import { Stack } from '../support/stack';
import { log, rowOf, shiftOf } from './shift-kit';

/** Long, so that no answer grows old by itself on a machine that is busy. */
const EVERY = 19_500;
const OPTIONS = { everyMs: EVERY, timeoutMs: 500 };
const TERM = EVERY + 500;
const HOLD_MS = 40 * EVERY;

let stack: Stack;
let database: Database;
/** The next answer of the upstream. */
let says: () => boolean | Promise<boolean>;
let asked: string[];
let errors: Error[];

const definition = {
  name: 't',
  gate: { every: EVERY, timeout: 500, check: () => true },
  operations: { look: { every: '1s' as const, run: () => ({ value: 1 }) } },
};

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});
beforeEach(async () => {
  says = () => true;
  asked = [];
  errors = [];
  await stack.sql('delete from longwatch.tracker');
  await stack.sql('insert into longwatch.tracker (name, options) values ($1, $2)', [
    't',
    JSON.stringify(rowOf(definition).options),
  ]);
});

interface TestKeeper {
  keeper: GateKeeper;
  shift: PoolShift;
  clock: { time: number };
  /** Lets a turn come, so much later, and waits for its end. */
  turn(afterMs?: number, options?: typeof OPTIONS): Promise<void>;
  /** The belief of its shift. */
  isOpen(): boolean;
}

/** A node that keeps this pool of the tracker. */
async function nodeOf(name: string, pool: number, on = database): Promise<TestKeeper> {
  const kit = shiftOf(definition, { pool, token: 1 });
  const { claim } = kit.shift;
  await stack.sql(
    `insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt, node, taken_at)
     values ('t', $1, 1, $2, $3, $4, $5, now()) on conflict do nothing`,
    [pool, claim.runId, claim.shift, claim.attempt, claim.node],
  );
  const ended: (() => void)[] = [];
  const keeper = new GateKeeper(
    't',
    {
      check: () => {
        asked.push(name);
        return says();
      },
    },
    {
      clock: kit.clock,
      database: on,
      shifts: () => [kit.shift],
      onError: (error) => errors.push(error),
      log,
    },
  );
  kit.shift.knowGateUntil(keeper.knownUntil);
  const busy = keeper as unknown as { turn(options: typeof OPTIONS): Promise<void> };
  const original = busy.turn.bind(keeper);
  let begun = 0;
  busy.turn = (options) => {
    begun++;
    return original(options).finally(() => ended.shift()?.());
  };
  return {
    keeper,
    shift: kit.shift,
    clock: kit.clock,
    async turn(afterMs = EVERY, options = OPTIONS) {
      kit.clock.time += afterMs;
      const before = begun;
      const end = new Promise<void>((resolve) => ended.push(resolve));
      keeper.tick(kit.clock.time, options);
      // A keeper that has seen that somebody is asking need not look: the answer comes with the tracker's row, as
      // below.
      if (begun > before) await end;
      else ended.pop();
      // `finally` of the tick comes after that of the turn.
      await new Promise((resolve) => setImmediate(resolve));
      const [row] = await stack.sql<{ open: boolean | null }>('select gate_open as open from longwatch.tracker');
      kit.shift.follow({ ...kit.tracker, gateOpen: row!.open });
    },
    isOpen: () => kit.shift.closed() !== 'gate',
  };
}

/** The row's answer is so old. */
const age = (ms: number) =>
  stack.sql(
    `update longwatch.tracker set gate_checked_at = now() - make_interval(secs => $1::float8 / 1000), gate_next_at = null`,
    [ms],
  );

test('pool 0 asks; others only look, as long as the answer is fresh', async () => {
  const zero = await nodeOf('zero', 0);
  const other = await nodeOf('other', 1);
  expect([zero.isOpen(), other.isOpen()]).toEqual([false, false]);
  await zero.turn();
  await other.turn();
  expect([zero.isOpen(), other.isOpen()]).toEqual([true, true]);
  await zero.turn();
  await other.turn();
  expect(asked).toEqual(['zero', 'zero']);
  says = () => false;
  await zero.turn();
  await other.turn();
  expect([zero.isOpen(), other.isOpen()]).toEqual([false, false]);
});

test('TR-M7: where pool 0 is silent, another node asks before the answer is unknown, and only one of them', async () => {
  await stack.sql('update longwatch.tracker set gate_open = true');
  await age(1.5 * TERM);
  const [first, second] = [await nodeOf('first', 1), await nodeOf('second', 2)];
  await first.turn();
  expect(first.isOpen()).toBe(true);
  expect(asked).toEqual([]);
  // Older than the next one should be.
  await age(2.2 * TERM);
  says = () => false;
  await Promise.all([first.turn(), second.turn()]);
  expect(asked).toHaveLength(1);
  await Promise.all([first.turn(), second.turn()]);
  expect([first.isOpen(), second.isOpen()]).toEqual([false, false]);
  // It asks on, and finds the upstream back.
  await age(2.2 * TERM);
  says = () => true;
  await Promise.all([first.turn(), second.turn()]);
  await Promise.all([first.turn(), second.turn()]);
  expect(asked).toHaveLength(2);
  expect([first.isOpen(), second.isOpen()]).toEqual([true, true]);
});

test('nodes that start at once before there is an answer: one asks, and the others know it a moment later', async () => {
  const nodes = [await nodeOf('first', 1), await nodeOf('second', 2), await nodeOf('third', 3)];
  await Promise.all(nodes.map((node) => node.turn()));
  expect(asked).toHaveLength(1);
  await Promise.all(nodes.filter((node) => !node.isOpen()).map((node) => node.turn(EVERY / 4)));
  expect(nodes.map((node) => node.isOpen())).toEqual([true, true, true]);
  expect(asked).toHaveLength(1);
});

test('an answer that is too old is unknown, which is closed, by itself and in `status`', async () => {
  await stack.sql('update longwatch.tracker set gate_open = true');
  await age(2.1 * TERM);
  const longwatch = await stack.connect();
  const other = await nodeOf('other', 1);
  says = () => new Promise<boolean>(() => undefined);
  expect((await longwatch.tracker('t').status()).gate).toBe('open');
  await other.turn();
  expect(asked).toEqual(['other']);
  // Its time goes by without a further look; the claim counts as long as an answer may take.
  other.clock.time += 3 * TERM + TERM;
  expect(other.isOpen()).toBe(false);
  await age(3.1 * TERM);
  expect((await longwatch.tracker('t').status()).gate).toBe('unknown');
});

test('three failures in a row close it, fewer leave it as it is', async () => {
  const zero = await nodeOf('zero', 0);
  await zero.turn();
  says = () => Promise.reject(new Error('away'));
  await zero.turn();
  await zero.turn();
  expect(zero.isOpen()).toBe(true);
  await zero.turn();
  expect(zero.isOpen()).toBe(false);
  expect(errors).toHaveLength(3);
});

test('a claim whose check fails makes the last answer no younger', async () => {
  await stack.sql('update longwatch.tracker set gate_open = true');
  await age(2.2 * TERM);
  says = () => Promise.reject(new Error('away'));
  const [first, second] = [await nodeOf('first', 1), await nodeOf('second', 2)];
  await first.turn();
  await age(3.1 * TERM);
  await second.turn();
  await first.turn();
  expect(asked).toHaveLength(3);
  expect([first.isOpen(), second.isOpen()]).toEqual([false, false]);
  const [row] = await stack.sql('select gate_next_at as next, gate_open as open from longwatch.tracker');
  expect(row).toEqual({ next: null, open: true });
});

test('TR-L7: a check that throws a HoldError is not asked again before that is over, by nobody; what was known stays', async () => {
  const zero = await nodeOf('zero', 0);
  const other = await nodeOf('other', 1);
  await zero.turn();
  says = () => Promise.reject(new HoldError('429', { afterMs: HOLD_MS }));
  await zero.turn();
  expect(errors).toHaveLength(1);
  says = () => false;
  for (let i = 0; i < 5; i++) {
    await zero.turn(5 * EVERY);
    await other.turn(5 * EVERY);
  }
  expect(asked).toEqual(['zero', 'zero']);
  expect([zero.isOpen(), other.isOpen()]).toEqual([true, true]);
  // Nor by who takes the pool over.
  const next = await nodeOf('next', 0);
  await next.turn();
  await next.turn();
  expect(asked).toEqual(['zero', 'zero']);
  await next.turn(HOLD_MS);
  expect(asked).toEqual(['zero', 'zero', 'next']);
  expect(next.isOpen()).toBe(false);
});

test('a shift that has lost its fence writes no answer', async () => {
  const zero = await nodeOf('zero', 0);
  await stack.sql('update longwatch.pool set token = 2 where pool = 0');
  await zero.turn();
  expect(await stack.sql('select gate_open as open from longwatch.tracker')).toEqual([{ open: null }]);
});

test('while the database is away a node goes by what it hears itself', async () => {
  const away = new Database({ url: 'postgres://127.0.0.1:1/x', log, connectTimeoutMs: 200 });
  const lonely = await nodeOf('lonely', 1, away);
  await stack.sql('update longwatch.tracker set gate_open = true');
  await lonely.turn();
  expect(lonely.isOpen()).toBe(true);
  says = () => false;
  await lonely.turn(4 * TERM);
  expect(lonely.isOpen()).toBe(false);
  await away.close();
});

test('a gate that is asked all the time is not closed by a hiccup: its answer counts for six seconds', async () => {
  const quick = { everyMs: 100, timeoutMs: 100 };
  const longwatch = await stack.connect();
  await stack.sql(`update longwatch.tracker set options = jsonb_set(options, '{gate}', $1)`, [JSON.stringify(quick)]);
  const zero = await nodeOf('zero', 0);
  const other = await nodeOf('other', 1);
  await zero.turn(EVERY, quick);
  await other.turn(EVERY, quick);
  // The other one has heard of it some time later.
  for (const [one, open] of [[zero, 5_800], [other, 2_500]] as const) {
    one.clock.time += open;
    expect(one.isOpen()).toBe(true);
    one.clock.time += 6_100 - open;
    expect(one.isOpen()).toBe(false);
  } // prettier-ignore
  // Nor does anybody ask in its place before four, and what people see is the same.
  await age(1_000);
  await other.turn(EVERY, quick);
  expect(asked).toEqual(['zero']);
  await age(2_500);
  expect((await longwatch.tracker('t').status()).gate).toBe('open');
  await age(6_100);
  expect((await longwatch.tracker('t').status()).gate).toBe('unknown');
  await other.turn(EVERY, quick);
  expect(asked).toEqual(['zero', 'other']);
});
