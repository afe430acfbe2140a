/**
 * `count`, `where` and `alive` on the real PostgreSQL: right in each state, one answer of one moment while nodes move
 * and pools are split, and cheap at any number of members.
 */
import type { Longwatch } from '../../client/longwatch';
import { NotTrackedError, UnknownTrackerError } from '../../client/errors';
import { runCli } from '../support/cli';
import { keep, writeNode, writeTracker } from '../support/node-rows';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

/** Members m1, m2, …, each with a hash of its own. */
const addMembers = (tracker: string, from: number, to: number) =>
  sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select $1, 'm' || i, ('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint, i, 1 from generate_series($2::int, $3::int) i`,
    [tracker, from, to],
  );

describe('each state', () => {
  const things = () => longwatch.tracker('things');
  beforeEach(async () => {
    await sql('truncate longwatch.tracker cascade');
    await sql('truncate longwatch.node');
    await writeTracker(sql, 'things', 1, 2);
    await addMembers('things', 1, 2);
  });

  test('never kept, kept, between shifts, gone, ended, quarantined, stopped', async () => {
    const state = async () => {
      const [place, alive] = [await things().where('m1'), await things().alive('m1')];
      expect(alive).toMatchObject(place);
      expect(alive.alive).toBe(place.state === 'kept');
      const { membersKept, poolsKept, members } = await things().count();
      expect(members).toBe(2);
      expect([membersKept, poolsKept]).toEqual(place.state === 'kept' ? [2, 1] : [0, 0]);
      return `${place.state} ${place.node}`;
    };
    expect(await state()).toBe('never kept null');
    await keep(sql, { name: 'a' }, 'things', [0], 2);
    expect(await state()).toBe('kept a');
    await sql(`update longwatch.pool set released_at = clock_timestamp()`);
    expect(await state()).toBe('between shifts a');
    // Five seconds after it was seen it is gone.
    const silent = await eventually('it is read within a second', async () => {
      const began = performance.now();
      await keep(sql, { name: 'b', silentMs: 4_000 }, 'things', [0], 2);
      const read = await state().catch((error: unknown) => error);
      return performance.now() - began < 1_000 && read;
    });
    expect(silent).toBe('kept b');
    await writeNode(sql, { name: 'b', silentMs: 5_500 });
    expect(await state()).toBe('node gone b');
    expect((await things().alive('m1')).silentMs).toBeGreaterThanOrEqual(5_500);
    await writeNode(sql, { name: 'b', ended: true });
    expect(await state()).toBe('node gone b');
    await sql(`delete from longwatch.node where name = 'b'`);
    expect(await state()).toBe('node gone b');
    await writeNode(sql, { name: 'b' });
    await sql(`update longwatch.pool set quarantined_at = now()`);
    expect(await state()).toBe('quarantined b');
    await sql(`update longwatch.pool set quarantined_at = null`);
    await sql(`update longwatch.tracker set state = 'stopped'`);
    expect(await state()).toBe('stopped b');
  });

  test('the last sign of an id is its last run that was stored, good or bad', async () => {
    await keep(sql, { name: 'a' }, 'things', [0], 2);
    expect(await things().alive('m1')).toMatchObject({ alive: true, lastRunAt: null, lastRunMs: null });
    await sql(
      `insert into longwatch.value (member, operation, fetched_at, failed_at)
       select key, 'look', clock_timestamp() - interval '1 hour', clock_timestamp() - interval '2 s'
       from longwatch.member where id = 'm1' union all
       select key, 'check', clock_timestamp() - interval '1 minute', null from longwatch.member where id = 'm1'`,
    );
    const { lastRunMs } = await things().alive('m1');
    expect(lastRunMs).toBeGreaterThanOrEqual(2_000);
    expect(lastRunMs).toBeLessThan(30_000);
    expect(await things().alive('m2')).toMatchObject({ lastRunAt: null });
  });

  test('what is not tracked, was removed, cannot be an id, or is of no tracker', async () => {
    await sql(`update longwatch.member set removed_at = now() where id = 'm2'`);
    for (const id of ['m2', 'nobody', '', '\0', '\ud800', `'; drop`]) {
      await expect(things().where(id)).rejects.toThrow(NotTrackedError);
      await expect(things().alive(id)).rejects.toThrow(NotTrackedError);
    }
    const thing = longwatch.tracker('thing');
    await expect(thing.where('m1')).rejects.toThrow(UnknownTrackerError);
    await expect(thing.alive('m1')).rejects.toThrow("there is no tracker 'thing'; did you mean 'things'?");
    await expect(thing.count()).rejects.toThrow(UnknownTrackerError);
  });

  test('the command line: 0 alive, 1 not alive or not tracked, 2 asked wrongly', async () => {
    // It is heard of for as long as the test runs.
    await keep(sql, { name: 'worker-1', silentMs: -3_600_000 }, 'things', [0], 2);
    const run = (...args: string[]) => runCli(stack, ...args);
    expect(await run('where', 'things', 'm1')).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^m1: pool 0, kept by worker-1 for [\d.]+ (ms|s)\n$/) as string,
    });
    expect(await run('alive', 'things', 'm1')).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^m1 is alive: pool 0, kept by worker-1 for .*; it was not asked yet\n$/) as string,
    });
    expect((await run('count')).out).toMatch(
      /^tracker +state +ids +kept now +pools +kept now\nthings +running +2 +2 +1 +1\n$/,
    );
    expect(JSON.parse((await run('count', 'things', '--json')).out)).toMatchObject({ members: 2, membersKept: 2 });
    await writeNode(sql, { name: 'worker-1', silentMs: 60_000 });
    expect(await run('alive', 'things', 'm1')).toMatchObject({
      status: 1,
      out: expect.stringMatching(/^m1 is not alive: pool 0 of worker-1, which is not heard of any more/) as string,
      err: 'no live node keeps it: npx longwatch nodes\n',
    });
    expect(JSON.parse((await run('alive', 'things', 'm1', '--json')).out)).toMatchObject({ alive: false });
    await sql(`update longwatch.tracker set state = 'stopped' where name = 'things'`);
    expect((await run('alive', 'things', 'm1')).err).toBe('no live node keeps it: npx longwatch start things\n');
    await sql(`update longwatch.tracker set state = 'running' where name = 'things'`);
    expect((await run('where', 'things', 'nobody')).status).toBe(1);
    expect((await run('where', 'thing', 'm1')).status).toBe(2);
    expect((await run('count', 'thing')).status).toBe(2);
    expect((await run('alive', 'things')).status).toBe(2);
  });
});

test('while pools are split and handed on, each id has one answer, and it is of one moment', async () => {
  await sql('truncate longwatch.tracker cascade');
  await writeTracker(sql, 'moving', 1, 0);
  await addMembers('moving', 1, 50);
  for (const name of ['a', 'b']) await writeNode(sql, { name });
  // Each step is one transaction: all pools are of one node, and a split gives the new pool the same node.
  let asked = 0;
  let over = false;
  const move = async () => {
    for (let step = 0; asked < 20; step++) {
      const node = step % 2 === 0 ? 'a' : 'b';
      await sql(
        `with grown as (update longwatch.tracker set pools = pools + 1, options = jsonb_build_object('node', $1::text)
                        where name = 'moving' returning pools),
              moved as (update longwatch.pool set node = $1, shift = $2, released_at = null where tracker = 'moving')
         insert into longwatch.pool (tracker, pool, node, shift) select 'moving', pools - 1, $1, $2 from grown`,
        [node, step],
      );
    }
    over = true;
  };
  const moving = move();
  const nodes = new Set<string | null>();
  while (!over) {
    const rows = await sql(
      `select p.*, t.pools, t.options ->> 'node' as wanted, longwatch.pool_of(m.hash, t.pools) as right
       from longwatch.member_place p join longwatch.tracker t on t.name = p.tracker
       join longwatch.member m on m.tracker = p.tracker and m.id = p.id where p.tracker = 'moving'`,
    );
    expect(new Set(rows.map(({ id }) => id)).size).toBe(50);
    expect(rows).toHaveLength(50);
    for (const row of rows.filter(({ wanted }) => wanted !== null)) {
      expect([row.pool, row.node, row.state]).toEqual([row.right, row.wanted, 'kept']);
    }
    nodes.add((await longwatch.tracker('moving').where('m7')).node);
    asked++;
  }
  await moving;
  expect([...nodes]).toEqual(expect.arrayContaining(['a', 'b']));
});

describe('at 200,000 members of 200 pools', () => {
  interface Plan {
    'Actual Rows': number;
    'Actual Loops': number;
    'Rows Removed by Filter'?: number;
    'Rows Removed by Join Filter'?: number;
    Plans?: Plan[];
  }
  function rowsTouched(plan: Plan): number {
    const removed = (plan['Rows Removed by Filter'] ?? 0) + (plan['Rows Removed by Join Filter'] ?? 0);
    return Math.max((plan['Actual Rows'] + removed) * plan['Actual Loops'], ...(plan.Plans ?? []).map(rowsTouched));
  }
  const touched = async (text: string, values: unknown[]) => {
    const [row] = await stack.sql<{ 'QUERY PLAN': { Plan: Plan }[] }>(`explain (analyze, format json) ${text}`, values);
    return rowsTouched(row!['QUERY PLAN'][0]!.Plan);
  };
  const PLACE = 'select * from longwatch.member_place where tracker = $1 and id = $2';
  const COUNT = 'select * from longwatch.tracker_count where tracker = $1';

  beforeAll(async () => {
    await sql('truncate longwatch.tracker cascade');
    await sql('truncate longwatch.node');
    await writeTracker(sql, 'large', 200, 1_000);
    await writeNode(sql, { name: 'a' });
    await sql(`update longwatch.pool set node = 'a'`);
    await sql('alter table longwatch.member set (autovacuum_enabled = false)');
    await addMembers('large', 1, 200_000);
  });

  test.each(['where there are no statistics yet', 'with statistics'])('%s', async (when) => {
    if (when === 'with statistics') await sql('analyze longwatch.member, longwatch.pool, longwatch.node');
    await writeNode(sql, { name: 'a' });
    expect(await touched(PLACE, ['large', 'm77777'])).toBeLessThanOrEqual(2);
    expect(await touched(COUNT, ['large'])).toBeLessThanOrEqual(200);
    expect(await longwatch.tracker('large').count()).toMatchObject({ members: 200_000, membersKept: 200_000 });
    expect((await longwatch.tracker('large').where('m77777')).node).toBe('a');
  });
});
