/**
 * Lists of members on the real PostgreSQL: each row once, in order, whatever is removed or belongs to others, and no
 * more read for a page than its bound, of trackers that have twelve times as many members.
 */
import fc from 'fast-check';
import { InvalidCursorError, UnknownOperationError } from '../../client/errors';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import { hashId } from '../../workflows/lib/hash';
import { runCli } from '../support/cli';
import { writeTracker } from '../support/node-rows';
import { rowsReadBy } from '../support/rows-read';
import { eventually, Stack } from '../support/stack';
import { histories } from '../support/simulate';

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

const addIds = (tracker: string, ids: readonly string[]) =>
  sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select $1, id, hash, 1, 1 from unnest($2::text[], $3::bigint[]) as m (id, hash)`,
    [tracker, ids, ids.map(hashId)],
  );
const fail = (tracker: string, ids: readonly string[], error: string, operation = 'look') =>
  sql(
    `insert into longwatch.value (member, operation, failed_at, failures, error)
     select key, $4, now(), 2, $3 from longwatch.member where tracker = $1 and id = any($2)
     on conflict (member, operation) do update set failures = 2, error = $3`,
    [tracker, ids, error, operation],
  );
const things = () => longwatch.tracker('things');

/** All pages, one after the other. */
async function allOf<T>(
  ask: (after: string | undefined) => Promise<{ items: T[]; next: string | null }>,
): Promise<{ items: T[]; pages: number }> {
  const items: T[] = [];
  for (let after: string | undefined, pages = 1; ; pages++) {
    const page = await ask(after);
    items.push(...page.items);
    if (page.next === null) return { items, pages };
    after = page.next;
  }
}

describe('small trackers', () => {
  beforeEach(async () => {
    await sql('truncate longwatch.tracker cascade');
    await writeTracker(sql, 'things', 3);
    await writeTracker(sql, 'others', 1);
  });

  test('ids by their beginning, whatever characters they have', async () => {
    const id = fc.string({ unit: fc.constantFrom('a', 'A', '-', '_', '%', 'é', 'Z', '9', '\u{10ffff}', '漢', ' ') });
    const ids = fc.uniqueArray(
      id.filter((text) => text.trim() !== '' && text.length < 100),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(
        ids,
        fc.string({ unit: fc.constantFrom('a', 'A', '-', '%', 'é'), maxLength: 2 }),
        async (all, prefix) => {
          await sql('delete from longwatch.member');
          await addIds('things', all);
          await addIds('others', ['a', 'A%']);
          const { items } = await allOf((after) => things().members({ prefix, after, limit: 7 }));
          const bytes = (text: string): Buffer => Buffer.from(text);
          const expected = all.filter((one) => one.startsWith(prefix)).sort((a, b) => bytes(a).compare(bytes(b)));
          expect(items.map((member) => member.id)).toEqual(expected);
        },
      ),
      histories(40),
    );
  });

  test('a member with its node, its last run and what fails; removed ones are not there', async () => {
    await addIds('things', ['m1', 'm2', 'm3']);
    await fail('things', ['m1'], 'no');
    await sql(`update longwatch.member set removed_at = now() where id = 'm2'`);
    await sql(`update longwatch.pool set node = 'a'`);
    const { items, next } = await things().members();
    expect(items.map(({ id, failing, node }) => [id, failing, node])).toEqual([
      ['m1', ['look'], 'a'],
      ['m3', [], 'a'],
    ]);
    expect(items[0]!.lastRunAt).not.toBeNull();
    expect(items[1]!.lastRunAt).toBeNull();
    expect(next).toBeNull();
    for (const odd of ['\0', '\ud800', 'x'.repeat(10_000)]) {
      expect(await things().members({ prefix: odd })).toEqual({ items: [], next: null });
      expect(await things().members({ after: odd })).toEqual({ items: [], next: null });
    }
  });

  test('each failing operation of each member once, and none of another tracker', async () => {
    await sql(
      `update longwatch.tracker set options = jsonb_set(options, '{operations,check}', options #> '{operations,look}')`,
    );
    const ids = Array.from({ length: 30 }, (_, i) => `m${i}`);
    await addIds('things', ids);
    await addIds('others', ids);
    await fail('things', ids.slice(0, 11), 'no 1');
    await fail('things', ids.slice(5, 16), 'no 22', 'check');
    await fail('others', ids, 'other');
    await sql(`update longwatch.value set failures = 0 where error = 'no 1' and member in (
                 select key from longwatch.member where id = 'm0' and tracker = 'things')`);
    const { items } = await allOf((after) => things().failing({ after, limit: 4 }));
    expect(items.map(({ operation, id }) => `${operation} ${id}`)).toEqual([
      ...ids.slice(5, 16).map((id) => `check ${id}`),
      ...ids.slice(1, 11).map((id) => `look ${id}`),
    ]);
    expect((await things().failing({ operation: 'check', limit: 1_000 })).items).toHaveLength(11);
    expect(await things().errors()).toMatchObject({
      groups: [
        { operation: 'check', text: 'no #', members: 11, example: { error: 'no 22' } },
        { operation: 'look', text: 'no #', members: 10, example: { error: 'no 1' } },
      ],
      looked: 21,
      complete: true,
    });
  });

  test('what cannot be asked for', async () => {
    await expect(things().failing({ operation: 'lok' })).rejects.toThrow(UnknownOperationError);
    await expect(things().failing({ after: 'rubbish' })).rejects.toThrow(InvalidCursorError);
    const other = Buffer.from('["look", "1"]').toString('base64url');
    await expect(things().failing({ after: other })).rejects.toThrow(InvalidCursorError);
    await expect(longwatch.tracker('thngs').members()).rejects.toThrow(/did you mean 'things'/);
  });
});

/** The most rows that a part of any statement of a call has read. */
const readBy = (call: (handle: TrackerHandle) => Promise<unknown>, handle = things()): Promise<number> =>
  rowsReadBy(sql, handle, () => call(handle));

describe('many more members than a page may read', () => {
  const MANY = 300_000;
  /** Index rows that one page may look through; the plan tells averages a loop, rounded up. */
  const BOUND = 12_000;

  beforeAll(async () => {
    await sql('truncate longwatch.tracker cascade');
    await writeTracker(sql, 'others', 200);
    await writeTracker(sql, 'things', 200);
    const [{ slots }] = (await sql(`select pg_get_indexdef('longwatch.member_by_slot'::regclass) as slots`)) as [
      { slots: string },
    ];
    // As one statement, and so one transaction: an index is built at once, and no row looks for the one that it is of.
    await sql(
      `set local session_replication_role = replica;
       drop index longwatch.member_by_slot;
       insert into longwatch.member (tracker, id, hash, stamp, roster_version, removed_at)
       select case when i % 2 = 0 then 'things' else 'others' end, 'm' || lpad(i::text, 7, '0'),
              ('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint, i, 1,
              case when i % 2 = 1 and i < ${0.9 * MANY} then now() end from generate_series(1, ${MANY}) i;
       insert into longwatch.value (member, operation, value, fetched_at, failed_at, failures, error)
       select key, 'look', '1', now(), now(), (tracker = 'others' or stamp % 10 = 0)::int, 'no ' || key from longwatch.member;
       ${slots}`,
    );
    await sql('vacuum analyze longwatch.member, longwatch.value');
  });

  test('a page of ids reads its bound at most, from any place and with any beginning', async () => {
    expect(await readBy((list) => list.members())).toBeLessThanOrEqual(BOUND);
    expect(await readBy((list) => list.members({ after: 'm0270000' }))).toBeLessThanOrEqual(BOUND);
    expect(await readBy((list) => list.members({ prefix: 'm02' }))).toBeLessThanOrEqual(BOUND);
    expect(await readBy((list) => list.members({ prefix: 'none' }))).toBeLessThanOrEqual(BOUND);
    expect((await things().members({ prefix: 'm02', limit: 2 })).items.map(({ id }) => id)).toEqual([
      'm0200000',
      'm0200002',
    ]);
  });

  test('a page of failing members too, where all of another tracker fail', async () => {
    expect(await readBy((list) => list.failing())).toBeLessThanOrEqual(BOUND);
    const { items, pages } = await allOf((after) => things().failing({ after, limit: 1_000 }));
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
    const [failing] = await sql(
      `select count(*)::int as n from longwatch.value v join longwatch.member m on m.key = v.member
       where m.tracker = 'things' and v.failures > 0`,
    );
    expect(failing!.n).toBe(MANY / 10);
    expect(items).toHaveLength(MANY / 10);
    expect(pages).toBeGreaterThan(20);
    expect(await readBy((list) => list.errors())).toBeLessThanOrEqual(BOUND);
    expect(await things().errors()).toMatchObject({ groups: [{ text: 'no #' }], complete: false });
  });

  test('removed members are passed over, a bound at a time', async () => {
    const others = longwatch.tracker('others');
    expect(await readBy((list) => list.members(), others)).toBeLessThanOrEqual(BOUND);
    const { items } = await allOf((after) => others.members({ after, limit: 1_000 }));
    expect(items).toHaveLength(15_000);
  });
});

test('the index of failing members leaves updates of others HOT', async () => {
  await sql('truncate longwatch.tracker cascade');
  await writeTracker(sql, 'things', 1);
  await addIds(
    'things',
    Array.from({ length: 1_000 }, (_, i) => `m${i}`),
  );
  await sql(`insert into longwatch.value (member, operation, value, fetched_at)
             select key, 'look', '1', now() from longwatch.member`);
  await sql('vacuum longwatch.value');
  const updates = async () => {
    await sql('select pg_stat_force_next_flush()');
    const [row] = await sql(
      `select n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables
       where schemaname = 'longwatch' and relname = 'value'`,
    );
    return row as { all: number; hot: number };
  };
  const before = await updates();
  await sql(`update longwatch.value set value = '2', fetched_at = now(), failures = 0, error = null`);
  // Its session tells of what it did when it is asked, so the same one may have to be met.
  const good = await eventually('the counts of a thousand updates', async () => {
    const now = await updates();
    return now.all - before.all === 1_000 && now;
  });
  expect(good.hot - before.hot).toBe(1_000);
});

describe('on the command line', () => {
  const run = (...args: string[]) => runCli(stack, ...args);
  beforeAll(async () => {
    await sql('truncate longwatch.tracker cascade');
    await writeTracker(sql, 'things', 1);
    await addIds('things', ['a1', 'a2', 'b\u001b[31m']);
    await fail('things', ['a1', 'a2', 'b\u001b[31m'], 'no 7\u001b[2J');
  });

  test('members by prefix, failing ones, errors; no escape of data reaches the terminal', async () => {
    const page = await run('members', 'things', '--prefix', 'a', '--limit', '1');
    expect(page).toMatchObject({ status: 0, out: expect.stringMatching(/^id .*\na1 .*look/) as string });
    expect(page.err).toContain("--after 'a1'");
    const failing = await run('members', 'things', '--failing', '--operation', 'look');
    expect(failing.out.split('\n')).toHaveLength(5);
    expect(failing.out).not.toContain('\u001b');
    expect((await run('errors', 'things')).out).toMatch(/3 +look +no #/);
    expect(JSON.parse((await run('members', 'things', '--failing', '--json')).out)).toMatchObject({ next: null });
    expect((await run('members', 'things', '--oldest')).out).toMatch(/^none/);
    expect((await run('members', 'things', '--prefix', 'zz')).out).toBe('none\n');
  });

  test('when a member runs next, and why not sooner', async () => {
    await sql(`update longwatch.tracker set state = 'paused'`);
    const { out, status } = await run('show', 'things', 'a1', '--next');
    expect(status).toBe(0);
    expect(out).toMatch(/look +nobody knows +the tracker is paused\n/);
    expect(out).toMatch(/no node has taken its pool yet/);
    expect((await run('show', 'things', 'nobody', '--next')).status).toBe(1);
    // `show` says the same of it: no time at which it would run.
    const shown = await run('show', 'things', 'a1');
    expect(shown.out).toMatch(/^a1: pool \d+, .*, of a tracker that is paused, tracked since /);
    expect(shown.out).toMatch(/^look +\S.* - +- +failed: no 7/m);
    await sql(`update longwatch.tracker set state = 'stopped'`);
    expect((await run('show', 'things', 'a1')).out).toMatch(
      /^a1: pool \d+, of a tracker that is stopped, tracked since /,
    );
    await sql(`update longwatch.tracker set state = 'running'`);
  });

  test.each([
    [['members', 'things', '--failing', '--oldest']],
    [['members', 'things', '--operation', 'look']],
    [['members', 'things', '--failing', '--operation', 'lok']],
    [['members', 'things', '--failing', '--after', 'x']],
    [['errors', 'thngs']],
  ])('%j is used wrongly', async (args) => {
    const { status, err, out } = await run(...args);
    expect([status, out]).toEqual([2, '']);
    expect(err.split('\n').length).toBeLessThanOrEqual(3);
  });
});
