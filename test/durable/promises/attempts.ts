/** Part of `promises.test.ts`: an outage costs no attempt that did nothing, and one attempt is one run. */
import { setTimeout as delay } from 'node:timers/promises';
import { decide } from '../../../activities/durable/retry';
import { HoldError } from '../../../config/define/errors';
import { eventually } from '../../support/stack';
import { gate, typeOf, type TestCall } from '../harness';
import { one, two, caught, gone, coded, row, fails } from './two-nodes';

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
      ttlMs: 3_000,
      renewMs: 500,
      run: ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            stoppedAfter = performance.now() - began;
            reject(signal.reason as Error);
          }),
        ),
    });
    await eventually('that it is stopped', () => stoppedAfter > 0);
    // The renewal still hangs.
    expect(stoppedAfter).toBeGreaterThanOrEqual(2_500);
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
  const outage = (run: TestCall['run'], task: string): TestCall => ({ task, ttlMs: 3_000, renewMs: 500, run });

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

describe('a hold that is not a time', () => {
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
