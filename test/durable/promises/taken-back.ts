/** Part of `promises.test.ts`: effects that are taken back, and workflows that are over. */
import { compensationOf } from '../../../workflows/durable/contract';
import { eventually } from '../../support/stack';
import { gate, TestNode, typeOf, type TestCall } from '../harness';
import { stack, one, two, caught, row } from './two-nodes';

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
