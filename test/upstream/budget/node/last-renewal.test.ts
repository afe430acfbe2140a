/** The last word of a node that ends, over a ledger in memory whose statements last as long as a test says. */
import { pino } from 'pino';
import type { Change, LedgerDesk, Outcome } from '../../../../activities/upstream/budget/node/ledger-desk';
import { Renewals } from '../../../../activities/upstream/budget/node/renewal';
import type { SharedBucket } from '../../../../activities/upstream/budget/node/shared';
import { ledger, limit, pass, reserved, sharedOf, spenderOf, time, wanted } from './memory';

beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
afterEach(() => jest.useRealTimers());

/** Statements that begin are done when the test says so; from then on at once. */
function slowDesk(): { desk: LedgerDesk; done: () => void } {
  let done = (): void => undefined;
  const gate = new Promise<void>((resolve) => (done = resolve));
  const change = async <T>(
    buckets: readonly SharedBucket[],
    how: Change<T>,
  ): Promise<Map<SharedBucket, Outcome<T>>> => {
    await gate;
    const at = { now: time.now, timeline: '1' };
    const rowOf = ({ name }: SharedBucket) => ledger.get(`${name.limit}/${name.key}`)!;
    return new Map(buckets.map((bucket) => [bucket, { result: how(rowOf(bucket), bucket, at).result }]));
  };
  return { desk: { change } as unknown as LedgerDesk, done };
}

test('a node that ends gives back what it has of every bucket, also where one was urgent just now', async () => {
  const rule = { tokens: 600, window: 60 };
  const spender = spenderOf(limit('one', rule), limit('other', rule));
  wanted(spender, 1);
  reserved(spender).end();
  pass(spender, 1);
  const has = (): number[] => ['one', 'other'].map((name) => sharedOf(spender, name).account.shown.has);
  for (const tokens of has()) expect(tokens).toBeGreaterThan(0);

  const { desk, done } = slowDesk();
  const renewals = new Renewals(desk, spender, pino({ level: 'silent' }));
  await renewals.start();
  const first = renewals.renewAll();
  renewals.urge(sharedOf(spender, 'one'));
  jest.advanceTimersByTime(100);
  const stopped = renewals.stop();
  done();
  await Promise.all([first, stopped]);
  expect(has()).toEqual([0, 0]);
});
