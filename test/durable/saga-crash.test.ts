/** D6: a compensation goes on after a crash in the middle of it. */
import path from 'node:path';
import { eventually } from '../support/stack';
import { startDurable } from './stack';

test('the worker dies while a saga is taken back: another one goes on, and nothing is taken back twice', async () => {
  const durable = await startDurable();
  const { stack } = durable;
  try {
    const file = path.join(__dirname, 'longwatch.config.ts');
    const env = { LONGWATCH_TEST_BUNDLE: durable.bundle };
    const first = stack.workerProcess(file, { ...env, LONGWATCH_NODE: 'first' });
    await first.ready;
    // For longer than a machine that is busy needs until its worker is killed.
    const bookings = { pay: { id: 'a' }, ship: { id: 'a', undoMs: 15_000 }, mail: { id: 'a', fail: 'for good' } };
    const ended = durable.run('order', [bookings]).catch((error: unknown) => error);
    await eventually('a compensation that runs', async () => {
      const leased = await stack.sql(
        `select from longwatch.task where activity = 'ship.compensate' and state = 'leased'`,
      );
      return leased.length > 0;
    });
    await first.kill('SIGKILL');
    const second = stack.workerProcess(file, { ...env, LONGWATCH_NODE: 'second' });
    await second.ready;
    expect(String((await ended) as Error)).toMatch(/failed/);
    const booked = await stack.sql<{ what: string }>('select what from booking order by ctid');
    expect(booked.map(({ what }) => what)).toEqual(['pay', 'ship', 'unship', 'unpay receipt of a']);
    const [undo] = await stack.sql(
      `select state, attempt, kind from longwatch.task where activity = 'ship.compensate'`,
    );
    expect(undo).toEqual({ state: 'completed', attempt: 2, kind: 'compensation' });
  } finally {
    await durable.close();
  }
});
