/**
 * The history of limits whose old buckets are forgotten, on the real PostgreSQL: what is forgotten lowers the sum of
 * its limit, and no count.
 */
import { run } from '../../activities/lib/database';
import { purgeBuckets } from '../../activities/upstream/store/budget';
import { writeBuckets } from '../support/buckets';
import { database, passes, sql, sum, write } from './series-kit';

describe('buckets that are forgotten', () => {
  const spend = (key: string, spent: number) =>
    database.transaction((db) =>
      writeBuckets(db, [{ upstream: 'esi', limit: 'errors', key, tokens: 100, window: 60, spent }]),
    );
  const isOld = (key: string) =>
    sql(`update longwatch.budget set keep_until = now() - interval '1 hour' where key = $1`, [key]);
  const purge = () => database.transaction((db) => purgeBuckets(db, 100));
  const spentOf = async (name: string): Promise<number> => {
    const rows = await sql(`select counts[1] as n from longwatch.series where step = 'minute' and name = $1`, [name]);
    return sum(rows.map(({ n }) => n as number));
  };

  test('take nothing from what their limit has spent since', async () => {
    await spend('old', 70);
    await spend('live', 10);
    await write();
    await sql(`update longwatch.budget set spent = 15 where key = 'live'`);
    await isOld('old');
    expect(await purge()).toBe(1);
    await passes('1 minute');
    await write();
    // It comes again, as one that was never there.
    await spend('old', 3);
    await sql(`update longwatch.budget set spent = 20 where key = 'live'`);
    await passes('1 minute');
    await write();
    expect([await spentOf('esi/errors'), await spentOf('esi/errors:live'), await spentOf('esi/errors:old')]).toEqual([
      13, 10, 3,
    ]);
  });

  test('are forgotten later where the history is being written, which counts by them', async () => {
    await spend('old', 70);
    await isOld('old');
    await database.transaction(async (db) => {
      await run(db, { name: 'taken', text: `select pg_advisory_xact_lock(hashtext('longwatch series'))` });
      expect(await purge()).toBe(0);
    });
    expect(await purge()).toBe(1);
  });
});
