/** Part of `store.test.ts`: which pool holds an id, stamps and tombstones. */
import fc from 'fast-check';
import { purgeTombstones, writeMembers } from '../../../activities/tracker/store/members';
import { raiseVersions } from '../../../activities/tracker/store/pools';
import { poolOf } from '../../../workflows/tracker/plan';
import { eventually } from '../../support/stack';
import { hashId } from '../../../workflows/lib/hash';
import { stack, database, success, write, stored } from './database';

describe('which pool holds an id, in SQL', () => {
  test('pool_of and poolOf agree for 1 to 5,000 pools', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 20 }), async (random) => {
        const hashes = [...random, 0, 1, 0x7fffffff, 0x80000000, 0xffffffff];
        const rows = await stack.sql<{ pools: string }>(
          `select string_agg(longwatch.pool_of(h, n)::text, ',' order by n) as pools
           from unnest($1::bigint[]) with ordinality as x (h, o), generate_series(1, 5000) n group by o order by o`,
          [hashes],
        );
        hashes.forEach((hash, i) => {
          const twin = Array.from({ length: 5_000 }, (_, n) => poolOf(hash, n + 1)).join(',');
          expect(rows[i]!.pools).toBe(twin);
        });
      }),
      { numRuns: 5 },
    );
  });
});

describe('members: the last stamp wins', () => {
  const change = (id: string, stamp: number, removed: boolean) =>
    database.transaction(async (db) => {
      await raiseVersions(db, 't', [0]);
      return writeMembers(db, 't', [{ id, hash: hashId(id), pool: 0, stamp, removed }]);
    });
  const states = () =>
    stack.sql<{ id: string; stamp: number; removed: boolean }>(
      `select id, stamp::int, removed_at is not null as removed from longwatch.member order by id`,
    );

  test('changes of one id in any order, some of them twice, end as the greatest stamp says', async () => {
    const history = fc
      .uniqueArray(fc.record({ stamp: fc.integer({ min: 1, max: 1_000 }), removed: fc.boolean() }), {
        selector: (one) => one.stamp,
        minLength: 1,
        maxLength: 8,
      })
      .chain((changes) => fc.shuffledSubarray([...changes, ...changes], { minLength: changes.length }));
    await fc.assert(
      fc.asyncProperty(history, async (changes) => {
        await stack.sql(`delete from longwatch.member`);
        for (const { stamp, removed } of changes) await change('x', stamp, removed);
        const last = changes.reduce((a, b) => (b.stamp > a.stamp ? b : a));
        expect(await states()).toEqual([{ id: 'x', ...last }]);
      }),
      { numRuns: 40 },
    );
  });

  test('a removal deletes the values; the same one again changes nothing', async () => {
    await change('x', 1, false);
    const [{ key }] = (await stack.sql<{ key: number }>(`select key::int from longwatch.member`)) as [{ key: number }];
    await write([success(key)]);
    const gone = [expect.objectContaining({ id: 'x', pool: 0, stamp: 2, removed: true })];
    expect(await change('x', 2, true)).toEqual({ added: 0, removed: 1, counts: new Map([[0, -1]]), gone });
    expect(await stored()).toEqual([]);
    expect(await change('x', 2, true)).toEqual({ added: 0, removed: 0, counts: new Map(), gone: [] });
    expect(await change('x', 1, false)).toEqual({ added: 0, removed: 0, counts: new Map(), gone: [] });
    expect(await states()).toEqual([{ id: 'x', stamp: 2, removed: true }]);
  });

  test('tombstones go after their time, also one set by hand; members stay', async () => {
    await change('stays', 1, false);
    await change('fresh', 2, true);
    await change('old', 3, true);
    await stack.sql(`update longwatch.member set removed_at = now() - interval '2 hours' where id = 'old'`);
    await purgeTombstones(database);
    expect((await states()).map((row) => row.id)).toEqual(['fresh', 'old', 'stays']);
    await stack.sql(`update longwatch.tracker set changes = '{"tombstonesMs": 3600000}' where name = 't'`);
    await purgeTombstones(database);
    expect((await states()).map((row) => row.id)).toEqual(['fresh', 'stays']);
  });

  describe('a tombstone whose time is over, and an add of its id', () => {
    const expired = async (...ids: string[]) => {
      for (const id of ids) await change(id, 1, true);
      await stack.sql(`update longwatch.member set removed_at = now() - interval '2 days'`);
    };
    /** The add has written and not committed while `meanwhile` begins; then it commits. */
    const addsDuring = async (id: string, meanwhile: () => Promise<unknown>): Promise<void> => {
      let going: Promise<unknown> | undefined;
      await database.transaction(async (db) => {
        await raiseVersions(db, 't', [0]);
        await writeMembers(db, 't', [{ id, hash: hashId(id), pool: 0, stamp: 2, removed: false }]);
        let over = false;
        going = meanwhile().then(() => (over = true));
        // Until the purge has looked, or waits for this row: either way its choice is made.
        await eventually('the purge has chosen', async () => {
          const waits = await stack.sql(
            `select 1 from pg_stat_activity where query like '%delete from longwatch.member%' and wait_event_type = 'Lock'`,
          );
          return over || waits.length > 0;
        });
      });
      await going;
    };

    test('that are under way at once: the member stays, and whoever else is due goes', async () => {
      await expired('back', 'gone');
      await addsDuring('back', () => purgeTombstones(database));
      expect(await states()).toEqual([{ id: 'back', stamp: 2, removed: false }]);
    });
  });

  test('a bulk of removals is forgotten in one go, page by page, and no further than asked', async () => {
    await stack.sql(`insert into longwatch.member (tracker, id, hash, stamp, roster_version, removed_at)
                     select 't', 'm' || i, 0, 1, 1, now() - interval '2 days' from generate_series(1, 4500) i`);
    await purgeTombstones(database, 2);
    expect(await states()).toHaveLength(2_500);
    await purgeTombstones(database);
    expect(await states()).toEqual([]);
  });
});
