/** Durable activities and sagas through Temporal: attempts, time-outs, stored results, compensation (D3-D7). */
import { WorkflowFailedError } from '@temporalio/client';
import { config, startDurable, type DurableStack } from './stack';

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

test('D4: another run with the same key gets the stored result', async () => {
  await durable.run('payOnce', [{ id: 'b' }]);
  expect(await durable.run('payOnce', [{ id: 'b' }])).toEqual({ receipt: 'receipt of b' });
  expect(await booked('b')).toEqual(['pay']);
});

test('D5: a failing activity is tried again, after waits that Temporal makes, and ends with its error', async () => {
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

test('D6: a saga takes back what was done, last in first out', async () => {
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
