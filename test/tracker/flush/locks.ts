/** Part of `flush.test.ts`: whom a lock keeps waiting. */
import { Client } from 'pg';
import { takeFence } from '../../../activities/tracker/store/fence';
import { setPointHook, type Point } from '../../../activities/lib/points';
import { Database, VALUES_LIMITS, type Queryable, type TransactionOptions } from '../../../activities/lib/database';
import { eventually } from '../../support/stack';
import { stopwatch } from '../../support/stopwatch';
import { TestClock } from '../shift-kit';
import {
  log,
  stack,
  database,
  closing,
  trackerOf,
  writerOf,
  claimOf,
  never,
  poolOf,
  valueOf,
  valuesOf,
  failing,
} from './pools';

describe('a lock that somebody holds keeps his pool waiting, and no other (TR-C4, TR-M6)', () => {
  /** Somebody in psql, or a process that is frozen. */
  async function locked(sql: string): Promise<Client> {
    const client = new Client({ connectionString: stack.servers.databaseUrl });
    client.on('error', () => undefined);
    await client.connect();
    closing.push(() => client.end());
    await client.query('begin');
    await client.query(sql);
    return client;
  }

  test.each([
    ['the pool’s row', `select 1 from longwatch.pool where pool = 0 for update`],
    [
      'a value of it',
      `update longwatch.value set failures = 7 where member = (select key from longwatch.member where id = 'a')`,
    ],
  ])('%s', async (_what, sql) => {
    const clock = new TestClock();
    let value = 1;
    const look = trackerOf(() => ({ value }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    const { writer, fenced } = writerOf(kits);
    for (const kit of kits) await kit.pass(20);
    await writer.flush();
    const client = await locked(sql);
    value = 2;
    for (const kit of kits) await kit.pass(100);
    await writer.flush();
    await writer.flush();
    expect(fenced).toEqual([]);
    expect(await valueOf('b')).toMatchObject({ value: 2 });
    expect(await valueOf('a')).toMatchObject({ value: 1 });
    expect(kits[0]!.shift.hasResults).toBe(true);
    expect(kits[0]!.shift.refusedFor(performance.now())).toBeGreaterThan(0);
    expect(kits[1]!.shift.refusedFor(performance.now())).toBe(0);
    await client.query('rollback');
    await writer.flush();
    expect(await valueOf('a')).toMatchObject({ value: 2 });
    expect(kits[0]!.shift.refusedFor(performance.now())).toBe(0);
  });

  test('a flush passes over a pool that is locked: it neither waits for it nor fails', async () => {
    const clock = new TestClock();
    const look = trackerOf(() => ({ value: 1 }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    const { writer, outcomes } = writerOf(kits);
    for (const kit of kits) await kit.pass(20);
    await locked(`select 1 from longwatch.pool where pool = 0 for update`);
    await writer.flush();
    expect(outcomes).toEqual([{ rows: 1, ms: expect.any(Number) as number }]);
    expect(await valuesOf()).toEqual(['b']);
  });

  test('a pool that is written alone waits for locks much shorter than all together do', async () => {
    const limits: (TransactionOptions | undefined)[] = [];
    class Noting extends Database {
      override transaction<T>(work: (db: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T> {
        limits.push(options);
        return super.transaction(work, options);
      }
    }
    const values = new Noting({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS, connections: 1 });
    closing.push(() => values.close());
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    await failing(`new.member is not null`, `raise exception 'not this one' using errcode = '22000'`);
    await kit.pass(20);
    const { writer } = writerOf([kit], values);
    await writer.flush();
    expect(limits).toHaveLength(2);
    expect(limits[0]).toBeUndefined();
    // A flush has half a second for all that are alone: one that is locked must leave most of it to the others.
    expect(limits[1]!.lockTimeoutMs).toBeLessThanOrEqual(VALUES_LIMITS.lockTimeoutMs / 4);
    expect(limits[1]!.statementTimeoutMs).toBeLessThan(VALUES_LIMITS.statementTimeoutMs);
  });

  test('a pool whose row is gone is fenced', async () => {
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    await kit.pass(20);
    await stack.sql('delete from longwatch.pool');
    const { writer, fenced } = writerOf([kit]);
    await writer.flush();
    expect(fenced).toEqual([kit.shift]);
  });

  test.each<Point>(['flush.locked', 'flush.written'])(
    'a node that freezes at %s lets go of its pools, and another takes them within seconds',
    async (point) => {
      const clock = new TestClock();
      const look = trackerOf(() => ({ value: 1 }));
      const kit = await poolOf(0, ['a'], look, clock);
      await kit.pass(20);
      let frozen!: () => void;
      const reached = new Promise<void>((resolve) => (frozen = resolve));
      let thaw!: () => void;
      setPointHook((at) => {
        if (at !== point) return undefined;
        frozen();
        return new Promise<void>((resolve) => (thaw = resolve));
      });
      const values = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS, connections: 1 });
      closing.push(() => values.close());
      const { writer, fenced } = writerOf([kit], values);
      const flushing = writer.flush();
      await reached;
      const took = stopwatch();
      const taken = await eventually('taken', () => takeFence(database, claimOf(0), never).catch(() => undefined));
      expect(taken.token).toBe(2);
      expect(took()).toBeLessThan(5_000);
      // It goes on, and nothing of what it had is written.
      setPointHook(undefined);
      thaw();
      await flushing;
      await writer.flush();
      expect(await valuesOf()).toEqual([]);
      expect(fenced).toEqual([kit.shift]);
    },
  );
});
