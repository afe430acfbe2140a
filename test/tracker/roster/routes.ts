/** Part of `roster.test.ts`: ids that a definition's `route` puts together share a pool, and are found there. */
import { applyRoster } from '../../../activities/tracker/roster/apply';
import { declareOptions } from '../../../activities/tracker/roster/commands';
import { membersOf } from '../../../activities/tracker/store/members';
import { readTracker } from '../../../activities/tracker/store/trackers';
import type { Route, TrackerDefinition } from '../../../exports';
import { hashId } from '../../../workflows/lib/hash';
import { poolOf } from '../../../workflows/tracker/plan';
import { slotsOf } from '../../../workflows/tracker/slots';
import type { RosterChange } from '../../../workflows/tracker/contract';
import { wrongCounts } from '../../support/roster';
import { shiftOf, rowOf, log } from '../shift-kit';
import { stack, database, change, grow, listed, layout, look, names } from './database';

const byCorporation: Route = { name: 'by-corporation', of: (id) => id.split('/')[0] };
const routed = (route: Route | undefined = byCorporation): TrackerDefinition => ({ ...look, route });

/** Declares it, as the root's activity does. */
const declare = (route: Route | undefined) =>
  declareOptions(database, { tracker: 't', options: rowOf(route ? routed(route) : look).options });

const woken: number[] = [];
const warnings: object[] = [];
const apply = (changes: RosterChange[], { route = byCorporation, pool = 0 }: { route?: Route; pool?: number } = {}) =>
  applyRoster(
    database,
    { tracker: 't', pool, changes },
    {
      definitions: new Map([['t', routed(route)]]),
      wakePool: async (_tracker, number) => void woken.push(number),
      log: { warn: (fields: object) => void warnings.push(fields) } as never,
    },
  );
/** The pools that have any of these ids. */
async function poolsOf(ids: string[]): Promise<number[]> {
  const found: number[] = [];
  for (let pool = 0; pool < (await layout()); pool++)
    if ((await listed(pool)).some((id) => ids.includes(id))) found.push(pool);
  return found;
}
const corporation = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}/${i}`);

describe('a tracker with a route', () => {
  beforeEach(async () => {
    woken.length = 0;
    warnings.length = 0;
    await declare(byCorporation);
  });

  test('has all ids of one text in one pool, whoever brings them, and before and after splits', async () => {
    await grow(80);
    const all = names(0, 12).flatMap((name) => corporation(name, 5));
    for (const [at, id] of all.entries()) await apply(change([id]), { pool: at % 3 });
    const together = async () => {
      const pools = await Promise.all(names(0, 12).map((name) => poolsOf(corporation(name, 5))));
      expect(pools.map((found) => found.length)).toEqual(pools.map(() => 1));
      return new Set(pools.flat()).size;
    };
    expect(await together()).toBeGreaterThan(1);
    await grow(400);
    expect(await together()).toBeGreaterThan(3);
    await apply(change(all.slice(0, 30), 'remove'), { pool: 1 });
    expect((await Promise.all(Array.from({ length: await layout() }, (_, pool) => listed(pool)))).flat()).toHaveLength(
      30,
    );
    expect(await wrongCounts(stack)).toEqual([]);
  });

  test('has those of a shift leave it by their place after a split, and not by their own hash', async () => {
    await grow(10);
    await apply(change(corporation('a', 3)));
    const rows = await database.transaction((db) => membersOf(db, 't', slotsOf(0, 1)));
    const home = poolOf(hashId('a'), 16);
    for (let pool = 0; pool < 16; pool++) if (pool !== home) expect(holdsAfter(pool, rows)).toBe(0);
    expect(holdsAfter(home, rows)).toBe(3);
  });

  function holdsAfter(pool: number, rows: Parameters<ReturnType<typeof shiftOf>['shift']['loadAll']>[0]): number {
    const { shift } = shiftOf(look);
    shift.loadAll(rows, []);
    shift.dropOutside(slotsOf(pool, 16));
    return shift.members.size;
  }

  test('is written to by a worker that has its route only; nothing is lost meanwhile', async () => {
    const other: Route = { name: 'by-alliance', of: (id) => id };
    for (const route of [other, undefined]) {
      const applying = applyRoster(
        database,
        { tracker: 't', pool: 0, changes: change(['a/1']) },
        { definitions: new Map([['t', { route }]]), wakePool: async () => undefined, log },
      );
      await expect(applying).rejects.toMatchObject({ type: 'NotDefinedHere', nonRetryable: false });
    }
    expect(await listed(0)).toEqual([]);
    await apply(change(['a/1']));
    expect(await listed(0)).toEqual(['a/1']);
  });

  test('starts the workflows of pools that have members for the first time, and of those alone', async () => {
    await grow(80);
    const pools = await layout();
    const home = poolOf(hashId('a'), pools);
    const via = (home + 1) % pools;
    await apply(change(['a/1', 'a/2']), { pool: via });
    expect(woken.splice(0)).toEqual([home]);
    // The first time may have been lost: nobody has kept it yet.
    await apply(change(['a/3']), { pool: via });
    expect(woken.splice(0)).toEqual([home]);
    await stack.sql(`update longwatch.pool set node = 'n' where pool = $1`, [home]);
    await apply(change(['a/0']), { pool: via });
    expect(woken).toEqual([]);
    // Its workflow may have ended with the tracker, when it was empty.
    await apply(change(corporation('a', 4), 'remove'), { pool: via });
    await apply(change(['a/1']), { pool: via });
    expect(woken.splice(0)).toEqual([home]);
    const other = poolOf(hashId('b'), pools);
    await apply(change(['b/1']), { pool: other });
    await apply(change(['b/1'], 'remove'), { pool: (other + 1) % pools });
    expect(woken).toEqual([]);
  });

  test('tells the workflow that applies how full the fullest pool is that it wrote to', async () => {
    await grow(80);
    const home = poolOf(hashId('a'), await layout());
    const applied = await apply(change(corporation('a', 25)), { pool: home + 1 });
    expect(applied).toMatchObject({ poolMembers: 0, fullest: 25 });
  });

  test('keeps an id whose route fails by itself, beside all others of its batch, and says so once', async () => {
    const route: Route = {
      name: 'by-corporation',
      of: (id) => {
        if (id.startsWith('bad')) throw new Error('no such corporation');
        return id.startsWith('odd') ? (7 as never) : undefined;
      },
    };
    await apply(change(['bad1', 'good', 'odd']), { route });
    expect(await listed(0)).toEqual(['bad1', 'good', 'odd']);
    expect(warnings).toMatchObject([{ id: 'bad1', err: { message: 'no such corporation' } }]);
    const [row] = await stack.sql<{ hash: number }>(
      `select hash::float8 as hash from longwatch.member where id = 'odd'`,
    );
    expect(row!.hash).toBe(hashId('odd'));
  });

  test('has a member in one pool also where its route says something else each time', async () => {
    await grow(80);
    let calls = 0;
    const route: Route = { name: 'by-corporation', of: () => String(calls++) };
    await apply(change(['a']), { route });
    const [before] = await poolsOf(['a']);
    for (let i = 0; i < 5; i++) await apply(change(['a']), { route });
    expect(await poolsOf(['a'])).toEqual([before]);
    // Removed and added again, it may be elsewhere: the shift that had it loads its pool anew.
    while ((await poolsOf(['a']))[0] === before) {
      await apply(change(['a'], 'remove'), { route });
      await apply(change(['a']), { route });
    }
    expect(await isReloaded(before)).toBe(true);
    await apply(change(['a'], 'remove'), { route });
    expect(await poolsOf(['a'])).toEqual([]);
    expect(await wrongCounts(stack)).toEqual([]);
  });

  test('refuses another route while it has members, and takes it when it has none', async () => {
    await apply(change(['a/1']));
    const before = await database.transaction((db) => readTracker(db, 't'));
    const other: Route = { name: 'by-alliance', of: (id) => id };
    for (const route of [other, undefined])
      await expect(declare(route)).rejects.toMatchObject({
        type: 'BadOption',
        message: expect.stringContaining("placed by route 'by-corporation'") as string,
      });
    expect(await database.transaction((db) => readTracker(db, 't'))).toEqual(before);
    expect(await declare(byCorporation)).toMatchObject({ changed: false });
    await apply(change(['a/1'], 'remove'));
    expect(await declare(other)).toMatchObject({ changed: true });
    await apply(change(['a/1']), { route: other });
    const [row] = await stack.sql<{ hash: number }>(`select hash::float8 as hash from longwatch.member`);
    expect(row!.hash).toBe(hashId('a/1'));
  });

  test('refuses it while there is mail for somebody who is not there yet', async () => {
    await stack.sql(
      `insert into longwatch.mail (place, id, tracker, member, slot, sender, json, bytes, told_at)
       values (0, 1, 't', 'a/1', 0, 's', '1', 1, now())`,
    );
    await expect(declare(undefined)).rejects.toMatchObject({ type: 'BadOption' });
    await stack.sql(`truncate longwatch.mail`);
    expect(await declare(undefined)).toMatchObject({ changed: true });
  });

  test('a tracker that has none any more finds its members of then where they are', async () => {
    await grow(80);
    const pools = await layout();
    const home = poolOf(hashId('a'), pools);
    const id = corporation('a', 99).find((one) => poolOf(hashId(one), pools) !== home)!;
    await apply(change([id]));
    await apply(change([id], 'remove'));
    await declare(undefined);
    await applyRoster(database, { tracker: 't', pool: 0, changes: change([id]) });
    expect(await poolsOf([id])).toEqual([poolOf(hashId(id), pools)]);
    expect(await isReloaded(home)).toBe(true);
    expect(await wrongCounts(stack)).toEqual([]);
  });

  /** Whether its shift loads it whole at its next flush. */
  async function isReloaded(pool: number | undefined): Promise<boolean> {
    const rows = await stack.sql<{ whole: boolean }>(
      `select reload_version = roster_version as whole from longwatch.pool where pool = $1`,
      [pool],
    );
    return rows[0]!.whole;
  }
});

test('a tracker without a route refuses to have one while it has members', async () => {
  await applyRoster(database, { tracker: 't', pool: 0, changes: change(['a/1']) });
  await expect(declare(byCorporation)).rejects.toMatchObject({
    type: 'BadOption',
    message: expect.stringContaining('placed by themselves') as string,
  });
});
