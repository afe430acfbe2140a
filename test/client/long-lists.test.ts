/**
 * Long lists in pages, on the real PostgreSQL with 100,000 of each, and as many of others in the same table: each item
 * once and all of them, whatever is written meanwhile; a page reads no more than its bound, wherever it begins; and
 * what is not a cursor of that list is refused.
 */
import { InvalidCursorError } from '../../client/errors';
import type { Longwatch } from '../../client/longwatch';
import { cursorOf, type Page, type PageOptions } from '../../client/page';
import { runCli } from '../support/cli';
import { writeTracker } from '../support/node-rows';
import { rowsReadBy } from '../support/rows-read';
import { Stack } from '../support/stack';

const MANY = 100_000;
/** Rows that a page of a hundred may go through in any part of its plan. */
const BOUND = 1_000;
/** As many as a page of the audit looks through for a subject. */
const LOOKED = 10_000;

let stack: Stack;
let longwatch: Longwatch;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

interface Listed {
  ask: (page: PageOptions) => Promise<Page<unknown>>;
  /** Names an item. */
  key: (item: never) => string;
  /** Rows that come while it is read, also before and behind the page. */
  write: string;
  bound?: number;
  /** Cursors of the same form that are not of this list. */
  foreign?: unknown[];
}

const LISTS: Record<string, Listed> = {
  pools: {
    ask: (page) => longwatch.tracker('things').poolsPage(page),
    key: ({ pool }: { pool: number }) => String(pool),
    write: `update longwatch.tracker set pools = pools + 1 where name = 'things'`,
    foreign: [-1, 1.5, 1e12, '7'],
  },
  ticks: {
    ask: (page) => longwatch.job('stamina').historyPage(page),
    key: ({ due }: { due: string }) => due,
    write: `insert into longwatch.tick (job, due, elapsed, ended_at)
            select 'stamina', now() + random() * interval '1 hour', 1, now()`,
    foreign: ['now', 1e300, 1.5],
  },
  'failed rows': {
    ask: (page) => longwatch.job('stamina').failedRowsPage(page),
    key: ({ key }: { key: string[] }) => key.join(','),
    write: `insert into longwatch.failed_row (job, key, due, error)
            select 'stamina', array['new ' || random()], now(), 'no'`,
    foreign: [[1, 'a', '0'], [1, '9999999999999999999', '0'], [1, '0'], 7],
  },
  leases: {
    ask: (page) => longwatch.durable.leasesPage(page),
    key: ({ task }: { task: string }) => task,
    // Leases are renewed all the time.
    write: `update longwatch.task set lease_expires_at = clock_timestamp() + interval '1 minute' where state = 'leased'`,
    foreign: [7, 'a\0b', '\ud800'],
  },
  keys: {
    ask: (page) => longwatch.durable.keysPage('pay', page),
    key: ({ key }: { key: string }) => key,
    write: `insert into longwatch.idempotency (activity, key_hash, key, task)
            select 'pay', sha256(k::text::bytea), 'new ' || k, 'none' from random() k`,
    foreign: ['xy', 'abc', '', 7],
  },
  compensations: {
    ask: (page) => longwatch.durable.brokenCompensationsPage(page),
    key: ({ task }: { task: string }) => task,
    // Some of those that were listed are tried again meanwhile.
    write: `with again as (
              update longwatch.task set state = 'waiting', note = 'retried by hand', changed_at = clock_timestamp()
              where task in ('failed/1', 'failed/2') and kind = 'compensation'),
            new as (
              insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, saga, target, key_hash)
              select 'new/' || random(), 'undo', 'compensation', 'w', 'r', 'failed', 'w', 't', sha256(random()::text::bytea)
              returning task, activity, key_hash)
            insert into longwatch.idempotency (activity, key_hash, key, task) select activity, key_hash, task, task from new`,
    foreign: [7, [1, 'a'], 'a\0'],
  },
  audit: {
    ask: (page) => longwatch.auditPage(page),
    key: ({ number }: { number: string }) => number,
    write: `insert into longwatch.audit (actor, via, what, subject) values ('a', 'cli', 'pause', 'tracker/new')`,
    foreign: [7, 'x', '9223372036854775808'],
  },
  'audit of a subject that is rare': {
    ask: (page) => longwatch.auditPage({ subject: 'rare', ...page }),
    key: ({ number }: { number: string }) => number,
    write: `insert into longwatch.audit (actor, via, what, subject) values ('a', 'cli', 'pause', 'tracker/new')`,
    bound: LOOKED,
  },
  'dead letters of members': {
    ask: (page) => longwatch.tracker('things').dead.page(page),
    key: ({ id }: { id: string }) => id,
    write: `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error)
            values ('things', 'new', 's', '1', 8, 'no'), ('others', 'new', 's', '1', 8, 'no')`,
    foreign: [7, '7', [7, 7], ['7', '7'], [7, '9223372036854775808']],
  },
};

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
  await writeTracker(sql, 'things', 1);
  await writeTracker(sql, 'others', 1);
  const numbers = `generate_series(1, ${MANY}) n`;
  await sql(`update longwatch.tracker set pools = ${MANY}`);
  await sql(
    `insert into longwatch.pool (tracker, pool, members)
     select t, n - 1, n from unnest(array['things', 'others']) t, ${numbers} on conflict do nothing`,
  );
  await sql(
    `insert into longwatch.job (name, kind, options) select j, 'regen', '{"schedule": {"everyMs": 1000}}' from unnest(array['stamina', 'other']) j`,
  );
  // Rows of one statement have one time.
  await sql(
    `insert into longwatch.tick (job, due, elapsed, ended_at)
     select j, now() - n * interval '1 second', 1, now() from unnest(array['stamina', 'other']) j, ${numbers}`,
  );
  await sql(
    `insert into longwatch.failed_row (job, key, due, error)
     select j, array['a,' || n, 'b'], now(), 'no' from unnest(array['stamina', 'other']) j, ${numbers}`,
  );
  await sql(
    `insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, owner, attempt, lease_expires_at, saga, target, key_hash)
     select s || '/' || n, 'undo', case s when 'failed' then 'compensation' else 'activity' end, 'w', 'r', s, 'one', 1,
            now(), 'w', 't', sha256((s || n)::bytea)
     from unnest(array['leased', 'failed', 'completed', 'waiting']) s, ${numbers}`,
  );
  await sql(
    `insert into longwatch.idempotency (activity, key_hash, key, task)
     select activity, key_hash, task, task from longwatch.task where kind = 'compensation'
     union all select 'pay', sha256(n::text::bytea), 'order ' || n, 'completed/' || n from ${numbers}`,
  );
  await sql(
    `insert into longwatch.audit (actor, via, what, subject)
     select 'a', 'cli', 'pause', case n % 20000 when 0 then 'job/rare' else 'tracker/things' end from ${numbers}`,
  );
  await sql(
    `insert into longwatch.member_dead (tracker, member, sender, json, attempts, error)
     select t, 'm' || n, 's', '1', 8, 'no' from unnest(array['others', 'things', 'others']) t, ${numbers}`,
  );
  await sql('analyze');
});
afterAll(() => stack?.close());

describe.each(Object.entries(LISTS))('%s', (name, { ask, key, write, bound = BOUND, foreign = [] }) => {
  const middle = async (): Promise<string> => {
    let after: string | undefined;
    for (let n = 0; n < 3; n++) after = (await ask({ after, limit: 1_000 })).next ?? after;
    return after!;
  };

  test('a page reads its bound at most, wherever it begins', async () => {
    const after = await middle();
    expect(await rowsReadBy(sql, longwatch, () => ask({ limit: 100 }))).toBeLessThanOrEqual(bound);
    expect(await rowsReadBy(sql, longwatch, () => ask({ limit: 100, after }))).toBeLessThanOrEqual(bound);
  });

  test('each once and all of them, while others come', async () => {
    const seen: string[] = [];
    let next: string | undefined;
    for (let pages = 0; ; pages++) {
      if (pages % 20 === 3) await sql(write);
      const page = await ask({ after: next, limit: 1_000 });
      expect(page.items.length).toBeLessThanOrEqual(1_000);
      seen.push(...page.items.map((item) => key(item as never)));
      if (page.next === null) break;
      next = page.next;
    }
    expect(new Set(seen).size).toBe(seen.length);
    const there = name.endsWith('rare') ? MANY / 20_000 : MANY;
    expect(seen.length).toBeGreaterThanOrEqual(there);
    expect(seen.length).toBeLessThanOrEqual(there + 100);
  });

  test('what is not a cursor of this list is refused', async () => {
    for (const after of [
      '',
      'rubbish',
      '{}',
      cursorOf({}),
      cursorOf([[1]]),
      ...foreign.map((each) => cursorOf(each as never)),
    ])
      await expect(ask({ after })).rejects.toThrow(InvalidCursorError);
  });
});

test('on the command line a list goes on where it ended', async () => {
  const lists = [
    ['pools', 'things'],
    ['regen', 'history', 'stamina'],
    ['regen', 'failed', 'stamina'],
    ['leases'],
    ['keys', 'list', 'pay'],
    ['saga', 'list'],
    ['audit'],
    ['dead', 'list', 'things'],
  ];
  for (const args of lists) {
    const part = async (...more: string[]): Promise<Record<string, unknown>> =>
      JSON.parse((await runCli(stack, ...args, ...more, '--json')).out) as Record<string, unknown>;
    const itemsOf = (said: Record<string, unknown>) => Object.values(said).find(Array.isArray) as unknown[];
    const [first, both] = [await part('--limit', '2'), await part('--limit', '4')];
    const second = await part('--limit', '2', '--after', first.next as string);
    const stable = (items: unknown[]) => items.map((item) => ({ ...(item as object), heldMs: 0, leftMs: 0 }));
    expect(stable([...itemsOf(first), ...itemsOf(second)])).toEqual(stable(itemsOf(both)));
    expect(itemsOf(both)).toHaveLength(4);
    const refused = await runCli(stack, ...args, '--after', 'rubbish');
    expect([refused.status, refused.out]).toEqual([2, '']);
  }
});
