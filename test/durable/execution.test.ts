/** D3, D4, D5 and D7 by the code itself: attempts, keys, time-outs and waits, and what is told of them. */
import { backoffMs, decide } from '../../activities/durable/retry';
import { deleteDue } from '../../activities/durable/retention';
import { HoldError } from '../../config/define/errors';
import { UpstreamError } from '../../activities/upstream/errors';
import { eventually, Stack } from '../support/stack';
import { gate, TestNode, typeOf } from './harness';
import { stopwatch } from '../support/stopwatch';

let stack: Stack;
let one: TestNode;
let two: TestNode;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table effect (task text)');
});
afterAll(() => stack.close());
beforeEach(() => {
  one = new TestNode(stack.servers.databaseUrl, 'node-1');
  two = new TestNode(stack.servers.databaseUrl, 'node-2');
});
afterEach(() => Promise.all([one.close(), two.close()]));

const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

/** As if the worker had died while it ran the task. */
async function crash(task: string): Promise<void> {
  const dead = new TestNode(stack.servers.databaseUrl, 'dead');
  const started = gate();
  void caught(dead.call({ task, retry: { attempts: 99 }, run: () => (started.open(), new Promise(() => undefined)) }));
  await started.opened;
  await dead.close();
  await stack.sql(`update longwatch.task set lease_expires_at = clock_timestamp() - interval '1 s' where task = $1`, [
    task,
  ]);
}

describe('attempts', () => {
  test('a crash uses one, and the next one knows of it', async () => {
    await crash('crash/1');
    const seen = await one.call({
      task: 'crash/1',
      retry: { attempts: 2 },
      run: ({ attempt, lastError }) => ({ attempt, lastError }),
    });
    expect(seen.value).toEqual({
      attempt: 2,
      lastError: { type: 'WorkerLost', message: 'dead died or lost its lease during attempt 1' },
    });
  });

  test('exhausted by crashes: fails with the last error, without running again', async () => {
    await crash('loop/1');
    await crash('loop/1');
    let ran = 0;
    const error = await caught(one.call({ task: 'loop/1', retry: { attempts: 2 }, run: () => ran++ }));
    expect(ran).toBe(0);
    expect(error).toMatchObject({ type: 'ActivityFailed', nonRetryable: true });
    expect(String(error)).toMatch(/dead died or lost its lease during attempt 2/);
    expect(await one.metric('longwatch_activity_failed_total')).toBe(1);
    // And so it stays.
    expect(typeOf(await caught(two.call({ task: 'loop/1', retry: { attempts: 99 }, run: () => ran++ })))).toBe(
      'ActivityFailed',
    );
    expect(ran).toBe(0);
  });

  test('by default there is one', async () => {
    const error = await caught(one.call({ task: 'once/1', run: () => Promise.reject(new TypeError('broken')) }));
    expect(error).toMatchObject({ type: 'ActivityFailed', nonRetryable: true, message: 'broken' });
    expect((error as { details: unknown[] }).details).toEqual([{ type: 'TypeError', message: 'broken' }]);
  });
});

describe('keys', () => {
  test('another run with the same key gets the stored result, counted as a hit; another activity does not', async () => {
    let ran = 0;
    const run = () => ({ ran: ++ran });
    await one.call({ task: 'r1/1', key: 'order 1', run });
    expect((await two.call({ task: 'r2/1', key: 'order 1', run })).value).toEqual({ ran: 1 });
    expect(await two.metric('longwatch_activity_hit_total')).toBe(1);
    expect(two.told('activity hit')).toEqual([expect.objectContaining({ key: 'order 1', source: 'r1/1', run: 'r2' })]);
    expect((await two.call({ task: 'r2/2', key: 'order 1', activity: 'other', run })).value).toEqual({ ran: 2 });
  });

  test('a result whose acknowledgement was lost is returned again, without a key too', async () => {
    let ran = 0;
    const call = { task: 'ack/1', run: () => ({ ran: ++ran }) };
    expect(await one.call(call)).toEqual(await two.call(call));
    expect(ran).toBe(1);
  });

  test('concurrent callers wait for the first and get its result, as soon as it is there', async () => {
    let ran = 0;
    const started = gate();
    const done = gate();
    const run = async () => {
      ran += 1;
      started.open();
      await done.opened;
      return 'the first';
    };
    const first = one.call({ task: 'c1/1', key: 'together', run });
    await started.opened;
    const others = Array.from({ length: 20 }, (_, index) =>
      (index % 2 ? one : two).call({ task: `c-${index}/1`, key: 'together', run }),
    );
    await eventually('that it is waited for', async () => {
      const [row] = await stack.sql<{ waited: boolean }>(
        `select waited from longwatch.idempotency where key = 'together'`,
      );
      return row!.waited;
    });
    done.open();
    expect((await first).value).toBe('the first');
    expect((await Promise.all(others)).map(({ value }) => value)).toEqual(others.map(() => 'the first'));
    expect(ran).toBe(1);
  });

  test('fifty callers at once on two nodes: one effect', async () => {
    const run = async ({ tx }: { tx: { query: (text: string) => Promise<unknown> } }) => {
      await tx.query(`insert into effect values ('race')`);
      return 'done';
    };
    const calls = Array.from({ length: 50 }, (_, index) =>
      (index % 2 ? one : two).callAgain({ task: `race-${index}/1`, key: 'race', run }),
    );
    expect(new Set((await Promise.all(calls)).map(({ value }) => value))).toEqual(new Set(['done']));
    expect(await stack.sql(`select from effect where task = 'race'`)).toHaveLength(1);
  });

  test('a failure frees the key, or is kept, as defined', async () => {
    const fail = () => Promise.reject(new Error('no stock'));
    await caught(one.call({ task: 'f1/1', key: 'freed', run: fail }));
    expect((await one.call({ task: 'f2/1', key: 'freed', run: () => 'now' })).value).toBe('now');
    await caught(one.call({ task: 'f3/1', key: 'kept', keepFailure: true, run: fail }));
    const again = await caught(one.call({ task: 'f4/1', key: 'kept', keepFailure: true, run: () => 'now' }));
    expect(again).toMatchObject({ type: 'ActivityFailed', message: 'no stock' });
  });

  test('a key left by a dead worker is taken over with the attempts that it has used', async () => {
    const dead = new TestNode(stack.servers.databaseUrl, 'dead');
    const started = gate();
    const stuck = () => (started.open(), new Promise(() => undefined));
    void caught(dead.call({ task: 'd1/1', key: 'left', run: stuck }));
    await started.opened;
    await dead.close();
    await stack.sql(`update longwatch.task set lease_expires_at = now() where task = 'd1/1'`);
    let ran = 0;
    const error = await caught(one.call({ task: 'd2/1', key: 'left', run: () => ran++ }));
    expect(error).toMatchObject({ type: 'ActivityFailed' });
    expect(ran).toBe(0);
    // Its one attempt is used; the next caller begins anew.
    expect((await one.call({ task: 'd3/1', key: 'left', run: () => ++ran })).value).toBe(1);
  });

  test.each([
    ['quotes', `'";--`],
    ['newlines', 'a\nb\r\n\tc'],
    ['10 KB', 'k'.repeat(10_240)],
    ['other scripts', 'ключ 🔑'],
    ['the limit', 'k'.repeat(16_384)],
  ])('a key with %s works', async (name, key) => {
    let ran = 0;
    for (const task of [`odd-${name.length}-a/1`, `odd-${name.length}-b/1`]) {
      expect((await one.call({ task, key, run: () => ++ran })).value).toBe(1);
    }
    const [row] = await stack.sql<{ key: string }>('select key from longwatch.idempotency where key = $1', [key]);
    expect(row!.key).toBe(key);
  });

  test.each([
    ['', 'is empty'],
    ['a\0b', 'has a NUL character'],
    ['\ud800', 'has half of a surrogate pair'],
    ['k'.repeat(16_385), 'has 16385 bytes; at most 16384'],
  ])('the key %j is refused clearly, and nothing runs', (key, why) => {
    let ran = 0;
    expect(() => one.call({ task: 'refused/1', key, run: () => ran++ })).toThrow(why);
    expect(ran).toBe(0);
  });

  test('what is past its time is deleted in small batches, with its key, and nothing else', async () => {
    for (let index = 0; index < 25; index++) {
      await one.call({ task: `old-${index}/1`, key: `old ${index}`, run: () => index });
    }
    await stack.sql(
      `update longwatch.task set expires_at = now() - interval '1 s' where task like 'old-%' and task <> 'old-0/1'`,
    );
    const statements = one.database.seen.length;
    expect(await deleteDue(one.database, () => Promise.resolve(false), { batch: 10, pauseMs: 1 })).toBe(24);
    expect(one.database.seen.slice(statements).filter((name) => name === 'task-delete-expired')).toHaveLength(3);
    const left = await stack.sql<{ key: string }>(`select key from longwatch.idempotency where key like 'old %'`);
    expect(left).toEqual([{ key: 'old 0' }]);
    expect((await one.call({ task: 'new/1', key: 'old 3', run: () => 'again' })).value).toBe('again');
  });
});

describe('time-outs and retries', () => {
  test('a time-out ends the attempt: the signal fires, the transaction is undone, code that goes on writes nothing', async () => {
    const late = gate();
    let refused: unknown;
    const error = await caught(
      one.call({
        task: 'slow/1',
        timeoutMs: 60,
        run: async ({ tx, signal }) => {
          // On a busy machine the time may be over by now.
          await tx.query(`insert into effect values ('slow')`).catch(() => undefined);
          await eventually('the signal', () => signal.aborted);
          refused = await caught(tx.query(`insert into effect values ('slow')`));
          late.open();
          return 'too late';
        },
      }),
    );
    expect(error).toMatchObject({ type: 'ActivityFailed', message: 'it took longer than 60 ms' });
    await late.opened;
    expect(refused).toBeInstanceOf(Error);
    expect(await stack.sql(`select from effect where task = 'slow'`)).toHaveLength(0);
  });

  test('an attempt that hangs in a statement is ended at once', async () => {
    const took = stopwatch();
    await caught(one.call({ task: 'hang/1', timeoutMs: 100, run: ({ tx }) => tx.query('select pg_sleep(3)') }));
    expect(took()).toBeLessThan(1_500);
  });

  test('the wait is given to Temporal, the due time is the database’s', async () => {
    const call = { task: 'wait/1', retry: { attempts: 3, backoff: 'exponential' as const, baseMs: 2_000 } };
    const fail = () => Promise.reject(new Error('not yet'));
    expect(await caught(one.call({ ...call, run: fail }))).toMatchObject({ nextRetryDelay: 2_000, type: 'Error' });
    expect(await caught(one.call({ ...call, run: fail }))).toMatchObject({ nextRetryDelay: 4_000 });
    const [row] = await stack.sql<{ wait: number }>(
      `select extract(epoch from retry_at - changed_at)::float8 as wait from longwatch.task where task = 'wait/1'`,
    );
    expect(row!.wait).toBeCloseTo(4, 1);
    expect(typeOf(await caught(one.call({ ...call, run: fail })))).toBe('ActivityFailed');
  });

  test('exponential is base × 2^(attempt - 1), capped; jitter stays below the cap', () => {
    const policy = { attempts: 20, backoff: 'exponential', baseMs: 1_000, capMs: 10_000, jitter: false } as const;
    expect([1, 2, 3, 4, 5, 6].map((used) => backoffMs(used, policy))).toEqual([1e3, 2e3, 4e3, 8e3, 1e4, 1e4]);
    expect(backoffMs(5, { ...policy, backoff: 'constant' })).toBe(1_000);
    for (const random of [0, 0.3, 0.999]) {
      const wait = backoffMs(9, { ...policy, jitter: true }, () => random);
      expect(wait).toBeLessThanOrEqual(10_000);
      expect(wait).toBeGreaterThanOrEqual(5_000);
    }
  });

  test('what is retried is decided in one place', () => {
    const policy = { attempts: 3, backoff: 'constant', baseMs: 1_000, capMs: 10_000, jitter: false } as const;
    expect(decide(new Error('x'), 1, policy)).toEqual({ retry: true, afterMs: 1_000 });
    expect(decide(new Error('x'), 3, policy)).toEqual({ retry: false, why: 'no attempts left' });
    expect(decide(new HoldError('429', { afterMs: 77_000 }), 1, policy)).toEqual({ retry: true, afterMs: 77_000 });
    const refused = new UpstreamError('400', { failure: 'status', status: 400, retryable: false });
    expect(decide(refused, 1, policy)).toEqual({ retry: false, why: 'not retryable' });
  });
});

test('each event is counted and told with its fields', async () => {
  const key = 'told';
  const call = { task: 'told/7', key, retry: { attempts: 2, baseMs: 10 } };
  await caught(one.call({ ...call, run: () => Promise.reject(new Error('first')) }));
  await one.call({ ...call, run: () => 'second' });
  await one.call({ ...call, task: 'told/8', run: () => 'third' });
  await caught(one.call({ task: 'told/9', run: () => Promise.reject(new Error('last')) }));
  await one.call({ task: 'told/10', kind: 'compensation', key: 'told/7', activity: 'undo', run: () => null });
  await caught(
    one.call({
      task: 'told/11',
      kind: 'compensation',
      key: 'told/8',
      activity: 'undo',
      run: () => Promise.reject(new Error('stuck')),
    }),
  );
  const base = { run: 'told', workflow: 'workflow of told', executor: 'node-1' };
  const first = { ...base, task: 'told/7', activity: 'effect', externalId: '7', attempt: 1, key };
  const any = expect.any(Number) as number;
  expect(one.told('activity started')).toMatchObject([first, { ...first, attempt: 2 }, { task: 'told/9' }]);
  expect(one.told('activity retried')).toMatchObject([
    {
      ...first,
      durationMs: any,
      nextAttempt: 2,
      retryAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      error: 'first',
    },
  ]);
  expect(one.told('activity completed')).toMatchObject([{ ...first, attempt: 2, durationMs: any }]);
  expect(one.told('activity hit')).toMatchObject([{ ...base, task: 'told/8', key, source: 'told/7' }]);
  expect(one.told('activity failed')).toMatchObject([{ ...base, task: 'told/9', durationMs: any, error: 'last' }]);
  const undo = { ...base, activity: 'undo', attempt: 1 };
  expect(one.told('compensation started')).toMatchObject([
    { ...undo, target: 'told/7' },
    { ...undo, target: 'told/8' },
  ]);
  expect(one.told('compensation completed')).toMatchObject([{ ...undo, target: 'told/7', durationMs: any }]);
  expect(one.told('compensation failed')).toMatchObject([{ ...undo, target: 'told/8', error: 'stuck' }]);
  const counted = { started: 3, completed: 1, retried: 1, failed: 1, hit: 1 };
  for (const [event, count] of Object.entries(counted)) {
    expect([event, await one.metric(`longwatch_activity_${event}_total`)]).toEqual([event, count]);
  }
  for (const [event, count] of Object.entries({ started: 2, completed: 1, failed: 1 })) {
    expect([event, await one.metric(`longwatch_compensation_${event}_total`)]).toEqual([event, count]);
  }
});
