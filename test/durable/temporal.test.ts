/** Durable activities and sagas through Temporal: attempts, time-outs, stored results, compensation (D3-D7). */
import { WorkflowFailedError } from '@temporalio/client';
import { defineActivity } from '../../exports';
import { explain } from '../../cli/errors';
import { main } from '../../cli/main';
import { flagsTo } from '../support/cli';
import { eventually } from '../support/stack';
import { gateOf } from './gates';
import { config, startDurable, type DurableStack } from './stack';
import { stopwatch } from '../support/stopwatch';

let durable: DurableStack;

beforeAll(async () => {
  durable = await startDurable();
  await durable.stack.worker(config, { workflowBundle: durable.bundle });
});
afterAll(() => durable.close());

const booked = async (id: string): Promise<string[]> =>
  (await durable.stack.sql<{ what: string }>('select what from booking where id = $1 order by ctid', [id])).map(
    ({ what }) => what,
  );

test('an activity runs, its effect and its result are there once', async () => {
  expect(await durable.run('payOnce', [{ id: 'a' }])).toEqual({ receipt: 'receipt of a' });
  expect(await booked('a')).toEqual(['pay']);
});

test('another run with the same key gets the stored result', async () => {
  await durable.run('payOnce', [{ id: 'b' }]);
  expect(await durable.run('payOnce', [{ id: 'b' }])).toEqual({ receipt: 'receipt of b' });
  expect(await booked('b')).toEqual(['pay']);
});

test('a failing activity is tried again, after waits that Temporal makes, and ends with its error', async () => {
  await durable.run('payOnce', [{ id: 'c', fail: 2 }]);
  expect(await booked('c')).toEqual(['pay']);
  const failed = durable.run('payOnce', [{ id: 'd', fail: 'for good' }]);
  await expect(failed).rejects.toThrow(WorkflowFailedError);
  expect(await booked('d')).toEqual([]);
  const [task] = await durable.stack.sql<{ attempt: number; state: string }>(
    `select attempt, state from longwatch.task where error->>'message' = 'pay d fails'`,
  );
  expect(task).toEqual({ attempt: 3, state: 'failed' });
});

test('a saga takes back what was done, last in first out', async () => {
  const failed = durable.run('order', [{ pay: { id: 'e' }, ship: { id: 'e' }, mail: { id: 'e', fail: 'for good' } }]);
  await expect(failed).rejects.toThrow(WorkflowFailedError);
  expect(await booked('e')).toEqual(['pay', 'ship', 'unship', 'unpay receipt of e']);
});

test('a result too large for a payload stays in the database, and the next activity gets it', async () => {
  expect(await durable.run('reportOf', [{ id: 'f', bytes: 3_000_000 }])).toEqual({
    reference: true,
    length: 3_000_000,
  });
});

test('in parallel, all at once', async () => {
  const orders = [{ pay: { id: 'g' }, ship: { id: 'g' }, mail: { id: 'g', fail: 'for good' } }, { order: 'parallel' }];
  await expect(durable.run('order', orders)).rejects.toThrow(WorkflowFailedError);
  expect((await booked('g')).sort()).toEqual(['pay', 'ship', 'unpay receipt of g', 'unship']);
});

test('a compensation that fails is tried again; a second call does not repeat what is done', async () => {
  expect(await durable.run('orderByHand', [{ id: 'h', failUndo: 2 }])).toEqual([
    { completed: 1, failed: [] },
    { completed: 0, failed: [] },
  ]);
  expect(await booked('h')).toEqual(['pay', 'unpay receipt of h']);
});

test('a time-out ends an activity that hangs', async () => {
  const took = stopwatch();
  await expect(durable.run('hastyOnce', [{ id: 'slow', ms: 60_000 }])).rejects.toThrow(WorkflowFailedError);
  expect(took()).toBeLessThan(30_000);
  expect(await booked('slow')).toEqual([]);
});

/** The command line, in this process: what it printed on stdout. */
async function cli(...args: string[]): Promise<{ status: number; json: unknown }> {
  const written: string[] = [];
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    jest.spyOn(process[stream], 'write').mockImplementation((text) => {
      if (stream === 'stdout') written.push(String(text));
      return true;
    }),
  );
  try {
    const status = await main([...args, '--json', ...flagsTo(durable.stack.servers)]);
    return { status, json: written.length > 0 ? (JSON.parse(written.join('')) as unknown) : undefined };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

interface Broken {
  compensations: { task: string; activity: string; state: string; saga: string; attempts: number; error: string }[];
}
const broken = async (saga: string) =>
  ((await cli('saga', 'list')).json as Broken).compensations.filter((one) => one.saga === saga);

test('one that fails for good does not stop the others; an operator sees it and mends it', async () => {
  const order = (id: string) => [{ pay: { id }, ship: { id, failUndo: 3 }, mail: { id, fail: 'for good' } }];
  const failed: unknown = await durable.run('order', order('i'), 'order-i').catch((error: unknown) => error);
  expect(String((failed as WorkflowFailedError).cause)).toMatch(/mail i fails; and ship.compensate failed for good/);
  expect(await booked('i')).toEqual(['pay', 'ship', 'unpay receipt of i']);
  const [stuck] = await broken('order-i');
  expect(stuck).toMatchObject({
    activity: 'ship.compensate',
    state: 'failed',
    attempts: 3,
    error: 'undo ship i fails',
  });

  expect((await cli('saga', 'retry', stuck!.task)).status).toBe(0);
  await eventually('the compensation', async () => (await booked('i')).includes('unship'));
  await eventually('that it is mended', async () => (await broken('order-i')).length === 0);

  await durable.run('order', order('j'), 'order-j').catch(() => undefined);
  const [other] = await broken('order-j');
  expect((await cli('saga', 'resolve', other!.task, '--note', 'by hand')).status).toBe(0);
  expect(await broken('order-j')).toEqual([]);
  expect((await cli('saga', 'resolve', 'no/such')).status).toBe(2);
});

test('leases and keys can be seen, and a key forgotten', async () => {
  const running = durable.run('payOnce', [{ id: 'k', waits: true }], 'lease-k');
  const lease = await eventually('a lease', async () => {
    const { leases } = (await cli('leases')).json as {
      leases: { workflow: string; activity: string; leftMs: number }[];
    };
    return leases.find(({ workflow }) => workflow === 'lease-k');
  });
  expect(lease.activity).toBe('pay');
  expect(lease.leftMs).toBeLessThanOrEqual(30_000);
  expect((await cli('keys', 'show', 'pay', 'pay k')).json).toMatchObject({ state: 'reserved', workflow: 'lease-k' });
  expect((await cli('keys', 'delete', 'pay', 'pay k')).status).toBe(2);
  gateOf('k').open();
  await running;
  expect((await cli('keys', 'show', 'pay', 'pay k')).json).toMatchObject({
    state: 'done',
    result: { receipt: 'receipt of k' },
    attempts: 1,
  });
  expect((await cli('keys', 'delete', 'pay', 'pay k')).status).toBe(0);
  expect((await cli('keys', 'show', 'pay', 'pay k')).status).toBe(2);
  await durable.run('payOnce', [{ id: 'k' }]);
  expect(await booked('k')).toEqual(['pay', 'pay']);
});

test('an error whose cause is itself fails its activity, and the worker goes on', async () => {
  const failed: unknown = await durable.run('circularOnce', []).catch((error: unknown) => error);
  expect(String((failed as WorkflowFailedError).cause?.cause)).toMatch(/a$/);
  const [task] = await durable.stack.sql<{ attempt: number }>(
    `select attempt from longwatch.task where activity = 'circular'`,
  );
  expect(task).toEqual({ attempt: 2 });
  expect(await durable.run('payOnce', [{ id: 'after circular' }])).toEqual({ receipt: 'receipt of after circular' });
});

test('a saga whose body and compensation fail with such errors ends, with what it has to take back', async () => {
  const failed: unknown = await durable.run('circularSaga', [{ id: 'round' }]).catch((error: unknown) => error);
  expect(String((failed as WorkflowFailedError).cause)).toMatch(/inner; and by hand failed for good/);
  expect(await booked('round')).toEqual(['pay', 'unpay receipt of round']);
});

test.each(['x\0y', 'x\ud800y', '\u2028\\u0000'])(
  'a step with any text is taken back with that very text: %j',
  async (text) => {
    const id = `echo ${JSON.stringify(text)}`;
    await expect(durable.run('echoAndFail', [id, { [text]: [text] }])).rejects.toThrow(WorkflowFailedError);
    expect(await booked(id)).toEqual(['unecho']);
  },
);

test('an order that was taken back can be placed again, and is paid again', async () => {
  const order = (fail?: 'for good') => [{ pay: { id: 'again' }, ship: { id: 'again' }, mail: { id: 'again', fail } }];
  await durable.run('order', order('for good')).catch(() => undefined);
  await durable.run('order', order());
  expect(await booked('again')).toEqual(['pay', 'ship', 'unship', 'unpay receipt of again', 'pay', 'ship', 'mail']);
});

test('a workflow sees the same the first time and from the store', async () => {
  expect(await durable.run('typeOfNothing', ['k'])).toBe('null');
  expect(await durable.run('typeOfNothing', ['k'])).toBe('null');
});

test('a key that was used to ask for something else shows it', async () => {
  expect(await durable.run('chargeOnce', [{ id: 'pay-1', amount: 10 }])).toEqual({ charged: 10 });
  expect(await durable.run('chargeOnce', [{ id: 'pay-1', amount: 99 }])).toEqual({ charged: 10 });
  expect((await cli('keys', 'show', 'charge', 'pay-1')).json).toMatchObject({
    otherInputs: 1,
    result: { charged: 10 },
  });
});

test('an activity that is called as one of Longwatch’s own is refused, and the worker takes no task', async () => {
  const own = defineActivity({ name: 'shift', run: () => 'mine' });
  const refused: unknown = await durable.stack
    .worker({ activities: [own] }, { workflowBundle: durable.bundle })
    .catch((error: unknown) => error);
  expect(explain(refused)).toEqual({
    status: 2,
    unexpected: false,
    message: 'activities.shift: Longwatch has an activity of that name; use another one',
  });
});

test('an activity may be called as something that every object has', async () => {
  const named = defineActivity({ name: 'valueOf', run: () => 'mine' });
  const worker = await durable.stack.worker({ activities: [named] }, { workflowBundle: durable.bundle });
  await worker.shutdown();
  await worker.ended;
});
