/** Part of `flush.test.ts`: rows, pools and keys that the store refuses, and whom they harm. */
import type { RunResult } from '../../../exports';
import { TestClock } from '../shift-kit';
import { stack, database, trackerOf, writerOf, poolOf, valueOf, valuesOf, failing, feedOf, entriesFed } from './pools';

/** Refuses what `refuses` says (SQL over `new` of `longwatch.value`), with this SQLSTATE. */
async function refusing(refuses: string, state: string): Promise<void> {
  await failing(refuses, `raise exception 'not this one' using errcode = '${state}'`);
}

const keyOf = async (id: string) =>
  (await stack.sql<{ key: number }>(`select key::int from longwatch.member where id = $1`, [id]))[0]!.key;

describe('a result that the store will not have harms nobody else (TR-C3)', () => {
  test('one row is its member’s failure: beside the value, reported, counted; the others are written', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id, etag: `of ${id}` }));
    const kits = [await poolOf(0, ['a', 'bad', 'c'], look, clock), await poolOf(1, ['d', 'e'], look, clock)];
    await refusing(`new.member = ${await keyOf('bad')} and new.value is not null`, 'P0001');
    await kits[0]!.pass(20);
    await kits[1]!.pass(20);
    const { writer, errors } = writerOf(kits);
    await writer.flush();
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'c', 'd', 'e']);
    expect(await valueOf('bad')).toMatchObject({
      value: null,
      failures: 1,
      error: 'error: not this one',
    });
    expect(errors).toMatchObject([{ id: 'bad' }]);
    const loop = kits[0]!.shift.loops.get('look')!;
    expect(loop.counts.failed).toBe(1);
    expect(kits.map(({ shift }) => shift.isOver || shift.hasResults)).toEqual([false, false]);
    // Its ETag stands for a value that nobody has.
    const bad = kits[0]!.shift.members.slotOf('bad')!;
    expect(loop.known.etag(bad)).toBeUndefined();
  });

  test('a member whose row is gone is forgotten, and the others are written', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kit = await poolOf(0, ['a', 'gone', 'c'], look, clock);
    await stack.sql(`delete from longwatch.member where id = 'gone'`);
    await kit.pass(20);
    const { writer } = writerOf([kit]);
    await writer.flush();
    kit.shift.hinted = true;
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'c']);
    expect(kit.shift.members.slotOf('gone')).toBeUndefined();
  });

  test('unchanged after a value that could not be stored is not a value: the next run asks for all of it', async () => {
    const clock = new TestClock();
    const etags: (string | undefined)[] = [];
    const look = trackerOf(({ etag }) => {
      etags.push(etag);
      return etag === 'e2' ? { unchanged: true } : { value: 2, etag: 'e2' };
    });
    const kit = await poolOf(0, ['a'], look, clock);
    await refusing(`new.value = '2'`, '23514');
    await kit.pass(60);
    await writerOf([kit]).writer.flush();
    await stack.sql('drop trigger refuse on longwatch.value');
    await kit.pass(120);
    await writerOf([kit]).writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: 2, etag: 'e2', failures: 0 });
    expect(etags).toContain('e2');
  });

  test('nor is it for a run that was under way when the value was refused', async () => {
    const clock = new TestClock();
    const etags: (string | undefined)[] = [];
    let answer: ((result: RunResult) => void) | undefined;
    const look = trackerOf(({ etag }) => {
      etags.push(etag);
      return etag === undefined ? { value: 2, etag: 'e2' } : new Promise((resolve) => (answer = resolve));
    });
    const kit = await poolOf(0, ['a'], look, clock);
    await refusing(`new.value = '2'`, '23514');
    await kit.pass(20);
    const { writer } = writerOf([kit]);
    // The second run has been sent with the ETag of the value that is refused now.
    await kit.pass(60);
    expect(etags).toEqual([undefined, 'e2']);
    await writer.flush();
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: null, failures: 1 });
    // Before the next run is due, which would bring the value again.
    answer!({ unchanged: true, etag: 'e2' });
    await kit.pass(5);
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: null, etag: null, failures: 2 });
    await kit.pass(60);
    expect(etags).toEqual([undefined, 'e2', undefined]);
  });

  test('a pool that fails as a whole crashes, so that it can be quarantined; the others go on', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kits = [await poolOf(0, ['a', 'b'], look, clock), await poolOf(1, ['c'], look, clock)];
    // Not raised, which would be the rows' own: the table of a trigger is gone.
    await failing(`new.member in (${await keyOf('a')}, ${await keyOf('b')})`, 'perform 1 from longwatch.nowhere');
    for (const kit of kits) await kit.pass(20);
    const { writer } = writerOf(kits);
    await writer.flush();
    await writer.flush();
    expect(await valuesOf()).toEqual(['c']);
    expect(kits.map(({ shift }) => shift.isOver)).toEqual([true, false]);
    const ending = await kits[0]!.shift.ended;
    expect(ending).toBeInstanceOf(Error);
    expect(kits[1]!.shift.refusedFor(performance.now())).toBe(0);
  });

  test('where nothing at all can be written no pool is to blame: results are kept, as in an outage', async () => {
    const clock = new TestClock();
    const look = trackerOf(({ id }) => ({ value: id }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    for (const kit of kits) await kit.pass(20);
    const { writer } = writerOf(kits);
    await stack.sql(`alter table longwatch.value rename to hidden`);
    await writer.flush();
    // Once is not for long: the process may have stood still meanwhile.
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
    await writer.flush();
    expect(kits.map(({ shift }) => [shift.isOver, shift.hasResults])).toEqual([
      [false, true],
      [false, true],
    ]);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBeGreaterThan(0);
    await stack.sql(`alter table longwatch.hidden rename to value`);
    await writer.flush();
    expect(await valuesOf()).toEqual(['a', 'b']);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
  });
});

describe('a buffer’s key is the user’s code (BU-H8)', () => {
  const KEYS: [string, (entry: { value: { name: string } }) => string][] = [
    ['throws', (entry) => entry.value.name.toLowerCase()],
    [
      'throws nothing',
      (entry) => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what users throw is what is tested here
        if (entry.value === null) throw undefined;
        return entry.value.name;
      },
    ],
  ];
  test.each(KEYS)(
    'one that %s for a value is that entry’s failure; all values and entries are stored',
    async (_what, key) => {
      const clock = new TestClock();
      const look = trackerOf(({ id }) => ({ value: id === 'bad' ? null : { name: id } }));
      const kit = await poolOf(0, ['a', 'bad', 'c'], look, clock);
      const failed: string[] = [];
      const { writer, outcomes } = writerOf([kit], database, {
        feed: feedOf(look, kit.host.clock, key as never, (_error, _buffer, _loop, id) => failed.push(id)),
      });
      await kit.pass(20);
      await writer.flush();
      expect(outcomes).toMatchObject([{ rows: 3 }]);
      expect(await valuesOf()).toEqual(['a', 'bad', 'c']);
      expect(failed).toEqual(['bad']);
      expect((await entriesFed()).map(({ id }) => id).sort()).toEqual(['a', 'bad', 'c']);
    },
  );
});

test.each([
  ['a NUL', '\0'],
  ['half of a pair', '\ud800'],
  ['more than an index takes', 'k'.repeat(4_000)],
])('a key that has %s is a key: no value and no entry fails for it', async (_what, text) => {
  const clock = new TestClock();
  const look = trackerOf(({ id }) => ({ value: { name: id } }));
  const kit = await poolOf(0, ['a', 'odd', 'c'], look, clock);
  const { writer, outcomes } = writerOf([kit], database, {
    feed: feedOf(look, kit.host.clock, ((entry: { id: string }) => (entry.id === 'odd' ? text : entry.id)) as never),
  });
  await kit.pass(20);
  await writer.flush();
  expect(outcomes).toMatchObject([{ rows: 3 }]);
  expect((await entriesFed()).map(({ id }) => id).sort()).toEqual(['a', 'c', 'odd']);
});
