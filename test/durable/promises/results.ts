/** Part of `promises.test.ts`: results are what was stored, and how long they are kept. */
import { resolveReferences } from '../../../activities/durable/references';
import { deleteDue } from '../../../activities/durable/retention';
import { failure } from '../../../activities/lib/failures';
import type { Reference } from '../../../workflows/durable/contract';
import { ErrorType } from '../../../workflows/lib/errors';
import { gate, typeOf, type TestCall } from '../harness';
import { stack, one, two, caught, row } from './two-nodes';

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
