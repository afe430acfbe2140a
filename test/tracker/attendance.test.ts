/**
 * A node's word of itself each second, on the real PostgreSQL: what fails there, what is forgotten, and that sums
 * stay what they were.
 */
import { Client } from 'pg';
import { pino } from 'pino';
import { Attendance, type AttendanceHost } from '../../activities/tracker/shift/attendance';
import { Clock } from '../../activities/tracker/shift/clock';
import { take } from '../../activities/tracker/shift/take-pool';
import { Semaphore } from '../../activities/tracker/shift/semaphore';
import { Database, type Queryable, type TransactionOptions } from '../../activities/lib/database';
import { purgeNodes, type StatsRow } from '../../activities/tracker/store/node-stats';
import type { PlacementRow } from '../../activities/tracker/placement/row';
import type { Attended } from '../../activities/tracker/store/nodes';
import { STATUS_STATS } from '../../client/tracker/queries';
import { eventually, Stack } from '../support/stack';
import { wordOf } from './cluster-kit';

let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{"operations": {}}')`);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(() => stack.sql(`delete from longwatch.node_stats`).then(() => stack.sql(`delete from longwatch.node`)));

const counted = (fetched: number): StatsRow => ({
  tracker: 't',
  operation: 'look',
  fetched,
  failed: 1,
  skipped: 0,
  rounds: 1,
  lastRoundMs: 5,
  lateBuckets: [1, 2],
  lateTotal: [3, 4],
  holdMs: 0,
  heldUntil: null,
});
function attendanceOf(
  name: string,
  rows: () => StatsRow[],
  log = pino({ level: 'silent' }),
  over: Partial<AttendanceHost> = {},
  shared = database,
): { attendance: Attendance; clock: Clock } {
  const clock = new Clock();
  const host: AttendanceHost = {
    row: { name, host: 'h', pid: 1, metricsUrl: null },
    clock,
    log,
    incarnation: undefined,
    stats: rows,
    word: () => wordOf(name),
    heard: () => false,
    attended: () => undefined,
    look: () => Promise.resolve(),
    ...over,
  };
  return { attendance: new Attendance(database, host, shared), clock };
}
const sums = async () =>
  (await database.rows<{ fetched: number; failed: number; late_buckets: unknown[] }>(STATUS_STATS, ['t']))[0];

test('a node is there as soon as it has started, with the database’s clock; in the end it says that it was the end', async () => {
  const { attendance, clock } = attendanceOf('a', () => [counted(3)]);
  await attendance.start();
  const [row] = await stack.sql<{ off: number; ended: boolean }>(
    `select abs(extract(epoch from now()) * 1000 - $1)::float8 as off, ended_at is not null as ended from longwatch.node`,
    [clock.now()],
  );
  expect(row!.off).toBeLessThan(60_000);
  expect(row!.ended).toBe(false);
  await attendance.stop();
  expect(await stack.sql(`select name from longwatch.node where ended_at is not null`)).toEqual([{ name: 'a' }]);
  expect(await sums()).toMatchObject({ fetched: 3 });
});

test('TR-M3: a node whose clock is an hour off works by the database’s before it has anything that has a time', async () => {
  const off = async (clock: Clock): Promise<number> =>
    (
      await stack.sql<{ off: number }>(`select abs(extract(epoch from clock_timestamp()) * 1000 - $1)::float8 as off`, [
        clock.now(),
      ])
    )[0]!.off;
  const hourAhead = <T>(make: () => T): T => {
    const wrong = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    try {
      return make();
    } finally {
      wrong.mockRestore();
    }
  };
  const { attendance, clock } = hourAhead(() => attendanceOf('a', () => []));
  expect(await off(clock)).toBeGreaterThan(3_500_000);
  await attendance.start();
  expect(await off(clock)).toBeLessThan(60_000);
  await attendance.stop();
  // The same where the first that is heard of the database is that a pool was taken.
  const taker = hourAhead(() => new Clock());
  const claim = { tracker: 't', pool: 0, runId: 'r', shift: 1, attempt: 1, node: 'a' };
  const placing = { offer: () => ({ answer: 'take' }) as const };
  const node = { taking: new Semaphore(1), arriving: new Semaphore(1), clock: taker, isDraining: false, placing };
  await take({ node, database, temporal: { isCurrent: () => Promise.resolve(true) } }, claim, {
    ...claim,
    durationMs: 0,
  });
  expect(await off(taker)).toBeLessThan(60_000);
});

test('who keeps its row locked costs it a second of attendance: it goes on as soon as the lock is gone', async () => {
  let fetched = 0;
  const { attendance } = attendanceOf('a', () => [counted(++fetched)]);
  await attendance.start();
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  await client.query('begin');
  await client.query(`select 1 from longwatch.node where name = 'a' for update`);
  const before = await sums();
  await attendance.attend();
  expect(await sums()).toEqual(before);
  await client.query('rollback');
  await client.end();
  await eventually('it is noted again', async () => (await sums())!.fetched > before!.fetched);
  await attendance.stop();
});

test('what is new in what it hears, and what is to be said while it is being noted, is said right after that', async () => {
  let noted = 0;
  const attended = (): void => void noted++;
  // A second never passes.
  const second = jest.spyOn(globalThis, 'setInterval').mockReturnValue({} as NodeJS.Timeout);
  try {
    const { attendance } = attendanceOf('a', () => [], undefined, { attended, heard: () => noted === 0 });
    await attendance.start();
    await eventually('it answers to what it has heard', () => noted === 2);
    const underWay = attendance.attend();
    for (let hints = 0; hints < 3; hints++) attendance.hint();
    await underWay;
    await eventually('it is said, once', () => noted === 4);
    await attendance.stop();
    expect(noted).toBe(5);
  } finally {
    second.mockRestore();
  }
});

test('who keeps a row of its counts locked does not make the node look gone', async () => {
  const { attendance } = attendanceOf('a', () => [counted(1)]);
  await attendance.start();
  const seen = async () => (await stack.sql<{ seen_at: Date }>('select seen_at from longwatch.node'))[0]!.seen_at;
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  try {
    await client.query('begin');
    await client.query(`select 1 from longwatch.node_stats where node = 'a' for update`);
    await attendance.attend();
    const before = await seen();
    await attendance.attend();
    expect((await seen()).getTime()).toBeGreaterThan(before.getTime());
  } finally {
    await client.end();
  }
  await attendance.stop();
});

test('a history that is slow keeps neither the counters nor what else is looked at waiting', async () => {
  let fetched = 0;
  const { attendance } = attendanceOf('a', () => [counted(++fetched)]);
  await stack.sql('truncate longwatch.series_clock');
  await stack.sql('create table held ()');
  await stack.sql(
    `create function slow() returns trigger language plpgsql as $$ begin
       while to_regclass('held') is not null loop perform pg_sleep(0.02); end loop;
       return new;
     end $$`,
  );
  await stack.sql('create trigger slow before insert on longwatch.series_clock for each row execute function slow()');
  try {
    await attendance.start();
    await attendance.attend();
    expect((await sums())!.fetched).toBeGreaterThan(1);
    // It is not written yet.
    expect(await stack.sql('select from longwatch.series_clock')).toEqual([]);
    await stack.sql('drop table held');
    await eventually('it is written', async () => (await stack.sql('select from longwatch.series_clock')).length === 1);
  } finally {
    await stack.sql('drop table if exists held');
    await stack.sql('drop function slow cascade');
    await attendance.stop();
  }
});

test('a node that PostgreSQL will not note says so once, and again after it was noted', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const { attendance } = attendanceOf('a', () => [], log);
  await attendance.start();
  for (const times of [1, 2]) {
    await stack.sql('alter table longwatch.node rename column placement to hidden');
    try {
      for (let i = 0; i < 3; i++) await attendance.attend();
    } finally {
      await stack.sql('alter table longwatch.node rename column hidden to placement');
    }
    expect(lines).toHaveLength(times);
    expect(lines.at(-1)).toMatch(/does not note this node: it takes no pools until it does/);
    await attendance.attend();
    expect(attendance.isHeard).toBe(true);
  }
  await attendance.stop();
  expect(lines).toHaveLength(2);
});

test('TR-L1: a node that ended or vanished a day ago is forgotten; the sums stay, what it says of now does not', async () => {
  for (const name of ['ended', 'vanished', 'lives']) {
    const { attendance } = attendanceOf(name, () => [counted(10)]);
    await attendance.start();
    await attendance.stop();
  }
  await stack.sql(`update longwatch.node set ended_at = null where name <> 'ended'`);
  await stack.sql(`update longwatch.node set ended_at = now() - interval '25 hours' where name = 'ended'`);
  await stack.sql(`update longwatch.node set seen_at = now() - interval '25 hours' where name = 'vanished'`);
  await stack.sql(`update longwatch.node_stats set seen_at = now() - interval '25 hours' where node <> 'lives'`);
  for (let round = 0; round < 2; round++) {
    await database.transaction(purgeNodes);
    expect(await stack.sql(`select name from longwatch.node`)).toEqual([{ name: 'lives' }]);
    expect(await stack.sql(`select node from longwatch.node_stats order by node`)).toEqual([
      { node: '' },
      { node: 'lives' },
    ]);
    expect(await sums()).toMatchObject({ fetched: 30, failed: 3, late_buckets: [[1, 2]] });
  }
});

test('TR-L1: a node’s attendance forgets them by itself', async () => {
  const endedYesterday = async (name: string): Promise<void> => {
    const { attendance: old } = attendanceOf(name, () => [counted(10)]);
    await old.start();
    await old.stop();
    await stack.sql(`update longwatch.node set ended_at = now() - interval '25 hours' where name = $1`, [name]);
  };
  const known = async () =>
    (await stack.sql<{ name: string }>('select name from longwatch.node')).map(({ name }) => name);
  await endedYesterday('old');
  const { attendance } = attendanceOf('new', () => []);
  await attendance.start();
  expect((await known()).sort()).toEqual(['new', 'old']);
  // It looks each ten minutes.
  const later = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 11 * 60_000);
  await attendance.attend();
  expect(await known()).toEqual(['new']);
  await endedYesterday('other');
  await attendance.attend();
  expect((await known()).sort()).toEqual(['new', 'other']);
  await attendance.stop();
  later.mockRestore();
});

test('TR-M3: until when an operation is held is written by the database’s clock', async () => {
  const heldUntil = Date.now() + 600_000;
  const { attendance, clock } = attendanceOf('a', () => [{ ...counted(1), heldUntil }]);
  clock.toStore = (ms) => ms + 60_000;
  await attendance.start();
  await eventually('its counts are written', async () => {
    const [row] = await stack.sql<{ held: number }>(
      'select (extract(epoch from held_until) * 1000)::float8 as held from longwatch.node_stats',
    );
    return row?.held === heldUntil + 60_000;
  });
  await attendance.stop();
});

test.each(['is rolled back', 'is done, and its answer lost'])(
  'a transaction that begins or writes the counts of a process and %s counts nothing twice, and loses nothing',
  async (how) => {
    for (const fetched of [10, 4]) {
      let transactions = 0;
      const faulty = Object.assign(Object.create(database) as Database, {
        transaction: async <T>(work: (db: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T> => {
          const fails = ++transactions <= 8 && transactions % 2 === 0;
          const result = await database.transaction(async (db) => {
            const done = await work(db);
            if (fails && how === 'is rolled back') throw new Error('rolled back');
            return done;
          }, options);
          if (fails) throw new Error('the answer is lost');
          return result;
        },
      });
      const { attendance } = attendanceOf('fixed', () => [counted(fetched)], undefined, {}, faulty);
      await attendance.start();
      for (let again = 0; again < 4; again++) await attendance.attend();
      expect(transactions).toBeGreaterThan(8);
      await attendance.stop();
    }
    expect(await sums()).toMatchObject({ fetched: 14, failed: 2 });
  },
);

test('TR-M3: what a node says of pools on their way is by the database’s clock, what it hears of others by its own', async () => {
  const quiet = pino({ level: 'silent' });
  const sentAt = 1_700_000_000_000;
  const word = (name: string, to: string) => wordOf(name, { out: [{ pool: 't/1', to, size: 10, kind: 't', sentAt }] });
  const { attendance: peer } = attendanceOf('peer', () => [], quiet, { word: () => word('peer', 'a') });
  await peer.start();
  const heard: PlacementRow[] = [];
  const hear = ({ peers }: Attended): boolean => heard.push(...peers.map(({ row }) => row)) < 0;
  const { attendance, clock } = attendanceOf('a', () => [], quiet, { word: () => word('a', 'peer'), heard: hear });
  clock.toStore = (ms) => ms + 60_000;
  clock.fromStore = (ms) => ms - 60_000;
  await attendance.start();
  const written = await stack.sql<{ sent: number; at: number }>(
    `select (placement #>> '{out,0,sentAt}')::float8 as sent, (extract(epoch from seen_at) * 1000)::float8 as at
     from longwatch.node order by name`,
  );
  expect(written.map(({ sent }) => sent)).toEqual([sentAt + 60_000, sentAt]);
  expect(heard[0]).toMatchObject({ name: 'peer', out: [{ pool: 't/1', sentAt: sentAt - 60_000 }] });
  expect(heard[0]!.at).toBeCloseTo(written[1]!.at - 60_000, 0);
  await Promise.all([attendance.stop(), peer.stop()]);
});

test('a node that comes back under its name counts from nothing, and nothing that it had counted is lost', async () => {
  for (const fetched of [10, 4, 5]) {
    const { attendance } = attendanceOf('fixed', () => [counted(fetched)]);
    await attendance.start();
    await attendance.stop();
  }
  expect(await sums()).toMatchObject({ fetched: 19, failed: 3 });
});
