/** Part of `roster.test.ts`: counts that every change keeps, and that are mended where they are wrong. */
import { recountOne } from '../../../activities/tracker/roster/recount';
import { wrongCounts } from '../../support/roster';
import { stack, database, change, names, apply, grow } from './database';

describe('counts', () => {
  test('follow adds, removals, what comes twice and what comes late, for whichever pool it is', async () => {
    await grow(40);
    const two = await apply(change(['a', 'b', 'a']), 2);
    expect(two).toMatchObject({ added: 2, removed: 0 });
    await apply([{ id: 'a', change: 'remove', stamp: 1_000_000 }]);
    await apply([{ id: 'a', change: 'add', stamp: 999_999 }]);
    await apply(change(['nobody'], 'remove'));
    expect(await wrongCounts(stack)).toEqual([]);
    const [sum] = await stack.sql(`select sum(members)::int as members from longwatch.pool`);
    expect(sum).toEqual({ members: 1 });
  });

  test('of changes that meet, on the same ids and others, are right', async () => {
    await grow(30);
    const rounds = Array.from({ length: 24 }, (_, i) =>
      apply(change(names(i % 7, (i % 7) + 20), i % 3 === 0 ? 'remove' : 'add'), i % 3),
    );
    const splits = [grow(35), grow(60)];
    await Promise.all([...rounds, ...splits]);
    expect(await wrongCounts(stack)).toEqual([]);
  });

  test('one that is wrong is found and mended, one pool at a time, and the next look finds nothing', async () => {
    await grow(30);
    await apply(change(names(0, 50)));
    await stack.sql(`update longwatch.pool set members = members + 7 where pool = 1`);
    const mended = [];
    for (let i = 0; i < 3; i++) mended.push(await recountOne(database, 't'));
    expect(mended.filter(Boolean)).toMatchObject([{ pool: 1, wrong: true }]);
    expect(await wrongCounts(stack)).toEqual([]);
    expect(await recountOne(database, 't')).toBeUndefined();
  });

  test('a change in the middle of counting is not counted over', async () => {
    await apply(change(names(0, 10)));
    await stack.sql(`update longwatch.pool set members = 3`);
    // As a recount that has read its moment, and then waits.
    const seen = await stack.sql<{ version: number }>(`select roster_version::float8 as version from longwatch.pool`);
    await apply(change(['late']));
    const stale = await stack.sql(
      `update longwatch.pool set members = 10 where roster_version = $1 returning members`,
      [seen[0]!.version],
    );
    expect(stale).toEqual([]);
    expect(await recountOne(database, 't')).toMatchObject({ pool: 0, was: 4, members: 11 });
  });
});
