/**
 * How old values are: counts by age and the oldest members, from what a shift knows; told a part of the pools a time,
 * by who has the pool's fence, and read by people whatever happened since.
 */
import fc from 'fast-check';
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { AgeTeller } from '../../activities/tracker/shift/age-teller';
import { agesOf, OLDEST } from '../../activities/tracker/shift/ages';
import { bucketOf, LATE_BOUNDS_MS } from '../../activities/tracker/shift/lateness';
import type { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { writeAges, type AgeRow } from '../../activities/tracker/store/ages';
import type { Longwatch } from '../../client/longwatch';
import { hashId } from '../../workflows/lib/hash';
import { writeTracker } from '../support/node-rows';
import { histories } from '../support/simulate';
import { Stack } from '../support/stack';
import { freshness, log, looking, member, shiftOf, T0 } from './shift-kit';

describe('from what a shift knows', () => {
  const NOW = 1_000_000_000;
  const known = fc.record({
    fetched: fc.option(fc.nat(200_000), { nil: undefined }),
    added: fc.nat(200_000),
    lifetime: fc.integer({ min: 1, max: 500_000 }),
  });

  test('all members are counted by their ages, and no older one is missing among the oldest', () => {
    fc.assert(
      fc.property(fc.array(known, { maxLength: 80 }), (members) => {
        const ages = agesOf(
          {
            forEach: (visit) => members.forEach((_, slot) => visit(slot)),
            addedAt: (slot) => NOW - members[slot]!.added,
            fetchedAt: (slot) => (members[slot]!.fetched === undefined ? undefined : NOW - members[slot]!.fetched),
            lifetime: (slot) => members[slot]!.lifetime,
          },
          NOW,
        );
        const exact = members.map(({ fetched, added }) => fetched ?? added);
        const sorted = [...exact].sort((a, b) => b - a);
        expect(ages.members).toBe(members.length);
        expect(ages.never).toBe(members.filter(({ fetched }) => fetched === undefined).length);
        const counts = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
        for (const age of exact) counts[bucketOf(age)]!++;
        expect(counts.map((_, i) => ages.buckets[i] ?? 0)).toEqual(counts);
        expect(ages.oldest.map(({ since }) => NOW - since)).toEqual(sorted.slice(0, OLDEST));
        for (const { slot, since, never } of ages.oldest) {
          expect(NOW - since).toBe(exact[slot]);
          expect(never).toBe(members[slot]!.fetched === undefined);
        }
        expect(ages.maxMs).toBe(sorted[0] ?? null);
        const overdue = members.map(({ lifetime }, slot) => exact[slot]! / lifetime);
        expect(ages.lifetimes).toBe(members.length === 0 ? null : Math.max(...overdue));
        if (members.length === 0) return expect(ages.p95Ms).toBeNull();
        const p95 = sorted[members.length - Math.ceil(0.95 * members.length)]!;
        expect(ages.p95Ms!).toBeGreaterThanOrEqual(p95);
        expect(ages.p95Ms!).toBeLessThanOrEqual(Math.max(1, p95 * 1.2 + 0.2));
        expect(ages.p50Ms!).toBeLessThanOrEqual(ages.p95Ms!);
        expect(ages.p95Ms!).toBeLessThanOrEqual(ages.maxMs!);
      }),
      histories(300),
    );
  });

  test('a clock that was put back makes no age negative', () => {
    const ages = agesOf(
      { forEach: (visit) => visit(0), addedAt: () => NOW, fetchedAt: () => NOW + 5_000, lifetime: () => 1_000 },
      NOW,
    );
    expect(ages).toMatchObject({ p50Ms: 0, p95Ms: 0, maxMs: 0, lifetimes: 0, buckets: [1] });
  });
});

describe('on the real PostgreSQL', () => {
  let stack: Stack;
  let longwatch: Longwatch;
  let database: Database;
  const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

  beforeAll(async () => {
    stack = await Stack.start();
    longwatch = await stack.connect();
    database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  });
  afterAll(async () => {
    await database.close();
    await stack.close();
  });
  beforeEach(() => sql('truncate longwatch.tracker cascade'));

  const add = async (ids: readonly string[]): Promise<number[]> => {
    const rows = await sql(
      `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
       select 't', id, hash, 1, 1 from unnest($1::text[], $2::bigint[]) as m (id, hash) returning key::int`,
      [ids, ids.map(hashId)],
    );
    return rows.map(({ key }) => key as number);
  };
  const told = (over: Partial<AgeRow>): AgeRow => ({
    ...{ tracker: 't', pool: 0, token: 0, operation: 'look', members: 3, never: 1 },
    ...{ p50Ms: 10, p95Ms: 20, maxMs: 30, lifetimes: 2.5, buckets: [1, 2], oldest: [] },
    ...over,
  });

  test('who has no fence any more tells nothing', async () => {
    await writeTracker(sql, 't', 2);
    await sql(`update longwatch.pool set token = 7, node = 'a'`);
    await database.transaction((db) => writeAges(db, [told({ token: 6 }), told({ pool: 1, token: 7 })]));
    const { cells, pools, operations } = await longwatch.tracker('t').freshness();
    expect(cells).toHaveLength(1);
    expect(cells[0]).toMatchObject({
      pool: 1,
      node: 'a',
      operation: 'look',
      members: 3,
      never: 1,
      p95Ms: 20,
      maxMs: 30,
      lifetimes: 2.5,
    });
    expect(cells[0]!.toldMs).toBeLessThan(60_000);
    expect({ pools, operations }).toEqual({ pools: 2, operations: [{ name: 'look', everyMs: 1_000, enabled: true }] });
    await database.transaction((db) => writeAges(db, [told({ pool: 1, token: 7, members: 4 })]));
    expect((await longwatch.tracker('t').freshness()).cells).toMatchObject([{ members: 4 }]);
  });

  test('the oldest of all pools, by what is stored now; one that was removed is not shown', async () => {
    await writeTracker(sql, 't', 2);
    const [never, old, removed, fetched] = await add(['never', 'old', 'removed', 'fetched']);
    await sql(`update longwatch.member set added_at = now() - interval '1 hour'`);
    await sql(`update longwatch.member set removed_at = now() where id = 'removed'`);
    await sql(
      `insert into longwatch.value (member, operation, fetched_at, failures, error)
       values ($1, 'look', now() - interval '2 hours', 3, 'no'), ($2, 'look', now(), 0, null)`,
      [old, fetched],
    );
    const ago = (key: number | undefined, hours: number, isNever = false) => ({
      ...{ key: key!, since: Date.now() - hours * 3_600_000, never: isNever },
    });
    await database.transaction((db) =>
      writeAges(db, [
        told({ oldest: [ago(fetched, 5), ago(never, 1, true)] }),
        told({ pool: 1, oldest: [ago(removed, 4), ago(old, 2)] }),
        told({ pool: 1, operation: 'gone', oldest: [ago(old, 9)] }),
      ]),
    );
    const oldest = await longwatch.tracker('t').oldest();
    expect(oldest.map(({ id, failures, error }) => [id, failures, error])).toEqual([
      ['old', 3, 'no'],
      ['never', 0, null],
      ['fetched', 0, null],
    ]);
    expect(oldest[1]).toMatchObject({ fetchedAt: null, operation: 'look' });
    expect(oldest[0]!.ageMs).toBeGreaterThanOrEqual(7_200_000);
    expect(await longwatch.tracker('t').oldest({ limit: 1 })).toHaveLength(1);
    await expect(longwatch.tracker('t').oldest({ operation: 'lok' })).rejects.toThrow(/look/);
  });

  test('a member that has changed its pool is shown once, though both pools have told of it', async () => {
    await writeTracker(sql, 't', 2);
    const [one, two] = await add(['one', 'two']);
    await sql(`update longwatch.member set added_at = now() - interval '1 hour'`);
    const since = Date.now() - 3_600_000;
    const oldest = [one, two].map((key) => ({ key: key!, since, never: true }));
    await database.transaction((db) => writeAges(db, [told({ oldest }), told({ pool: 1, oldest })]));
    expect((await longwatch.tracker('t').oldest()).map(({ id }) => id).sort()).toEqual(['one', 'two']);
    await sql('update longwatch.tracker set pools = 1');
    expect(await longwatch.tracker('t').oldest()).toHaveLength(2);
  });

  test('a node tells of a part of its pools each second, and of each again when it is its turn', async () => {
    const POOLS = 25;
    await writeTracker(sql, 't', POOLS);
    await sql('update longwatch.pool set token = 1');
    const definition = looking(() => ({ value: 1 }));
    const first = shiftOf(definition);
    const kits = [
      first,
      ...Array.from({ length: POOLS - 1 }, (_, i) => shiftOf(definition, { pool: i + 1, beside: first })),
    ];
    const keys = await add(kits.map((_, pool) => `m${pool}`));
    kits.forEach(({ shift }, pool) => {
      const row = member(`m${pool}`, { key: keys[pool]!, addedAt: T0 });
      shift.loadAll([row], [freshness(row, { fetchedAt: T0 - 1_000 * pool })]);
    });
    const shifts = new Set<PoolShift>(kits.map(({ shift }) => shift));
    const teller = new AgeTeller(database, { shifts, clock: first.clock, log });
    const cells = async () => (await longwatch.tracker('t').freshness()).cells;
    // A tenth of 25, and the rest: each pool has its turn within ten seconds.
    for (let second = 0; second < 9; second++) {
      await teller.look();
      expect(await cells()).toHaveLength(Math.min(POOLS, 3 * (second + 1)));
      first.clock.time += 1_000;
    }
    expect((await cells()).map(({ pool, members }) => [pool, members])).toEqual(kits.map((_, pool) => [pool, 1]));
    const before = await sql('select pool, told_at from longwatch.pool_age order by pool');
    await teller.look();
    expect(await sql('select pool, told_at from longwatch.pool_age order by pool')).toEqual(before);
    first.clock.time += 1_000;
    await teller.look();
    const after = await sql('select pool, told_at from longwatch.pool_age order by pool');
    expect(after.filter((row, i) => String(row.told_at) !== String(before[i]!.told_at)).length).toBeLessThanOrEqual(3);
    expect((await longwatch.tracker('t').oldest({ limit: 3 })).map(({ id }) => id).length).toBe(3);
  });

  test('a value whose answer is good for an hour is not overdue after half of it; one that only has its interval is', async () => {
    await writeTracker(sql, 't', 1);
    await sql('update longwatch.pool set token = 1');
    const HALF = 1_800_000;
    const kit = shiftOf(looking(() => ({ value: 1 })));
    const keys = await add(['good', 'never']);
    const [good, never] = [member('good', { key: keys[0]!, addedAt: T0 - HALF }), member('never', { key: keys[1]!, addedAt: T0 - 4_000 })]; // prettier-ignore
    kit.shift.loadAll([good, never], [freshness(good, { fetchedAt: T0 - HALF, expiresAt: T0 + HALF })]);
    const told = async () => {
      await new AgeTeller(database, { shifts: new Set([kit.shift]), clock: kit.clock, log }).look();
      return (await longwatch.tracker('t').freshness()).cells[0];
    };
    // The oldest is not the most overdue one.
    expect(await told()).toMatchObject({ maxMs: HALF, lifetimes: 4, never: 1 });
    kit.clock.time += 2 * HALF;
    // Its answer was good until half an hour ago: an age of one hour and a half against one hour.
    expect(await told()).toMatchObject({ maxMs: 3 * HALF, lifetimes: (4_000 + 2 * HALF) / 1_000 });
    kit.host.holds.hold('t', 'look', kit.clock.time + 10 * HALF);
    expect(await told()).toMatchObject({ maxMs: 3 * HALF, lifetimes: 0.3 });
  });

  test('a database that does not take it costs nothing but a word in the log', async () => {
    await writeTracker(sql, 't', 1);
    const { shift, clock } = shiftOf(looking(() => ({ value: 1 })));
    shift.loadAll([member('m')], []);
    const broken = { transaction: () => Promise.reject(new Error('away')) } as unknown as Database;
    const warned: unknown[] = [];
    const listening = { ...log, warn: (...said: unknown[]) => warned.push(said) } as unknown as typeof log;
    const teller = new AgeTeller(broken, { shifts: new Set([shift]), clock, log: listening });
    await teller.look();
    clock.time += 20_000;
    await teller.look();
    expect(warned).toHaveLength(1);
  });
});
