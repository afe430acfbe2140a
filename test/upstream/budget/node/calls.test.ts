/** Requests outside of any run (a handler of `receive`, an `apply`): each takes its tokens by itself. */
import { setImmediate as turn } from 'node:timers/promises';
import { HoldError } from '../../../../config/define/errors';
import { RunSpending, WorkerSpending } from '../../../../activities/upstream/spend/run';
import type { NodeSpender } from '../../../../activities/upstream/budget/node/spender';
import type { Permit, Spending } from '../../../../activities/upstream/spending';
import { answer } from './kit';
import { limit, pass, REQUEST, sent, sharedOf, spenderOf, time, USE, waiterOf, wanted } from './memory';

const WANTED = { ...REQUEST, id: undefined };

/** Members that always want more than there is: somebody stands in the line at any time. */
function crowd(spender: NodeSpender, members: number): void {
  const wait = (): void => {
    const run = spender.reserve('up', USE, 1);
    if (run.isShort) {
      run.join(waiterOf({ wake: wait }));
      return;
    }
    sent(run.draw(REQUEST)).report(answer());
    run.end();
    setImmediate(wait);
  };
  for (let i = 0; i < members; i++) wait();
}

test('one takes what it costs, and gives it back where it is not sent', async () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  wanted(spender, 1, 10, 2);
  const worker = new WorkerSpending(spender);
  const { account } = sharedOf(spender, 'all');
  (await worker.permit('up', WANTED)).report(answer());
  expect(account.shown).toMatchObject({ settled: 1, held: 0 });
  time.now++;
  (await worker.permit('up', WANTED)).release();
  expect(account.shown).toMatchObject({ settled: 1, held: 0 });
});

const SENDERS: Record<string, (spender: NodeSpender) => Spending> = {
  'a handler’s': (spender) => new WorkerSpending(spender),
  'a run’s for another member': (spender) => new RunSpending(spender, { ...USE, by: 't/other', id: 'mine' }),
};

test.each(Object.entries(SENDERS))('members that never rest do not keep %s request out', async (_, of) => {
  const spender = spenderOf(limit('all', { tokens: 120, window: 60 }));
  crowd(spender, 20);
  pass(spender, 2);
  const spending = of(spender);
  let served = 0;
  for (let i = 0; i < 5; i++) {
    let permit: Permit | undefined;
    const asked = Promise.resolve(spending.permit('up', { ...REQUEST, id: 'b' })).then((given) => (permit = given));
    for (let second = 0; second < 30 && permit === undefined; second++) {
      pass(spender, 1);
      for (let n = 0; n < 10; n++) await turn();
    }
    if (permit) served++;
    permit?.report(answer());
    await asked;
  }
  expect(served).toBe(5);
  spender.close();
});

test('with nothing left for two seconds it throws a hold, and stands in the line no more', async () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  const worker = new WorkerSpending(spender);
  await expect(worker.permit('up', WANTED)).rejects.toThrow(HoldError);
  expect(sharedOf(spender, 'all').waiting).toBe(0);
});

test.each(Object.entries(SENDERS))(
  '%s request whose signal fires stands in the line no more, at once',
  async (_, of) => {
    const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
    const given = new AbortController();
    const asked = Promise.resolve(of(spender).permit('up', { ...REQUEST, id: 'b', signal: given.signal }));
    expect(sharedOf(spender, 'all').waiting).toBe(1);
    given.abort(new Error('the shift is over'));
    await expect(asked).rejects.toThrow('the shift is over');
    expect(sharedOf(spender, 'all').waiting).toBe(0);
  },
);

test('of a bucket that is closed for longer it throws at once, and says until when', () => {
  const spender = spenderOf(limit('all', { tokens: 600, window: 60 }));
  wanted(spender, 1, 10, 2);
  sharedOf(spender, 'all').hearClosed(30, 0, false);
  let thrown: unknown;
  try {
    void new WorkerSpending(spender).permit('up', WANTED);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(HoldError);
  expect(thrown).toMatchObject({ afterMs: 30_000 });
});

test('what a run asks for others does not teach how many requests of its own a run makes', async () => {
  const spender = spenderOf(limit('all', { tokens: 60_000, window: 60 }));
  wanted(spender, 1);
  sharedOf(spender, 'all').want(waiterOf({ requests: 100 }));
  pass(spender, 2);
  const held = (): number => sharedOf(spender, 'all').account.shown.held;
  for (let runs = 0; runs < 30; runs++) {
    const run = new RunSpending(spender, USE);
    expect(run.reserve('up')).toBeUndefined();
    for (const id of ['a', 'a', 'a', 'b', 'c', 'd', 'e']) {
      (await run.permit('up', { ...REQUEST, id })).report(answer());
      pass(spender, 1);
    }
    run.end();
  }
  expect(held()).toBe(0);
  const next = new RunSpending(spender, USE);
  expect(next.reserve('up')).toBeUndefined();
  expect(held()).toBeCloseTo(3, 6);
});
