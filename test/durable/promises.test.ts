/**
 * Faults that hostile readers had found in durable activities, each by its kind: leases in outages, one attempt is one
 * run, keys of what was taken back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { makeFingerprint, makeKey, makeResource } from '../../activities/durable/keys';
import { resolveReferences } from '../../activities/durable/references';
import { deleteDue } from '../../activities/durable/retention';
import { decide } from '../../activities/durable/retry';
import { failure } from '../../activities/lib/failures';
import { HoldError } from '../../config/define/errors';
import { compensationOf, type Reference } from '../../workflows/durable/contract';
import { ErrorType } from '../../workflows/lib/errors';
import { eventually, Stack } from '../support/stack';
import { gate, TestNode, typeOf, type TestCall } from './harness';

let stack: Stack;
let one: TestNode;
let two: TestNode;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql('create table effect (task text primary key)');
  await stack.sql('create table other (id int primary key)');
});
afterAll(() => stack.close());
beforeEach(() => {
  one = new TestNode(stack.servers.databaseUrl, 'node-1');
  two = new TestNode(stack.servers.databaseUrl, 'node-2');
});
afterEach(() => Promise.all([one.close(), two.close()]));

const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);
const gone = () => failure(ErrorType.StoreUnavailable, 'gone');
const coded = (code: string) => Object.assign(new Error(`of ${code}`), { code });

async function row(task: string) {
  type Row = { state: string; attempt: number; unused: number; note: string | null; resource: string | null };
  const [found] = await stack.sql<Row>(
    'select state, attempt, unused, note, resource from longwatch.task where task = $1',
    [task],
  );
  return found!;
}

/** Statements of one name fail so often. */
function fails(node: TestNode, name: string, times: number, error: () => Error = gone): void {
  let left = times;
  node.database.before = (statement) => {
    if (statement.name === name && left-- > 0) throw error();
  };
}

describe('a lease in an outage', () => {
  test('a slow take and an outage right after it: nothing is left behind, and it runs when the database answers', async () => {
    let ran = 0;
    let renewals = 0;
    one.database.after = async ({ name }) => {
      if (name === 'task-take') await delay(550);
    };
    one.database.before = ({ name }) => {
      if (name === 'task-renew' && renewals++ < 3) throw gone();
    };
    expect((await one.call({ task: 'slow-take/1', run: () => ++ran })).value).toBe(1);
    expect(one.services.leases.size).toBe(0);
    expect(await row('slow-take/1')).toMatchObject({ state: 'completed', attempt: 1, unused: 0 });
  });

  test('a mistake in the renewal before the start gives the attempt back, and the lease', async () => {
    one.database.after = async ({ name }) => {
      if (name === 'task-take') await delay(550);
    };
    fails(one, 'task-renew', 1, () => coded('42P01'));
    await caught(one.call({ task: 'slow-bug/1', run: () => 'ran' }));
    expect(one.services.leases.size).toBe(0);
    expect(await row('slow-bug/1')).toMatchObject({ state: 'waiting', attempt: 1, unused: 1 });
    expect((await two.call({ task: 'slow-bug/1', run: ({ attempt }) => attempt })).value).toBe(1);
  });

  test('the code is stopped at the end of its safe time, also while the renewal hangs', async () => {
    const hung = gate();
    one.database.before = ({ name }) => (name === 'task-renew' ? hung.opened : undefined);
    const began = performance.now();
    let stoppedAfter = 0;
    const call = one.call({
      task: 'hung/1',
      ttlMs: 400,
      renewMs: 100,
      run: ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            stoppedAfter = performance.now() - began;
            reject(signal.reason as Error);
          }),
        ),
    });
    await eventually('that it is stopped', () => stoppedAfter > 0, 10_000);
    // The renewal still hangs.
    expect(stoppedAfter).toBeGreaterThanOrEqual(350);
    hung.open();
    expect(typeOf(await caught(call))).toBe('HandedBack');
    expect(one.told('a lease was lost')).toEqual([expect.objectContaining({ reason: 'could_not_be_renewed' })]);
  });

  test('an attempt that has not begun is given back when the database answers, and nobody is told before', async () => {
    let left = 5;
    one.database.before = ({ name }) => {
      if (name === 'task-renew' || (name === 'task-settle' && left-- > 0)) throw gone();
    };
    const call: TestCall = { task: 'late-back/1', ttlMs: 400, renewMs: 150, run: () => 'ran' };
    const prepare = () => Promise.reject(gone());
    expect(typeOf(await caught(one.call({ ...call, prepare })))).toBe('HandedBack');
    expect(await row('late-back/1')).toMatchObject({ state: 'waiting', attempt: 1, unused: 1 });
    expect((await two.call(call)).value).toBe('ran');
  });
});

describe('one attempt is one run', () => {
  const outage = (run: TestCall['run'], task: string): TestCall => ({ task, ttlMs: 300, renewMs: 100, run });

  test('an effect outside whose lease ran out is not done again; it is reported as failed', async () => {
    let charged = 0;
    one.database.before = ({ name }) => {
      if (name === 'task-renew') throw gone();
    };
    const charge: TestCall['run'] = ({ signal }) => {
      charged += 1;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    };
    await caught(one.call(outage(charge, 'charge/1')));
    for (let call = 0; call < 3; call++) {
      expect(typeOf(await caught(two.call(outage(charge, 'charge/1'))))).toBe('ActivityFailed');
    }
    expect(charged).toBe(1);
  });

  test('an effect in the database, of which nothing is there, uses none', async () => {
    one.database.before = ({ name }) => {
      if (name === 'task-renew') throw gone();
    };
    const run: TestCall['run'] = async ({ tx, signal }) => {
      await tx.query(`insert into effect values ('tx-back')`);
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    };
    await caught(one.call(outage(run, 'tx-back/1')));
    const again = await two.call(
      outage(
        async ({ tx, attempt }) => (await tx.query(`insert into effect values ('tx-back')`), attempt),
        'tx-back/1',
      ),
    );
    expect(again.value).toBe(1);
  });

  test.each(['40001', '40P01', '55P03', '57014', '25006', '58030'])(
    'what passes uses no attempt of a transaction: %s',
    async (code) => {
      const raise = `do $$ begin raise 'it passes' using errcode = '${code}'; end $$`;
      const task = `passes-${code}/1`;
      expect(typeOf(await caught(one.call({ task, run: ({ tx }) => tx.query(raise) })))).toBe('HandedBack');
      // Also where a client's wrapper throws an error of its own.
      const wrapped: TestCall['run'] = async ({ tx }) => {
        await tx.query(raise).catch((cause: unknown) => {
          throw new Error('query failed', { cause });
        });
      };
      expect(typeOf(await caught(one.call({ task, run: wrapped })))).toBe('HandedBack');
      expect((await one.call({ task, run: ({ attempt }) => attempt })).value).toBe(1);
    },
  );

  test('it is not handed back for ever: after five times it counts', async () => {
    const run: TestCall['run'] = ({ tx }) => tx.query(`do $$ begin raise 'again' using errcode = '40001'; end $$`);
    const ends: unknown[] = [];
    for (let call = 0; call < 8; call++) ends.push(typeOf(await caught(one.call({ task: 'for-ever/1', run }))));
    expect(ends.slice(0, 6)).toEqual(Array.from({ length: 6 }, () => 'HandedBack'));
    expect(ends.slice(6)).toEqual(['ActivityFailed', 'ActivityFailed']);
  });

  test('a conflict that the code has dealt with, and an error of its own after it: the error counts', async () => {
    const run: TestCall['run'] = async ({ tx }) => {
      await tx.query('savepoint s');
      await tx.query(`do $$ begin raise 'busy' using errcode = '55P03'; end $$`).catch(() => tx.query('rollback to s'));
      throw new Error('no stock');
    };
    expect(await caught(one.call({ task: 'savepoint/1', run }))).toMatchObject({
      type: 'ActivityFailed',
      message: 'no stock',
    });
  });

  test('the result of an effect outside is stored through what passes', async () => {
    let left = 3;
    const codes = ['57014', '40P01', '25006'];
    one.database.before = ({ name }) => {
      if (name === 'task-settle' && left > 0) throw coded(codes[--left]!);
    };
    let ran = 0;
    expect((await one.call({ task: 'stored/1', run: () => ++ran })).value).toBe(1);
    expect((await two.call({ task: 'stored/1', run: () => ++ran })).value).toBe(1);
  });
});

describe('a hold that is no time', () => {
  const policy = { attempts: 3, backoff: 'constant', baseMs: 1_000, capMs: 10_000, jitter: false } as const;
  test('is a usual wait; a long one has a bound', () => {
    for (const afterMs of [NaN, undefined as never, -5]) {
      expect(decide(new HoldError('429', { afterMs }), 1, policy)).toEqual({ retry: true, afterMs: 15_000 });
    }
    for (const afterMs of [Infinity, 1e300, 3e10]) {
      expect(decide(new HoldError('429', { afterMs }), 1, policy)).toEqual({ retry: true, afterMs: 86_400_000 });
    }
  });

  test('costs no lease', async () => {
    const run = () => Promise.reject(new HoldError('429', { afterMs: NaN }));
    const error = await caught(one.call({ task: 'nan/1', retry: { attempts: 2, baseMs: 50 }, run }));
    expect(error).toMatchObject({ nextRetryDelay: 15_000 });
    expect(await row('nan/1')).toMatchObject({ state: 'waiting' });
  });
});

describe('what the functions of a definition say', () => {
  const bad = (make: () => unknown): unknown => {
    try {
      return make();
    } catch (error) {
      return error;
    }
  };

  test('where they throw, or say what cannot be kept, the step fails; it is not tried for ever', () => {
    const throws = (): never => {
      throw new TypeError('of undefined');
    };
    for (const make of [
      () => makeKey('a', throws),
      () => makeResource('a', throws),
      () => makeFingerprint('a', 1, throws),
      () => makeKey('a', () => 'x\0'),
      () => makeKey('a', () => Promise.resolve('x')),
      () => makeResource('a', () => 'x\0'),
      () => makeResource('a', () => '\ud800'),
      () => makeResource('a', () => 7),
      () => makeFingerprint('a', 1, () => 1n),
    ]) {
      expect(bad(make)).toMatchObject({ type: 'BadValue', nonRetryable: true });
    }
    expect(makeResource('a', () => undefined)).toBeNull();
    expect(makeFingerprint('a', 1, () => undefined)).toBeNull();
  });

  test('a resource of any length excludes the others', async () => {
    const long = (end: string): string => makeResource('a', () => `${'漢'.repeat(5_000)}${end}`)!;
    const started = gate();
    const done = gate();
    const holding = one.call({ task: 'long-1/1', resource: long('a'), run: () => (started.open(), done.opened) });
    await started.opened;
    expect(typeOf(await caught(two.call({ task: 'long-2/1', resource: long('a'), run: () => 'ran' })))).toBe(
      'LeaseHeld',
    );
    expect((await two.call({ task: 'long-3/1', resource: long('b'), run: () => 'ran' })).value).toBe('ran');
    done.open();
    await holding;
  });

  test('a resource that came with a later attempt excludes the others too', async () => {
    await caught(one.call({ task: 'late-r/1', retry: { attempts: 2 }, run: () => Promise.reject(new Error('x')) }));
    const started = gate();
    const done = gate();
    const run = () => (started.open(), done.opened);
    const holding = one.call({ task: 'late-r/1', retry: { attempts: 2 }, resource: 'account 9', run });
    await started.opened;
    expect(typeOf(await caught(two.call({ task: 'late-r/2', resource: 'account 9', run: () => 'ran' })))).toBe(
      'LeaseHeld',
    );
    done.open();
    await holding;
  });
});

describe('what was taken back', () => {
  const pay = (run: string, more: Partial<TestCall> = {}): TestCall => ({
    task: `${run}/pay`,
    workflow: `order ${run}`,
    activity: 'pay',
    key: 'order 17',
    undo: true,
    run: async ({ task }) => ({ paid: task }),
    ...more,
  });
  const undo = (run: string, target: string, more: Partial<TestCall> = {}): TestCall => ({
    task: `${run}/undo`,
    workflow: `order ${run}`,
    activity: compensationOf('pay'),
    kind: 'compensation',
    key: target,
    keepFailure: true,
    details: { saga: `order ${run}`, target, taskQueue: 'q', input: null },
    run: () => 'taken back',
    ...more,
  });
  beforeEach(() => stack.sql('truncate longwatch.task, longwatch.idempotency, longwatch.task_run'));

  test('has no result any more: who comes with its key runs it again', async () => {
    expect((await one.call(pay('a'))).value).toEqual({ paid: 'a/pay' });
    expect((await one.call(undo('a', 'a/pay'))).value).toBe('taken back');
    expect((await one.call(pay('b'))).value).toEqual({ paid: 'b/pay' });
    // And can be taken back itself.
    expect((await one.call(undo('b', 'b/pay'))).value).toBe('taken back');
    expect((await one.call(pay('c'))).value).toEqual({ paid: 'c/pay' });
  });

  test('stays while another workflow relies on it, and goes with the last one', async () => {
    await one.call(pay('a'));
    expect((await two.call(pay('b'))).value).toEqual({ paid: 'a/pay' });
    // The second one fails: the first has shipped.
    expect((await two.call(undo('b', 'a/pay'))).value).toBeNull();
    expect(two.told('compensation relied on')).toEqual([expect.objectContaining({ by: 'order a', target: 'a/pay' })]);
    expect((await one.call(pay('c'))).value).toEqual({ paid: 'a/pay' });
    expect((await one.call(undo('a', 'a/pay'))).value).toBeNull();
    expect((await one.call(undo('c', 'a/pay'))).value).toBe('taken back');
    expect((await one.call(pay('d'))).value).toEqual({ paid: 'd/pay' });
  });

  test('who comes while it is being taken back waits, and then runs it', async () => {
    await one.call(pay('a'));
    const started = gate();
    const done = gate();
    const undoing = one.call(undo('a', 'a/pay', { run: () => (started.open(), done.opened) }));
    await started.opened;
    let value: unknown;
    const waiting = two.call(pay('b')).then((envelope) => (value = envelope.value));
    await eventually('that it waits', async () => {
      const [found] = await stack.sql<{ waited: boolean }>(
        `select waited from longwatch.idempotency where activity = 'pay'`,
      );
      return found!.waited;
    });
    expect(value).toBeUndefined();
    done.open();
    await Promise.all([undoing, waiting]);
    expect(value).toEqual({ paid: 'b/pay' });
  });

  test('a compensation that failed for good leaves the effect, and who relies on it then', async () => {
    await one.call(pay('a'));
    await caught(one.call(undo('a', 'a/pay', { run: () => Promise.reject(new Error('stuck')) })));
    expect((await two.call(pay('b'))).value).toEqual({ paid: 'a/pay' });
    // Mended by hand: the second one has shipped meanwhile.
    await stack.sql(
      `update longwatch.task set state = 'waiting', unused = attempt, retry_at = 'epoch' where task = 'a/undo'`,
    );
    expect((await one.call(undo('a', 'a/pay', { task: 'mend/undo', workflow: 'saga/x' }))).value).toBeNull();
    expect((await two.call(pay('c'))).value).toEqual({ paid: 'a/pay' });
  });

  test('a compensation that nobody goes on with, for its workflow was terminated, keeps nobody waiting for days', async () => {
    await one.call(pay('a'));
    const failing = undo('a', 'a/pay', { retry: { attempts: 5, baseMs: 60_000 }, run: () => Promise.reject(new Error('no')) });
    expect(await caught(one.call(failing))).toMatchObject({ message: 'no' });
    // It may come back: who comes with the key waits.
    const leave = new AbortController();
    const waiting = caught(two.call(pay('b'), { signal: leave.signal }));
    await eventually('that it waits', async () => (await stack.sql('select from longwatch.idempotency where waited')).length > 0);
    leave.abort(new Error('it has waited'));
    expect(await waiting).toMatchObject({ message: 'it has waited' });
    await stack.sql(`update longwatch.task set retry_at = now() - interval '11 minutes' where task = 'a/undo'`);
    expect((await two.call(pay('b'))).value).toEqual({ paid: 'a/pay' });
    // Should it come yet, it finds who relies on the effect.
    expect((await one.call(undo('a', 'a/pay', { retry: { attempts: 5 } }))).value).toBeNull();
  }); // prettier-ignore

  test('one that another workflow was given, and had given up, is taken back by the last of them', async () => {
    await one.call(pay('a'));
    await two.call(pay('b'));
    // The second one never heard of the result: it takes back its own call.
    expect((await one.call(undo('a', 'a/pay'))).value).toBeNull();
    expect((await two.call(undo('b', 'b/pay'))).value).toBe('taken back');
    expect((await one.call(pay('c'))).value).toEqual({ paid: 'c/pay' });
    // And a call that is repeated gets what it got.
    await two.call(pay('d'));
    const again = await one.call(pay('d', { run: () => 'not again' }));
    expect(again).toEqual({ task: 'c/pay', undo: true, value: { paid: 'c/pay' } });
  });

  test('an effect commits nothing after its saga took it back, whether it runs or has not begun', async () => {
    const started = gate();
    const done = gate();
    const slow = one.call(
      pay('a', {
        run: async ({ tx }) => {
          await tx.query(`insert into effect values ('after')`);
          started.open();
          await done.opened;
          return 'late';
        },
      }),
    );
    await started.opened;
    // Uncertain: Temporal has given the step up while it ran. Nobody undoes beside it, nobody does it beside it.
    const undoing = undo('a', 'a/pay', { run: () => 'nothing there' });
    expect(typeOf(await caught(two.call(undoing)))).toBe('LeaseHeld');
    done.open();
    expect(typeOf(await caught(slow))).toBe('HandedBack');
    expect((await two.call(undoing)).value).toBe('nothing there');
    expect(await stack.sql(`select from effect where task = 'after'`)).toHaveLength(0);
    expect(typeOf(await caught(one.call(pay('a'))))).toBe('Discarded');

    await two.call(undo('b', 'b/pay'));
    let ran = 0;
    expect(typeOf(await caught(one.call(pay('b', { run: () => ++ran }))))).toBe('Discarded');
    expect(ran).toBe(0);
  });

  test.each(['x\0y', 'x\ud800y', '\udc00', '😀'.slice(0, 1)])('with any text in it: %j', async (text) => {
    const input = { text, deep: [{ [text]: text }] };
    await one.call(pay('a', { run: () => input }));
    let ran = 0;
    const details = { saga: 'order a', target: 'a/pay', taskQueue: 'q', input };
    await one.call(undo('a', 'a/pay', { details, run: () => ++ran }));
    expect(ran).toBe(1);
  });

  test('what PostgreSQL cannot read as JSON costs the input that people would see, not the compensation', async () => {
    await one.call(pay('a'));
    // Deeper than its parser goes.
    const input = JSON.parse('['.repeat(3_000) + ']'.repeat(3_000)) as unknown;
    await stack.sql(`alter system set max_stack_depth = '100kB'`);
    await stack.sql('select pg_reload_conf()');
    const details = { saga: 'order a', target: 'a/pay', taskQueue: 'q', input };
    try {
      expect((await one.call(undo('a', 'a/pay', { details }))).value).toBe('taken back');
    } finally {
      await stack.sql('alter system reset max_stack_depth');
      await stack.sql('select pg_reload_conf()');
    }
  });
});

describe('a workflow that is over, or has given the activity up', () => {
  /** Temporal says of the activity that it is not known. */
  const notFound = () => {
    const controller = new AbortController();
    const details = () => ({ cancelRequested: false, workerShutdown: false, paused: false, reset: false });
    return { caller: { signal: controller.signal, details }, fire: () => controller.abort() };
  };
  const hang = (started: () => void, task: string): TestCall => ({
    task,
    run: async ({ tx, signal }) => {
      await tx.query('insert into effect values ($1)', [task]);
      started();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return 'too late';
    },
  });

  test('given up: the code stops, and commits nothing', async () => {
    let asked = 0;
    const node = new TestNode(stack.servers.databaseUrl, 'node-3', () => Promise.resolve(true), {
      // Temporal does not answer at once.
      isPending: () => (asked++ === 0 ? Promise.reject(new Error('away')) : Promise.resolve(false)),
    });
    const { caller, fire } = notFound();
    const started = gate();
    const call = node.call(hang(started.open, 'given-up/1'), caller);
    await started.opened;
    fire();
    expect(typeOf(await caught(call))).toBe('Discarded');
    expect(await row('given-up/1')).toMatchObject({ state: 'discarded' });
    expect(await stack.sql(`select from effect where task = 'given-up/1'`)).toHaveLength(0);
    await node.close();
  });

  test('over: nothing of its run writes any more', async () => {
    const node = new TestNode(stack.servers.databaseUrl, 'node-3', () => Promise.resolve(false));
    const { caller, fire } = notFound();
    const started = gate();
    const call = node.call(hang(started.open, 'over/1'), caller);
    await started.opened;
    fire();
    expect(typeOf(await caught(call))).toBe('Discarded');
    expect(typeOf(await caught(two.call({ task: 'over/2', run: () => 1 })))).toBe('Discarded');
    await node.close();
  });

  test('still waited for: it goes on', async () => {
    const { caller, fire } = notFound();
    const started = gate();
    const done = gate();
    const call = one.call({ task: 'waited-for/1', run: () => (started.open(), done.opened) }, caller);
    await started.opened;
    fire();
    done.open();
    expect((await call).value).toBeNull();
  });
});

describe('the same key, and another input', () => {
  const charge = (run: string, input: unknown, more: Partial<TestCall> = {}): TestCall => ({
    task: `${run}/1`,
    activity: 'charge',
    key: `pay ${JSON.stringify(more.otherInput ?? 'tell')}`,
    input,
    run: () => ({ charged: input }),
    ...more,
  });
  const others = async (key: string) =>
    (
      await stack.sql<{ others: number; other_task: string }>(
        'select others, other_task from longwatch.idempotency where key = $1',
        [key],
      )
    )[0];

  test('is told, counted once for who asks, and gets the result of the first', async () => {
    await one.call(charge('t1', { id: 1, amount: 10 }));
    expect((await one.call(charge('t2', { amount: 10, id: 1 }))).value).toEqual({ charged: { id: 1, amount: 10 } });
    expect(one.told('activity other input')).toEqual([]);
    for (const node of [one, two]) {
      expect((await node.call(charge('t3', { id: 1, amount: 99 }))).value).toEqual({ charged: { id: 1, amount: 10 } });
    }
    expect(one.told('activity other input')).toEqual([
      expect.objectContaining({ source: 't1/1', task: 't3/1', level: 40 }),
    ]);
    expect(await one.metric('longwatch_activity_other_input_total')).toBe(1);
    expect(await others('pay "tell"')).toEqual({ others: 1, other_task: 't3/1' });
  });

  test('is refused where that is wished, at once and for good, also while the first one runs', async () => {
    const refuse = { otherInput: 'refuse' } as const;
    const started = gate();
    const done = gate();
    const first = one.call(charge('r1', 10, { ...refuse, run: () => (started.open(), done.opened) }));
    await started.opened;
    const refused = await caught(two.call(charge('r2', 99, refuse)));
    expect(refused).toMatchObject({ type: 'BadValue', nonRetryable: true });
    expect(String(refused)).toMatch(/used with another input, by r1\/1/);
    done.open();
    await first;
    expect(typeOf(await caught(two.call(charge('r3', 99, refuse))))).toBe('BadValue');
    expect((await two.call(charge('r4', 10, refuse))).value).toBeNull();
  });

  test('a retry of the same task is never compared', async () => {
    const call = { otherInput: 'refuse', key: 'retry', retry: { attempts: 2 } } as const;
    await caught(one.call(charge('s1', 1, { ...call, run: () => Promise.reject(new Error('x')) })));
    expect((await one.call(charge('s1', 2, call))).value).toEqual({ charged: 2 });
    expect((await one.call(charge('s1', 3, call))).value).toEqual({ charged: 2 });
    expect(await others('retry')).toMatchObject({ others: 0 });
  });

  test('is of what the function returns, whatever the order of fields', () => {
    const same = (a: unknown, b: unknown, of?: (input: unknown) => unknown) =>
      makeFingerprint('a', a, of)!.equals(makeFingerprint('a', b, of)!);
    expect(same({ a: 1, b: [{ c: 1, d: 2 }] }, { b: [{ d: 2, c: 1 }], a: 1 })).toBe(true);
    expect(same({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
    expect(same({ a: 1, note: 'x' }, { a: 1, note: 'y' }, (input) => (input as { a: number }).a)).toBe(true);
    expect(same(1, '1')).toBe(false);
    // Each of them would be `{}`, and nothing would ever be another input.
    const nothings: [unknown, RegExp][] = [
      [new Map([[1, 2]]), /Map/],
      [{ of: new Set([1]) }, /Set/],
      [Promise.resolve('of an async function'), /Promise/],
      [[/a/], /RegExp/],
      [{ deep: [new Error('x')] }, /Error/],
      [new URLSearchParams('a=1'), /URLSearchParams|what is there/],
      [new ArrayBuffer(4), /ArrayBuffer/],
    ];
    for (const [nothing, what] of nothings) {
      const made = () => makeFingerprint('a', 1, () => nothing);
      expect(made).toThrow(/^fingerprint of a failed: .*cannot be written as JSON$/);
      expect(made).toThrow(what);
    }
    // Values that say what they are, and one that has nothing in it.
    expect(same(1, 2, () => ({ at: new Date(0), none: {}, list: [] }))).toBe(true);
    const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown;
    expect(() => makeFingerprint('a', deep)).not.toThrow();
  });
});

describe('what is returned is what was stored', () => {
  class Money {
    constructor(readonly cents: number) {}
    toJSON() {
      return `${this.cents} cents`;
    }
  }
  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['dates', { at: new Date(0) }],
    ['numbers', [NaN, -0, Infinity]],
    ['own classes', { price: new Money(5), no: undefined }],
    ['odd text', '\ud800\0'],
  ])('%s: the same the first time and the second', async (name, value) => {
    const call = { task: `same-${name}/1`, run: () => value };
    const first = await one.call(call);
    const second = await two.call(call);
    expect(Object.is(first.value, undefined)).toBe(false);
    expect(first).toEqual(second);
  });

  test('also by reference', async () => {
    const value = { text: 'x'.repeat(300_000), price: new Money(5), no: undefined };
    const { value: reference } = await one.call({ task: 'by-ref/1', run: () => value });
    expect(reference).toMatchObject({ $longwatch: 'result', task: 'by-ref/1' });
    expect((await two.call({ task: 'by-ref/1', run: () => value })).value).toEqual(reference);
    let deep: unknown = reference;
    for (let level = 0; level < 60; level++) deep = { deep };
    let resolved: unknown = await resolveReferences(one.database, deep);
    for (let level = 0; level < 60; level++) resolved = (resolved as { deep: unknown }).deep;
    expect(resolved).toEqual({ text: value.text, price: '5 cents' });
    expect(JSON.stringify(deep)).toContain('$longwatch');
  });

  test('JSON that only looks like a reference gives nothing away', async () => {
    const { value } = await one.call({ task: 'secret/1', run: () => ({ secret: 's'.repeat(300_000) }) });
    const real = value as Reference;
    const forged: unknown[] = [
      { $longwatch: 'result', task: 'secret/1', bytes: real.bytes },
      { ...real, digest: 'f'.repeat(64) },
      { ...real, digest: undefined },
      { $longwatch: 'result', task: 'a\0b', digest: 'f'.repeat(64) },
      { $longwatch: 'result', task: { toString: 1 }, digest: 'f'.repeat(64) },
    ];
    for (const input of forged) expect(await resolveReferences(one.database, { input })).toEqual({ input });
    expect(await resolveReferences(one.database, [real])).toEqual([{ secret: 's'.repeat(300_000) }]);
  });
});

describe('what is kept', () => {
  const forget = `update longwatch.task set expires_at = now() - interval '1 s', held_until = held_until - interval '30 days' where task = $1`;

  test('a result that a workflow has a reference to stays until the workflow has ended', async () => {
    let running = true;
    const isRunning = () => Promise.resolve(running);
    const call: TestCall = { task: 'kept/1', key: 'kept large', run: () => 'x'.repeat(300_000) };
    const { value } = await one.call(call);
    await stack.sql(forget, ['kept/1']);
    await deleteDue(one.database, isRunning);
    expect(await resolveReferences(one.database, { value })).toEqual({ value: 'x'.repeat(300_000) });
    // For the key it is past its time all the same.
    expect((await one.call({ ...call, task: 'kept/2', run: () => 'anew' })).value).toBe('anew');
    await deleteDue(one.database, isRunning);
    running = false;
    await stack.sql(`update longwatch.task set held_until = now() - interval '1 s' where task = 'kept/1'`);
    await deleteDue(one.database, isRunning);
    expect(await caught(resolveReferences(one.database, { value }))).toMatchObject({ type: 'BadValue' });
  });

  test('where Temporal does not answer nothing is let go', async () => {
    await one.call({ task: 'asked/1', run: () => 'x'.repeat(300_000) });
    await stack.sql(forget, ['asked/1']);
    await caught(deleteDue(one.database, () => Promise.reject(new Error('away'))));
    expect(await row('asked/1')).toMatchObject({ state: 'completed' });
  });

  test('a compensation whose input is gone has a row that somebody can see', async () => {
    const prepare = () => Promise.reject(failure(ErrorType.BadValue, 'the result of x/1 is not kept any more'));
    const call: TestCall = {
      task: 'lost/undo',
      activity: 'x.compensate',
      kind: 'compensation',
      key: 'lost/x',
      keepFailure: true,
      details: { saga: 'order lost', target: 'lost/x', taskQueue: 'q', input: { some: 'input' } },
      prepare,
      run: () => 'ran',
    };
    expect(typeOf(await caught(one.call(call)))).toBe('ActivityFailed');
    const [kept] = await stack.sql(`select state, saga, input from longwatch.task where task = 'lost/undo'`);
    expect(kept).toEqual({ state: 'failed', saga: 'order lost', input: { some: 'input' } });
  });

  test('rows go together with their keys, also while somebody holds one of them', async () => {
    for (const index of [0, 1, 2]) await one.call({ task: `gone-${index}/1`, key: `gone ${index}`, run: () => index });
    await stack.sql(`update longwatch.task set expires_at = now() - interval '1 s' where task like 'gone-%'`);
    const held = await stack.pool.connect();
    await held.query('begin');
    await held.query(`select from longwatch.idempotency where key = 'gone 1' for update`);
    await deleteDue(one.database, () => Promise.resolve(false));
    expect(await stack.sql(`select key from longwatch.idempotency where key like 'gone %'`)).toEqual([
      { key: 'gone 1' },
    ]);
    expect(await row('gone-1/1')).toMatchObject({ state: 'completed' });
    await held.query('rollback');
    held.release();
    await deleteDue(one.database, () => Promise.resolve(false));
    expect(await stack.sql(`select from longwatch.task where task like 'gone-%'`)).toHaveLength(0);
  });

  test('a run that is used again is not deleted as an old one', async () => {
    await one.call({ task: 'old-run/1', run: () => 1 });
    await stack.sql(`update longwatch.task_run set seen_at = now() - interval '3 days' where run_id = 'old-run'`);
    await one.call({ task: 'old-run/2', run: () => 1 });
    const [seen] = await stack.sql<{ fresh: boolean }>(
      `select seen_at > now() - interval '1 minute' as fresh from longwatch.task_run where run_id = 'old-run'`,
    );
    expect(seen!.fresh).toBe(true);
  });

  test('what was made to wait and nobody came back for has an end', async () => {
    const started = gate();
    const done = gate();
    const holding = one.call({ task: 'w/1', resource: 'r', run: () => (started.open(), done.opened) });
    await started.opened;
    await caught(two.call({ task: 'w/2', resource: 'r', run: () => 1 }));
    const [waiting] = await stack.sql<{ ends: boolean }>(
      `select expires_at is not null as ends from longwatch.task where task = 'w/2'`,
    );
    expect(waiting!.ends).toBe(true);
    done.open();
    await holding;
  });
});
