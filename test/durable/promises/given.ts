/** Part of `promises.test.ts`: what a definition's functions say of a call, and a key that comes with another input. */
import { createHash } from 'node:crypto';
import { makeFingerprint, makeKey, makeResource } from '../../../activities/durable/keys';
import { eventually } from '../../support/stack';
import { gate, typeOf, type TestCall } from '../harness';
import { stack, one, two, caught } from './two-nodes';

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
    // Text that PostgreSQL cannot make shorter: an index would refuse it as it is.
    const text = Array.from({ length: 300 }, (_, i) => createHash('sha256').update(`${i}`).digest('base64')).join('');
    const long = (end: string): string => makeResource('a', () => `漢${text}${end}`)!;
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

  test('is counted once too where it asks again while the first one still runs', async () => {
    const started = gate();
    const done = gate();
    const key = { key: 'asked while it runs' };
    const first = one.call(charge('w1', 10, { ...key, run: () => (started.open(), done.opened) }));
    await started.opened;
    const waiting = two.call(charge('w2', 99, key));
    await eventually('it asks again', () => two.database.seen.filter((name) => name === 'task-take').length >= 2);
    done.open();
    await Promise.all([first, waiting]);
    expect(await others('asked while it runs')).toEqual({ others: 1, other_task: 'w2/1' });
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
