/**
 * Counts that the history could not read for a while, or reads for the first time: they are in it once, with a time
 * that makes the rate right, and nothing of before is counted as of now.
 */
import { writeBuckets } from '../support/buckets';
import { count, database, fetchedIn, passes, sql, sum, write } from './series-kit';

/** Operations cannot be read meanwhile. */
const withoutOperations = async (work: () => Promise<unknown>) => {
  await sql('alter table longwatch.node_stats rename column skipped to hidden');
  try {
    await work();
  } finally {
    await sql('alter table longwatch.node_stats rename column hidden to skipped');
  }
};

describe('a kind that could not be read for some minutes', () => {
  const total = async () =>
    (
      await sql(
        `select coalesce(sum(counts[1]), 0) as fetched, coalesce(round(sum(seconds)), 0)::int as seconds
         from longwatch.series where step = 'minute' and kind = 'operation'`,
      )
    )[0];

  test('has the time of its counts with them, so that its rate is right', async () => {
    await count('a', 100);
    await write();
    await count('a', 400);
    await withoutOperations(async () => {
      for (let minute = 0; minute < 4; minute++) {
        await passes('1 minute');
        await write();
      }
    });
    expect(await total()).toEqual({ fetched: 0, seconds: 0 });
    await passes('1 minute');
    await write();
    expect(await total()).toEqual({ fetched: 300, seconds: 300 });
    await passes('1 minute');
    await write();
    expect(await total()).toEqual({ fetched: 300, seconds: 360 });
  });

  test('and not from the beginning: what was counted before the history began is in no minute', async () => {
    await count('a', 1_000_000);
    await withoutOperations(async () => {
      await write();
      await passes('1 minute');
      await write();
    });
    await passes('1 minute');
    await write();
    expect(await total()).toEqual({ fetched: 0, seconds: 0 });
    await count('a', 1_000_007);
    await passes('1 minute');
    await write();
    expect(await total()).toEqual({ fetched: 7, seconds: 60 });
  });

  test('and for days: nothing is counted a second time', async () => {
    await count('a', 1_000_000);
    await write();
    await withoutOperations(async () => {
      await passes('1 day');
      await write();
      await passes('1 day');
      await write();
    });
    await count('a', 1_000_007);
    await passes('1 minute');
    await write();
    expect(sum(await fetchedIn('minute'))).toBe(7);
  });

  test('one that began anew meanwhile has only the minute', async () => {
    await count('a', 100);
    await write();
    await withoutOperations(async () => {
      await passes('10 minutes');
      await write();
    });
    await sql('delete from longwatch.node_stats');
    await count('a', 3);
    await passes('1 minute');
    await write();
    expect(await total()).toEqual({ fetched: 0, seconds: 60 });
  });
});

test('keys that are seen by themselves only now have not spent in a minute what they ever spent', async () => {
  const spent = (keys: number, each: number) =>
    writeBuckets(
      database.single,
      Array.from({ length: keys }, (_, i) => ({
        ...{
          upstream: 'esi',
          limit: 'errors',
          key: `k${String(i).padStart(2, '0')}`,
          tokens: 1e6,
          window: 60,
          spent: each,
        },
      })),
    );
  await spent(25, 1_000);
  await write();
  // Five are forgotten, and one that is left spends a little.
  await sql(`delete from longwatch.budget where key >= 'k20'`);
  await passes('1 minute');
  await write();
  await sql(`delete from longwatch.budget where key = 'k19'`);
  await writeBuckets(database.single, [
    { upstream: 'esi', limit: 'errors', key: 'new', tokens: 1e6, window: 60, spent: 0.25 },
  ]);
  await passes('1 minute');
  await write();
  await sql(`update longwatch.budget set spent = spent + 5 where key = 'k00'`);
  await writeBuckets(database.single, [
    { upstream: 'esi', limit: 'errors', key: 'newer', tokens: 1e6, window: 60, spent: 2 },
  ]);
  await sql(`delete from longwatch.budget where key = 'k18'`);
  await sql(`update longwatch.budget set spent = spent + 1000 where key = 'k17'`);
  await passes('1 minute');
  await write();
  const rows = await sql(
    `select name, sum(counts[1])::float8 as spent from longwatch.series
     where step = 'minute' and kind = 'bucket' group by name having sum(counts[1]) > 0 order by name`,
  );
  expect(rows).toEqual([
    { name: 'esi/errors', spent: 7 },
    { name: 'esi/errors:k00', spent: 5 },
    { name: 'esi/errors:k17', spent: 1_000 },
    { name: 'esi/errors:newer', spent: 2 },
  ]);
});

test('pools that a tracker has no more have no members', async () => {
  await count('a', 1);
  await write();
  await sql(
    `insert into longwatch.pool_age (tracker, pool, operation, members, never, max_ms, buckets, oldest)
     values ('t', 0, 'look', 8, 0, 9, '{8}', '[]'), ('t', 1, 'look', 4, 4, 50, '{4}', '[]')`,
  );
  await passes('1 minute');
  await write();
  const [row] = await sql(`select look_sums[4] as members, look_sums[5] as never from longwatch.series
                           where step = 'minute' and kind = 'operation'`);
  expect(row).toEqual({ members: 8, never: 0 });
});
