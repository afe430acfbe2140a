/**
 * Results that wait for the store: they merge in any order of runs, flushes that fail, and flushes whose answer is
 * lost. They are held against a store that is a map. `flush.test.ts` has the same with the real writer and the real
 * SQL.
 */
import fc from 'fast-check';
import { PendingResults, type Room, type Taken } from '../../activities/tracker/shift/pending';
import type { Failure, Success } from '../../activities/tracker/shift/results';
import { histories } from '../support/simulate';

const everything = (): Room => ({ rows: Infinity, bytes: Infinity });
const stays = () => true;
const success = (json: string | null, over: Partial<Success> = {}): Success => ({
  key: 1,
  json,
  etag: null,
  fetchedAt: 1,
  expiresAt: null,
  ...over,
});
const failed = (over: Partial<Failure> = {}): Failure => ({
  key: 1,
  failedAt: 1,
  error: 'Error: x',
  heldUntil: null,
  inARow: 1,
  ...over,
});

test('TR-C1: unchanged keeps the value that waits, with the newest ETag and expiry', () => {
  const pending = new PendingResults();
  pending.succeed(0, success('2', { etag: 'e2', fetchedAt: 1 }));
  pending.succeed(0, success(null, { etag: 'e3', fetchedAt: 2, expiresAt: 9 }));
  expect(pending.take(everything()).successes.get(0)).toEqual(success('2', { etag: 'e3', fetchedAt: 2, expiresAt: 9 }));
});

test('TR-C1: what a flush puts back gives its value to the unchanged that came meanwhile', () => {
  const pending = new PendingResults();
  pending.succeed(0, success('2', { etag: 'e2' }));
  const taken = pending.take(everything());
  pending.succeed(0, success(null, { etag: 'e3', fetchedAt: 2 }));
  pending.putBack(taken, stays);
  expect(pending.take(everything()).successes.get(0)).toEqual(success('2', { etag: 'e3', fetchedAt: 2 }));
});

test('a failure that is put back is dropped by a success that came meanwhile, not by its own', () => {
  const pending = new PendingResults();
  pending.succeed(0, success('1'));
  pending.fail(0, failed({ failedAt: 2 }));
  pending.putBack(pending.take(everything()), stays);
  let taken = pending.take(everything());
  expect([taken.successes.size, taken.failures.size]).toEqual([1, 1]);
  pending.succeed(0, success('2', { fetchedAt: 3 }));
  pending.putBack(taken, stays);
  taken = pending.take(everything());
  expect([taken.successes.get(0)?.json, taken.failures.size]).toEqual(['2', 0]);
});

test('who has left is not put back', () => {
  const pending = new PendingResults();
  pending.succeed(0, success('1'));
  pending.fail(1, failed());
  pending.putBack(pending.take(everything()), () => false);
  expect(pending.size).toBe(0);
});

test('OP-B1: a flush takes what it has room for in bytes, one result at least, and a failure not before its success', () => {
  const pending = new PendingResults();
  const large = JSON.stringify('ж'.repeat(1_000));
  for (let slot = 0; slot < 10; slot++) pending.succeed(slot, success(large));
  pending.fail(9, failed());
  const flushes: number[][] = [];
  while (pending.size > 0) {
    const { successes, failures } = pending.take({ rows: 100, bytes: 6_000 });
    flushes.push([successes.size, failures.size]);
  }
  expect(flushes).toEqual([
    [3, 0],
    [3, 0],
    [3, 0],
    [1, 1],
  ]);
  pending.succeed(0, success(large));
  expect(pending.take({ rows: 100, bytes: 1 }).successes.size).toBe(1);
});

/** A store of one operation that writes as `store/values.ts` does. */
class Store {
  values = new Map<number, { json: string | null; etag: string | null; fetchedAt: number; failures: number }>();
  /** Every change of each member's value, in order: what a buffer is fed. */
  fed: [number, string][] = [];

  write({ successes, failures }: Taken): void {
    for (const [slot, { json, etag, fetchedAt }] of successes) {
      const old = this.values.get(slot);
      if (old?.fetchedAt === fetchedAt) continue;
      if (json !== null && json !== old?.json) this.fed.push([slot, json]);
      this.values.set(slot, { json: json ?? old?.json ?? null, etag, fetchedAt, failures: 0 });
    }
    for (const [slot, { inARow }] of failures) {
      const old = this.values.get(slot) ?? { json: null, etag: null, fetchedAt: 0 };
      this.values.set(slot, { ...old, failures: inARow });
    }
  }
}

type Step =
  | { kind: 'run'; slot: number; how: 'value' | 'same' | 'unchanged' | 'failure' }
  | { kind: 'take'; rows: number }
  | { kind: 'end'; how: 'written' | 'refused' | 'lost' };

test('whatever runs, fails and is written twice: what is stored in the end is the last value returned, and each change is fed once', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('run' as const),
        slot: fc.nat(2),
        how: fc.constantFrom('value' as const, 'same' as const, 'unchanged' as const, 'failure' as const),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('take' as const), rows: fc.integer({ min: 1, max: 8 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        how: fc.constantFrom('written' as const, 'refused' as const, 'lost' as const),
      }),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const pending = new PendingResults();
      const store = new Store();
      const last = new Map<number, { json: string; etag: string; failures: number }>();
      let taken: Taken | undefined;
      let time = 0;
      const end = (how: 'written' | 'refused' | 'lost') => {
        if (!taken) return;
        // Lost: the commit happened, and its answer did not come.
        if (how !== 'refused') store.write(taken);
        if (how !== 'written') pending.putBack(taken, stays);
        taken = undefined;
      };
      const run = (slot: number, how: string) => {
        time++;
        const old = last.get(slot);
        if (how === 'failure') {
          const inARow = (old?.failures ?? 0) + 1;
          if (old) old.failures = inARow;
          if (old) pending.fail(slot, failed({ failedAt: time, inARow }));
        } else {
          const json = how === 'value' || !old ? `${time}` : old.json;
          last.set(slot, { json, etag: `e${time}`, failures: 0 });
          const returned = how === 'unchanged' && old ? null : json;
          pending.succeed(slot, success(returned, { etag: `e${time}`, fetchedAt: time }));
        }
      };
      for (const one of steps) {
        if (one.kind === 'run') run(one.slot, one.how);
        else if (one.kind === 'take') taken ??= pending.take({ rows: one.rows, bytes: Infinity });
        else end(one.how);
      }
      end('lost');
      while (pending.size > 0) store.write(pending.take({ rows: 3, bytes: Infinity }));
      for (const [slot, { json, etag, failures }] of last) {
        expect(store.values.get(slot)).toMatchObject({ json, etag, failures });
        const fed = store.fed.filter(([of]) => of === slot).map(([, value]) => value);
        expect(fed.at(-1)).toBe(json);
        expect(new Set(fed).size).toBe(fed.length);
      }
    }),
    histories(2_000),
  );
});
