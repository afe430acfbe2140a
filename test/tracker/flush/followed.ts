/** Part of `flush.test.ts`: what a shift learns with its flush, whose clock times go by, how often a node flushes. */
import { takeFence } from '../../../activities/tracker/store/fence';
import { begin } from '../../../activities/tracker/shift/keep';
import { Lateness } from '../../../activities/tracker/shift/lateness';
import { Flush } from '../../../activities/tracker/shift/flush';
import { PoolShift } from '../../../activities/tracker/shift/pool-shift';
import type { Operation } from '../../../activities/tracker/shift/host';
import type { Room } from '../../../activities/tracker/shift/pending';
import { Semaphore } from '../../../activities/tracker/shift/semaphore';
import type { Database } from '../../../activities/lib/database';
import { freshnessOf } from '../../../activities/tracker/store/members';
import { defineTracker, HoldError } from '../../../exports';
import { eventually } from '../../support/stack';
import { member, rowOf, shiftOf, TestClock } from '../shift-kit';
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
  valuesOf,
  feedOf,
  entriesFed,
} from './pools';

describe('a shift follows its tracker’s row (TR-H3)', () => {
  test('also when it came with an older one than another shift of the node', async () => {
    const clock = new TestClock();
    const look = trackerOf(() => ({ value: 1 }));
    const kits = [await poolOf(0, ['a'], look, clock), await poolOf(1, ['b'], look, clock)];
    await stack.sql(`update longwatch.tracker set state = 'paused', version = 2 where name = 't'`);
    closing.push(() => stack.sql(`update longwatch.tracker set state = 'running', version = 1 where name = 't'`));
    const newer = { ...rowOf(look), state: 'paused' as const, version: 2 };
    kits[1]!.shift.follow(newer);
    const { writer } = writerOf(kits, database, { trackers: new Map([['t', newer]]) });
    for (const kit of kits) kit.shift.hinted = true;
    await writer.flush();
    expect(kits.map(({ shift }) => [shift.trackerVersion, shift.closed()])).toEqual([
      [2, 'paused'],
      [2, 'paused'],
    ]);
  });

  test('it begins with the newer one that its node knows, and does not put the older one in its place', async () => {
    const look = trackerOf(() => ({ value: 1 }));
    const newer = { ...rowOf(look), state: 'paused' as const, version: 2 };
    const { host } = shiftOf(look);
    const trackers = new Map([['t', newer]]);
    const latenessOf = () => new Lateness(host.clock.now());
    const node = { ...host, trackers, loading: new Semaphore(1), latenessOf, join: () => undefined };
    const claim = claimOf(0);
    const fence = await takeFence(database, claim, never);
    const shift = await begin({ node, database }, claim, { fence, tracker: rowOf(look) }, look, log);
    expect([shift.trackerVersion, shift.closed()]).toEqual([2, 'paused']);
    expect(trackers.get('t')).toBe(newer);
    shift.close();
  });
});

test('TR-M3: what is stored is of the database’s clock, and what is read of it of the node’s, a minute behind', async () => {
  const AHEAD = 60_000;
  const clock = new TestClock();
  clock.toStore = (ms) => ms + AHEAD;
  clock.fromStore = (ms) => ms - AHEAD;
  const look = trackerOf(
    ({ id }) => {
      if (id === 'refused') throw new HoldError('429', { afterMs: 30_000, scope: 'member' });
      return { value: 1, expiresAt: clock.time + 20_000 };
    },
    { maxExpiry: '1h', maxHold: '1h' },
  );
  const kit = await poolOf(0, ['fetched', 'refused'], look, clock);
  const { writer } = writerOf([kit], database, { feed: feedOf(look, kit.host.clock) });
  await kit.pass(20);
  const ours = kit.shift.loops.get('look')!.known.fetchedAt(kit.shift.members.slotOf('fetched')!)!;
  await writer.flush();
  const ms = (column: string) => `(extract(epoch from v.${column}) * 1000)::float8`;
  const times = await stack.sql<{ key: number; [time: string]: number | null }>(
    `select m.key::int, ${ms('fetched_at')} as fetched, ${ms('expires_at')} as expires, ${ms('failed_at')} as failed,
            ${ms('held_until')} as held
     from longwatch.value v join longwatch.member m on m.key = v.member order by m.id`,
  );
  expect(times).toMatchObject([
    { fetched: ours + AHEAD, expires: ours + AHEAD + 20_000, failed: null, held: null },
    { fetched: null, expires: null, failed: ours + AHEAD, held: ours + AHEAD + 30_000 },
  ]);
  expect(await entriesFed()).toMatchObject([{ id: 'fetched', fetchedAt: ours + AHEAD }]);
  // The next shift of the same node reads them back.
  const next = shiftOf(look, { beside: kit, claim: claimOf(0), token: 2 }).shift;
  const [fetched, refused] = times.map(({ key }) => key) as [number, number];
  next.loadAll(
    [member('fetched', { key: fetched }), member('refused', { key: refused })],
    await database.transaction((db) => freshnessOf(db, [fetched, refused])),
  );
  const { known } = next.loops.get('look')!;
  const slot = next.members.slotOf('fetched')!;
  expect([known.fetchedAt(slot), known.expiresAt(slot)]).toEqual([ours, ours + 20_000]);
});

test('TR-M3: a flush reads the database’s clock, and sets the node’s by it', async () => {
  const clock = new TestClock();
  const set = jest.spyOn(clock, 'set') as unknown as jest.SpyInstance<void, [number, number]>;
  const kit = await poolOf(
    0,
    ['a'],
    trackerOf(() => ({ value: 1 })),
    clock,
  );
  const { writer } = writerOf([kit]);
  const before = Date.now();
  kit.shift.hinted = true;
  await writer.flush();
  const [[databaseMs, askedAt]] = set.mock.calls as [[number, number]];
  expect(askedAt).toBe(clock.time);
  expect(databaseMs).toBeGreaterThan(before - 1_000);
  expect(databaseMs).toBeLessThan(Date.now() + 1_000);
});

test('a shift whose members could not be read starts nothing, now or later', async () => {
  const ran = jest.fn(() => ({ value: 1 }));
  const look = trackerOf(ran);
  const { host, pass } = shiftOf(look);
  const latenessOf = () => new Lateness(host.clock.now());
  const loops: Operation[] = [];
  const entering = (loop: Operation) => void loops.push(loop);
  const node = { ...host, entering, trackers: new Map(), loading: new Semaphore(1), latenessOf, join: () => undefined };
  const claim = claimOf(0);
  const fence = await takeFence(database, claim, never);
  const close = jest.spyOn(PoolShift.prototype, 'close');
  closing.push(() => Promise.resolve(close.mockRestore()));
  const broken = { transaction: () => Promise.reject(new Error('the reading failed')) } as unknown as Database;
  const beginning = begin({ node, database: broken }, claim, { fence, tracker: rowOf(look) }, look, log);
  await expect(beginning).rejects.toThrow('the reading failed');
  expect(close).toHaveBeenCalledTimes(1);
  await pass(200);
  expect(ran).not.toHaveBeenCalled();
});

describe('an operation that was declared before begins again while a shift runs', () => {
  test('with what is stored of it: its ETags, its expiries, its failures', async () => {
    const runs: string[] = [];
    const both = defineTracker({
      name: 't',
      operations: {
        look: {
          every: '5m',
          maxExpiry: '1d',
          stagger: { window: 0 },
          run: ({ id, etag }) => {
            runs.push(`${id}:${etag ?? '-'}`);
            return { value: id };
          },
        },
        other: { every: '1d', run: () => ({ value: 1 }) },
      },
    });
    const row = rowOf(both);
    const one = { ...row.options, operations: { other: row.options.operations.other! } };
    const setOptions = (options: object, version: number) =>
      stack.sql(`update longwatch.tracker set options = $1, version = $2 where name = 't'`, [
        JSON.stringify(options),
        version,
      ]);
    const [before] = await stack.sql<{ options: object }>(`select options from longwatch.tracker where name = 't'`);
    closing.push(() => setOptions(before!.options, 1));
    const [{ now }] = (await stack.sql<{ now: number }>(
      'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
    )) as [{ now: number }];
    const kit = await poolOf(0, ['fresh', 'due', 'failing', 'new'], both, new TestClock(now));
    // The shift began when `look` was not declared.
    const shift = shiftOf(both, { beside: kit, claim: kit.shift.claim, token: kit.shift.token, options: one }).shift;
    kit.shift.close();
    const rows = await stack.sql<{ key: number; id: string }>('select key::int, id from longwatch.member');
    shift.loadAll(
      rows.map(({ id, key }) => member(id, { key, addedAt: now - 3_600_000 })),
      [],
    );
    shift.rosterVersion = kit.shift.rosterVersion;
    await stack.sql(
      `insert into longwatch.value (member, operation, value, etag, fetched_at, expires_at, failures, failed_at)
       select key, 'look', '1', 'of ' || id, now() - interval '10 minutes',
              case id when 'fresh' then now() + interval '1 hour' end,
              case id when 'failing' then 7 else 0 end, case id when 'failing' then now() - interval '9 minutes' end
       from longwatch.member where id <> 'new'`,
    );
    await setOptions(row.options, 2);
    const { writer } = writerOf([{ ...kit, shift }]);
    shift.hinted = true;
    await writer.flush();
    await kit.pass(2_000);
    expect(runs.sort()).toEqual(['due:of due', 'failing:of failing', 'new:-']);
    await kit.pass(600_000);
    expect(runs.filter((run) => run.startsWith('fresh'))).toEqual([]);
  });
});

describe('when a node flushes', () => {
  test('TR-M16: however many changes are announced, not more often than each 20 ms', async () => {
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    // Flushes that take no time, so that nothing but the writer keeps them apart.
    const run = jest.spyOn(Flush.prototype, 'run').mockResolvedValue({ rows: 0, more: false });
    closing.push(() => Promise.resolve(run.mockRestore()));
    const { writer, outcomes } = writerOf([kit]);
    const began = performance.now();
    while (performance.now() - began < 300) {
      kit.shift.hinted = true;
      writer.hint();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('a flush', () => !kit.shift.hinted);
    expect(outcomes.length).toBeLessThanOrEqual(2 + (performance.now() - began) / 20);
  });

  test('OP-B1: what has piled up is written in several transactions, one after the other', async () => {
    const clock = new TestClock();
    const large = 'ж'.repeat(1_000_000);
    const ids = Array.from({ length: 40 }, (_, i) => `m${i}`);
    const kit = await poolOf(
      0,
      ids,
      trackerOf(() => ({ value: large })),
      clock,
    );
    const { writer, outcomes } = writerOf([kit]);
    await kit.pass(20);
    await writer.flush();
    expect(await valuesOf()).toHaveLength(40);
    expect(outcomes.length).toBeGreaterThan(1);
    expect(kit.shift.hasResults).toBe(false);
  });

  test('OP-B1: a transaction takes 50,000 rows or 32 MiB at most', async () => {
    const kit = await poolOf(
      0,
      ['a'],
      trackerOf(() => ({ value: 1 })),
      new TestClock(),
    );
    const rooms: Room[] = [];
    const harvest = kit.shift.harvest.bind(kit.shift);
    kit.shift.harvest = (room: Room) => {
      rooms.push({ ...room });
      return harvest(room);
    };
    await kit.pass(20);
    const { writer } = writerOf([kit]);
    await writer.flush();
    expect(rooms).toEqual([{ rows: 50_000, bytes: 32 * 2 ** 20 }]);
    expect(await valuesOf()).toEqual(['a']);
  });
});
