/**
 * The history on the real PostgreSQL: each count in it once, whoever writes, restarts, fails or is told twice; the hour
 * is the sum of its minutes; rows go when they are old. Time passes here by putting the history's clock back.
 */
import fc from 'fast-check';
import { pino } from 'pino';
import { writeSeries } from '../../activities/series/write';
import { Attendance, type AttendanceHost } from '../../activities/tracker/shift/attendance';
import { Clock } from '../../activities/tracker/shift/clock';
import { percentile } from '../../activities/tracker/shift/lateness';
import { beginNode, purgeNodes } from '../../activities/tracker/store/node-stats';
import { claimNode } from '../../activities/tracker/store/nodes';
import { writeNode } from '../support/node-rows';
import { histories } from '../support/simulate';
import { eventually } from '../support/stack';
import { wordOf } from '../tracker/cluster-kit';
import { count, counted, database, fetchedIn, passes, sql, sum, write } from './series-kit';

test('the first time there is nothing to count from; then each minute has what came in it', async () => {
  await count('a', 100, [1, 2]);
  await write();
  expect(await sql('select * from longwatch.series')).toEqual([]);
  await count('a', 160, [1, 2, 5]);
  // The minute is not over.
  await passes('0 s');
  await write();
  await passes('1 minute');
  const [{ minute }] = (await sql(`select date_trunc('minute', at) as minute from longwatch.series_clock`)) as [
    { minute: Date },
  ];
  await write();
  const rows = await sql(
    `select step, at, counts, late, seconds between 59 and 90 as whole from longwatch.series where kind = 'operation' order by step`,
  );
  const figures = { counts: [60, 0, 0], late: [0, 0, 5], whole: true };
  expect(rows[1]).toEqual({ step: 'minute', at: minute, ...figures });
  expect(rows[0]).toMatchObject({ step: 'hour', ...figures });
  await passes('1 minute');
  await write();
  expect(sum(await fetchedIn('minute'))).toBe(60);
});

test('several at once, and again at once: it is written once', async () => {
  await count('a', 10);
  await write();
  await count('a', 17);
  await count('b', 5);
  await passes('1 minute');
  await Promise.all(Array.from({ length: 8 }, () => write()));
  await Promise.all(Array.from({ length: 8 }, () => write({ final: true })));
  expect([sum(await fetchedIn('minute')), sum(await fetchedIn('hour'))]).toEqual([12, 12]);
  // One that comes while another one writes goes away, and waits for nobody.
  await count('a', 20);
  await passes('1 minute');
  await database.transaction(async (db) => {
    expect(await writeSeries(db, { percentile })).toBeDefined();
    expect(await write()).toBeUndefined();
  });
  expect([sum(await fetchedIn('minute')), sum(await fetchedIn('hour'))]).toEqual([15, 15]);
});

test('a commit whose answer is lost is not counted twice; one that failed loses nothing', async () => {
  await count('a', 10);
  await write();
  await count('a', 30);
  await passes('1 minute');
  // Written, and nobody heard it.
  await write();
  await write({ final: true });
  expect(sum(await fetchedIn('minute'))).toBe(20);
  await count('a', 45);
  await passes('1 minute');
  const lost = database.transaction(async (db) => {
    await writeSeries(db, { percentile });
    throw new Error('the connection is gone');
  });
  await expect(lost).rejects.toThrow('gone');
  expect(sum(await fetchedIn('minute'))).toBe(20);
  await write();
  expect(sum(await fetchedIn('minute'))).toBe(35);
});

test('a node that begins anew in the middle of a minute, and one that is forgotten, take nothing away', async () => {
  await count('a', 10, [4]);
  await count('b', 3, [0, 1]);
  await write();
  await count('a', 25, [9]);
  await database.transaction((db) => beginNode(db, 'a'));
  await count('a', 4, [1, 1]);
  await sql(`update longwatch.node_stats set seen_at = now() - interval '2 days' where node = 'b'`);
  await database.transaction(purgeNodes);
  expect(await sql(`select node from longwatch.node_stats order by node`)).toEqual([{ node: '' }, { node: 'a' }]);
  await passes('1 minute');
  await write();
  expect(await fetchedIn('minute')).toEqual([19]);
  expect(await sql(`select late from longwatch.series where step = 'minute' and kind = 'operation'`)).toEqual([
    { late: [6, 1] },
  ]);
});

test('counts of before an outage are in its first minute, without what is seen only now', async () => {
  await writeNode(sql, { name: 'a' });
  await sql(`insert into longwatch.buffer (name, options) values ('box', '{}')`);
  await count('a', 10);
  await write();
  await passes('30 minutes');
  await count('a', 12);
  await write();
  const rows = await sql(
    `select kind, counts, look_numbers, seconds <= 60 as short, at < now() - interval '29 minutes' as past
     from longwatch.series where step = 'minute' order by kind`,
  );
  expect(rows.find(({ kind }) => kind === 'operation')).toMatchObject({ counts: [2, 0, 0], short: true, past: true });
  expect(rows.find(({ kind }) => kind === 'buffer')).toMatchObject({ look_numbers: [0, 0, 0, 0] });
});

test('the clock of the process does not matter', async () => {
  jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 61 * 60_000);
  await count('a', 1);
  await write();
  await count('a', 2);
  await passes('1 minute');
  await write();
  const [row] = await sql(
    `select abs(extract(epoch from now() - at)) < 150 as near from longwatch.series where step = 'minute' limit 1`,
  );
  expect(row).toEqual({ near: true });
});

test('a kind that cannot be read keeps none of the others from it, and loses nothing', async () => {
  await sql(`insert into longwatch.job (name, kind, options) values ('regen', 'regen', '{}')`);
  await writeNode(sql, { name: 'a' });
  await count('a', 10);
  await write();
  await count('a', 17);
  await sql(`update longwatch.job set ticks_total = 3`);
  await sql(`update longwatch.node set seen_at = clock_timestamp(), use = use || '{"members": "many"}'`);
  await passes('1 minute');
  const failed: string[] = [];
  await database.transaction((db) => writeSeries(db, { percentile, onError: (_, kind) => failed.push(kind) }));
  expect(failed).toEqual(['node']);
  expect(await fetchedIn('minute')).toEqual([7]);
  expect(await sql(`select counts[1] as ticks from longwatch.series where step = 'minute' and kind = 'job'`)).toEqual([
    { ticks: 3 },
  ]);
});

describe('each kind', () => {
  test('buffers, jobs, buckets and nodes', async () => {
    await sql(`insert into longwatch.buffer (name, options) values ('box', '{}')`);
    const report = (accepted: number, pending: number) =>
      sql(
        `insert into longwatch.buffer_shard (buffer, shard, moment, status) values ('box', 0, 1, $1), ('box', 1, 1, $1)
         on conflict (buffer, shard) do update set status = excluded.status`,
        [
          JSON.stringify({
            accepted,
            done: accepted - pending,
            pending,
            running: 0,
            dead: 1,
            merged: 0,
            dropped: 0,
            stored: 2,
          }),
        ],
      );
    await report(10, 4);
    await sql(
      `insert into longwatch.job (name, kind, options, ticks_total, rows_total) values ('regen', 'regen', '{}', 5, 500)`,
    );
    await writeNode(sql, { name: 'a', placement: { load: 7 }, use: { eventLoop: 0.25, members: 90 } });
    await writeNode(sql, { name: 'gone', silentMs: 60_000 });
    await write();
    await report(30, 6);
    await sql(`update longwatch.job set ticks_total = 7, rows_total = 800, ms_total = 12.5`);
    await sql(`insert into longwatch.failed_row (job, key, due, error) values ('regen', '{1}', now(), 'no')`);
    await passes('1 minute');
    await write();
    const rows = await sql(
      `select kind, name, counts, look_sums from longwatch.series where step = 'minute' order by kind, name`,
    );
    expect(rows).toEqual([
      { kind: 'buffer', name: 'box', counts: [40, 36, 0, 0], look_sums: [12, 0, 2, 4] },
      { kind: 'job', name: 'regen', counts: [2, 300, 0, 12.5], look_sums: [1] },
      { kind: 'node', name: 'a', counts: [], look_sums: [0, 90, 7, 0.25, 0.25, 180 * 2 ** 20, 4, 60, 0] },
    ]);
  });

  test('ages are those that were told in the last minute', async () => {
    await sql('update longwatch.tracker set pools = 3');
    await count('a', 1);
    await write();
    await sql(
      `insert into longwatch.pool_age (tracker, pool, operation, members, never, max_ms, buckets, oldest, told_at)
       values ('t', 0, 'look', 3, 1, 9, '{1,0,2}', '[]', now()), ('t', 1, 'look', 4, 0, 50, '{0,0,0,4}', '[]', now()),
              ('t', 2, 'look', 9, 9, 1e9, '{9}', '[]', now() - interval '2 minutes')`,
    );
    await passes('1 minute');
    await write();
    const [row] = await sql(
      `select look_sums, mosts from longwatch.series where step = 'minute' and kind = 'operation'`,
    );
    // p50, p95 (the bound of their bucket), the oldest, members, never.
    expect(row).toEqual({ look_sums: [1.7, 1.7, 50, 7, 1], mosts: [1.7, 1.7, 50, 7, 1] });
  });
});

type Act = { fetched?: number; passes?: number; final?: boolean; anew?: boolean; lost?: boolean };

test('whatever happens in which order, minutes and hours have all that was counted', async () => {
  const act: fc.Arbitrary<Act> = fc.oneof(
    fc.record({ fetched: fc.nat(50) }),
    fc.record({ passes: fc.integer({ min: 1, max: 5_000 }) }),
    fc.record({ final: fc.boolean() }),
    fc.constant({ anew: true }),
    fc.constant({ lost: true }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      await sql('truncate longwatch.series, longwatch.series_total, longwatch.series_clock, longwatch.node_stats');
      await count('a', 0);
      await write();
      let [all, here] = [0, 0];
      for (const { fetched, passes: seconds, final, anew, lost } of acts) {
        if (fetched !== undefined) {
          all += fetched;
          await count('a', (here += fetched));
        }
        if (seconds !== undefined) await passes(`${seconds} s`);
        if (final !== undefined) await write({ final });
        if (anew) {
          await database.transaction((db) => beginNode(db, 'a'));
          await count('a', (here = 0));
        }
        if (lost)
          await database
            .transaction(async (db) => {
              await writeSeries(db, { final: true, percentile });
              throw new Error('lost');
            })
            .catch(() => undefined);
      }
      await write({ final: true });
      expect([sum(await fetchedIn('minute')), sum(await fetchedIn('hour'))]).toEqual([all, all]);
      const apart = await sql(
        `select date_trunc('hour', m.at) from longwatch.series m where step = 'minute' group by 1
         having sum(m.counts[1]) <> (select h.counts[1] from longwatch.series h where h.step = 'hour' and h.kind = 'operation'
                                     and h.at = date_trunc('hour', min(m.at)))`,
      );
      expect(apart).toEqual([]);
    }),
    histories(25),
  );
});

test('rows go when they are old, a bounded number at a time', async () => {
  await write();
  await sql(
    `insert into longwatch.series (step, kind, name, at, seconds, counts, look_sums, look_numbers, mosts, late)
     select step, 'operation', 'x/y', now() - i * age, 60, '{}', '{}', '{}', '{}', '{}'
     from (values ('minute', interval '1 minute'), ('hour', interval '1 hour')) as s (step, age), generate_series(1, 3500) i`,
  );
  const left = async (step: string) =>
    (await sql(`select count(*)::int as n from longwatch.series where step = $1 and name = 'x/y'`, [step]))[0]!
      .n as number;
  await passes('1 minute');
  await write();
  expect(3_500 - (await left('minute'))).toBeGreaterThan(900);
  expect(3_500 - (await left('minute'))).toBeLessThan(1_100);
  for (let minute = 0; minute < 3; minute++) {
    await passes('1 minute');
    await write();
  }
  expect(await left('minute')).toBeGreaterThanOrEqual(1_440);
  expect(await left('minute')).toBeLessThanOrEqual(1_500);
  expect(await left('hour')).toBeGreaterThanOrEqual(31 * 24);
  expect(await left('hour')).toBeLessThanOrEqual(32 * 24);
});

test('a node writes it when it comes, when a minute is over, and when it ends; its process is a start', async () => {
  const row = { name: 'a', host: 'h', pid: 1, metricsUrl: null };
  const claimed = await database.transaction((db) => claimNode(db, row));
  let fetched = 5;
  const host: AttendanceHost = {
    ...{ row, clock: new Clock(), log: pino({ level: 'silent' }), incarnation: claimed, word: () => wordOf('a') },
    ...{ heard: () => false, attended: () => undefined, look: () => Promise.resolve() },
    stats: () => [counted(fetched)],
  };
  const attendance = new Attendance(database, host);
  await attendance.start();
  await eventually('it begins', async () => (await sql('select from longwatch.series_clock')).length === 1);
  expect(await sql('select kind from longwatch.series_total order by kind')).toEqual([
    { kind: 'node' },
    { kind: 'operation' },
  ]);
  await attendance.stop();
  const again = new Attendance(database, host);
  await passes('1 minute');
  fetched = 9;
  await again.start();
  // The counts of the one before stay in the sums; it counts from nothing.
  await eventually('the minute is written', async () => sum(await fetchedIn('minute')) > 0);
  expect(sum(await fetchedIn('minute'))).toBe(9);
  fetched = 12;
  await again.stop();
  expect(sum(await fetchedIn('minute'))).toBe(12);
  await database.transaction((db) => claimNode(db, row));
  await sql(`update longwatch.node set ended_at = null`);
  await database.transaction((db) => claimNode(db, row));
  const starts = await sql('select node, after_crash from longwatch.node_start order by incarnation');
  expect(starts.map(({ after_crash: crashed }) => crashed)).toEqual([false, false, true]);
});
