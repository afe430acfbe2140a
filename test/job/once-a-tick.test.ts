/**
 * Sweeps on a real PostgreSQL, where each due row is to be handed out once a tick: orders that move, tables that are
 * altered, locks that somebody holds, upstreams that want to be left alone, errors whose text cannot be kept.
 */
import { HoldError, type SweepContext, type SweepDefinition, type SweepRow } from '../../exports';
import { eventually } from '../support/stack';
import { PassStack } from './pass-kit';

const NEVER = '366d';
type Handle = SweepDefinition['handle'];
const sweeps = (name: string, over: Partial<SweepDefinition> & { handle: Handle }) => ({
  sweeps: [{ name, every: NEVER, table: name, due: 'true', ...over }],
});

let stack: PassStack;
beforeAll(async () => {
  stack = await PassStack.start();
});
afterAll(() => stack.close());

async function fill(table: string, rows: number, columns = ''): Promise<void> {
  await stack.sql(`create table ${table} (id int primary key, hp int not null default 0, at timestamptz not null default now()${columns})`);
  await stack.sql(`insert into ${table} select generate_series(1, ${rows})`);
} // prettier-ignore

/** Counts how often each row is handed out, and whether two handlers had one at once. */
function counting(then: Handle = () => undefined) {
  const times = new Map<unknown, number>();
  const now = new Set<unknown>();
  const twice: unknown[] = [];
  const handle: Handle = async (rows, context) => {
    for (const { id } of rows) {
      if (now.has(id)) twice.push(id);
      now.add(id);
      times.set(id, (times.get(id) ?? 0) + 1);
    }
    try {
      return await then(rows, context);
    } finally {
      for (const { id } of rows) now.delete(id);
    }
  };
  const once = (rows: number) => {
    expect(twice).toEqual([]);
    expect([...times.values()].filter((n) => n !== 1)).toEqual([]);
    expect(times.size).toBe(rows);
  };
  return { handle, once, times };
}
const touch =
  (set: string, table: string) =>
  (rows: SweepRow[], { tx }: SweepContext) =>
    tx.query(`update ${table} set ${set} where id = any ($1)`, [rows.map(({ id }) => id)]).then(() => undefined);

describe('an order that moves', () => {
  test.each([
    ['healed', 'hp = hp + 10, at = clock_timestamp()', 'at'],
    ['ranked', 'hp = hp + 7', 'hp'],
    ['sunk', 'hp = hp - 7', 'hp'],
    ['unordered', 'hp = case when id % 2 = 0 then null else hp end', 'nullif(hp, 3)'],
  ])('%s: a row that the handler moves and leaves due comes once', async (table, set, order) => {
    await fill(table, 300);
    await stack.sql(`alter table ${table} alter hp drop not null`);
    const seen = counting(touch(set, table));
    const config = sweeps(table, { page: 20, order, handle: seen.handle });
    expect(await stack.tick(config, table)).toMatchObject({ rows: 300, failed: 0 });
    seen.once(300);
    // With the next tick all come again.
    expect(await stack.pass(stack.node(config), table)).toMatchObject({ rows: 300 });
  });

  test.each([
    ['lettered', 'char(5)', `lpad(i::text, 5, 'a')`],
    ['flagged', 'bit(16)', 'i::bit(16)'],
  ])('%s: a place of the type %s leads to the rows behind it', async (table, type, value) => {
    await stack.sql(`create table ${table} (id int primary key, rank ${type})`);
    await stack.sql(`insert into ${table} select i, ${value} from generate_series(1, 100) i`);
    const seen = counting();
    expect(await stack.tick(sweeps(table, { page: 20, order: 'rank', handle: seen.handle }), table)).toMatchObject({ rows: 100 });
    seen.once(100);
  }); // prettier-ignore

  test('a place that its own text does not lead behind ends the first look, not the sweep', async () => {
    // An old habit of some databases: less digits than it takes to tell two numbers apart.
    await stack.sql('create table blurred (id int primary key, rank float8)');
    await stack.sql('insert into blurred select i, 1 + i * 1e-15 from generate_series(1, 100) i');
    const { databaseUrl } = stack.servers;
    const seen = counting();
    const config = sweeps('blurred', { page: 10, order: 'rank', handle: seen.handle });
    const blurred = stack.node(config, { databaseUrl: `${databaseUrl}${databaseUrl.includes('?') ? '&' : '?'}options=-c%20extra_float_digits%3D-3` });
    await stack.open(blurred, config, 'blurred');
    expect(await stack.pass(blurred, 'blurred')).toMatchObject({ rows: 100 });
    seen.once(100);
  }); // prettier-ignore

  test('rows that others move meanwhile: not to two handlers at once, and none is left out', async () => {
    await fill('raided', 400);
    await stack.sql('update raided set hp = id');
    let pages = 0;
    const seen = counting(async (rows) => {
      pages++;
      // Behind all others, and before them.
      if (pages < 10) {
        await stack.sql('update raided set hp = hp + 1000 where id = any ($1)', [rows.slice(0, 5).map(({ id }) => id)]);
        await stack.sql('update raided set hp = -$1::int where id = $2', [pages, 400 - pages]);
      }
    });
    expect(await stack.tick(sweeps('raided', { page: 20, order: 'hp', handle: seen.handle }), 'raided')).toMatchObject({ rows: 400 });
    seen.once(400);
  }); // prettier-ignore

  test('rows that are claimed by a worker that died are not handed out beside it', async () => {
    await fill('orphaned', 30);
    const seen = counting();
    const config = sweeps('orphaned', { page: 10, order: 'at', handle: seen.handle });
    const node = stack.node(config);
    await stack.open(node, config, 'orphaned');
    await stack.sql(
      `insert into longwatch.claim (job, keys, owner, attempt, until) values ('orphaned', '[["3"],["4"]]', 'dead', 1, now() + interval '1 second')`,
    );
    expect(await stack.pass(node, 'orphaned')).toMatchObject({ rows: 30 });
    seen.once(30);
  });

  test.each([
    ['random()', /order: random has another value for each page/],
    ['extract(epoch from clock_timestamp() - at)', /clock_timestamp/],
    ['now() - at', /order: now has/],
    ['at - CURRENT_TIMESTAMP', /current_timestamp/],
    ['age(at)', /order: age has/],
    ['"my_random"()', /my_random/],
    ['at, id', /order: it is a list/],
    ['(id, at)', /order: it is a list/],
  ])('%s is refused', async (order, words) => {
    await stack.sql('create table if not exists moving (id int primary key, at timestamptz default now())');
    await stack.sql('create or replace function my_random() returns float8 volatile language sql as $$ select 1.0::float8 $$');
    const config = sweeps('moving', { order, handle: () => undefined });
    await expect(stack.open(stack.node(config), config, 'moving')).rejects.toThrow(words);
  }); // prettier-ignore
});

test('a column that is added, or gets another type, does not stop a sweep', async () => {
  await fill('altered', 30);
  const seen: SweepRow[] = [];
  const config = sweeps('altered', { page: 10, handle: (rows) => void seen.push(...rows) });
  const node = stack.node(config, { connections: 4 });
  await stack.open(node, config, 'altered');
  for (const change of ['select 1', 'alter table altered add note text', 'alter table altered alter hp type bigint', 'alter table altered drop note']) {
    await stack.sql(change);
    expect(await stack.pass(node, 'altered')).toMatchObject({ end: 'done', rows: 30 });
  }
  expect(Object.keys(seen.at(-1)!)).toEqual(['id', 'hp', 'at']);
  expect(seen.at(-1)!.hp).toBe('0');
}); // prettier-ignore

test('keys of any type are taken up again, arrays as well', async () => {
  await stack.sql(`create table squares (at int[], name text, primary key (at, name))`);
  await stack.sql(`insert into squares select array[i, i * i], 'a,b"{' || i from generate_series(1, 20) i`);
  let first = true;
  const config = sweeps('squares', {
    page: 20,
    retry: { base: '10ms' },
    handle: (rows) => {
      const retry = first ? rows.slice(0, 3) : [];
      first = false;
      return { retry };
    },
  });
  expect(await stack.tick(config, 'squares')).toMatchObject({ rows: 20, failed: 0 });
});

test('an error whose text PostgreSQL cannot keep becomes a dead letter after one attempt', async () => {
  await fill('nulerr', 5);
  const config = sweeps('nulerr', {
    page: 2,
    retry: { attempts: 1, base: '10ms' },
    handle: (rows) => {
      if (rows.some(({ id }) => id === 2)) throw new Error('upstream said: \u0000 \ud800');
    },
  });
  expect(await stack.tick(config, 'nulerr')).toMatchObject({ rows: 4, failed: 1 });
  expect(await stack.sql(`select key, error, attempts from longwatch.failed_row where job = 'nulerr'`)).toEqual([
    { key: ['2'], error: 'upstream said: \ufffd \ufffd', attempts: 1 },
  ]);
  expect(await stack.sql(`select 1 from longwatch.claim where job = 'nulerr'`)).toEqual([]);
});

describe('locks that somebody holds', () => {
  test('use no attempt, keep no connection, and nobody else waits for them', async () => {
    await fill('blocked', 40);
    await fill('guild', 1);
    const config = sweeps('blocked', {
      page: 5,
      timeout: '5s',
      retry: { attempts: 2, base: '50ms' },
      handle: async (rows, context) => {
        await touch('hp = 1', 'blocked')(rows, context);
        await touch('hp = hp + 1', 'guild')([{ id: 1 }], context);
      },
    });
    const node = stack.node(config, { connections: 6 });
    await stack.open(node, config, 'blocked');
    await stack.other(async (holder) => {
      await holder.query('update guild set hp = hp where id = 1');
      const { result } = stack.begin(node, 'blocked');
      const waits = () => stack.number(`select count(*) from longwatch.claim where job = 'blocked' and error is not null`);
      await eventually('rows are put back', async () => (await waits()) > 3);
      expect(await stack.sql(`select 1 from longwatch.failed_row where job = 'blocked'`)).toEqual([]);
      await holder.query('commit');
      expect(await result).toMatchObject({ failed: 0 });
    });
    await eventually('all are handled', async () => {
      if ((await stack.number(`select count(*) from blocked where hp = 1`)) === 40) return true;
      await stack.pass(node, 'blocked', { elapsed: 0 });
      return false;
    });
    expect(await stack.sql(`select 1 from longwatch.failed_row where job = 'blocked'`)).toEqual([]);
  }); // prettier-ignore

  test('the server ends what a handler has left behind at its timeout', async () => {
    await fill('hanging', 1);
    const config = sweeps('hanging', {
      timeout: '1s',
      retry: { attempts: 1 },
      handle: async (_rows, { tx }) => void (await tx.query('select pg_sleep(60)')),
    });
    expect(await stack.tick(config, 'hanging')).toMatchObject({ rows: 0, failed: 1 });
    await eventually('nothing sleeps', async () => (await stack.sql(`select 1 from pg_stat_activity where wait_event = 'PgSleep'`)).length === 0);
  }); // prettier-ignore

  test('a mistake in a handler is its own: no outage', async () => {
    await fill('mistaken', 3);
    const config = sweeps('mistaken', {
      retry: { attempts: 1 },
      handle: async (_rows, { tx }) => void (await tx.query('select $1::int + $2::int', [1])),
    });
    expect(await stack.tick(config, 'mistaken')).toMatchObject({ rows: 0, failed: 3 });
  });
});

describe('a HoldError', () => {
  test('holds the whole sweep by its scope, whoever works; a member’s only its page', async () => {
    await fill('asking', 100);
    let calls = 0;
    let scope: 'tracker' | 'member' = 'tracker';
    const config = sweeps('asking', {
      page: 5,
      concurrency: 2,
      handle: () => {
        calls++;
        if (calls <= 2) throw new HoldError('429', { afterMs: scope === 'tracker' ? 60_000 : 200, scope });
      },
    });
    const node = stack.node(config);
    await stack.open(node, config, 'asking');
    const { result } = stack.begin(node, 'asking');
    const held = () => stack.sql<{ error: string | null }>(`select error from longwatch.tick where job = 'asking' and ended_at is null`);
    await eventually('it is said', async () => (await held())[0]?.error);
    expect((await held())[0]!.error).toMatch(/^held until .*: 429$/);
    // Nothing but what was under way has been asked.
    expect(calls).toBeLessThanOrEqual(2);
    await node.drain();
    expect(await result).toMatchObject({ end: 'handed back' });
    const asked = calls;
    const other = stack.node(config);
    const second = stack.begin(other, 'asking');
    await eventually('the next worker holds as well', async () => (await held())[0]?.error);
    expect(calls).toBe(asked);
    await other.drain();
    await second.result;
    // A start lifts it; the pages that were put back come when they said.
    await stack.sql(`update longwatch.claim set until = now() where job = 'asking'`);
    const third = stack.node(config);
    await stack.open(third, config, 'asking');
    scope = 'member';
    calls = 1;
    expect(await stack.pass(third, 'asking')).toMatchObject({ end: 'done' });
    expect(calls).toBeGreaterThan(20);
  }); // prettier-ignore
});

describe('what a handler does with its list is its own', () => {
  const failed = async (job: string) =>
    (await stack.sql<{ key: string[] }>('select key from longwatch.failed_row where job = $1', [job])).map(({ key }) => Number(key[0])).sort((a, b) => a - b); // prettier-ignore

  test.each<[string, Handle, { rows: number; dead: number[] }]>([
    ['emptied', (rows) => { while (rows.length > 0) if (rows.shift()!.id === 3) throw new Error('no'); }, { rows: 6, dead: [3] }],
    ['cleared', (rows) => { rows.length = 0; throw new Error('no'); }, { rows: 0, dead: [1, 2, 3, 4, 5, 6, 7] }],
    ['sorted', (rows) => ({ retry: rows.sort((a, b) => Number(b.id) - Number(a.id)).slice(0, 2) }), { rows: 5, dead: [6, 7] }],
    ['doubled', (rows) => ({ retry: [rows[2]!, rows[2]!] }), { rows: 6, dead: [3] }],
  ])('%s', async (table, handle, { rows, dead }) => {
    await fill(table, 7);
    const config = sweeps(table, { retry: { attempts: 1 }, handle });
    expect(await stack.tick(config, table)).toMatchObject({ rows, failed: dead.length });
    expect(await failed(table)).toEqual(dead);
  }); // prettier-ignore
});

describe('the transaction of a handler is ended by nobody else', () => {
  test.each(['commit', 'rollback', 'begin', 'set statement_timeout = 1', `update ended set hp = hp + 1; commit; begin`])('%s', async (text) => {
    await stack.sql('drop table if exists ended');
    await fill('ended', 3);
    const config = sweeps('ended', {
      retry: { attempts: 3 },
      handle: async (rows, context) => {
        await touch('hp = hp + 1', 'ended')(rows, context);
        // Also where the code takes no notice.
        await context.tx.query(text).catch(() => undefined);
        throw new Error('after it');
      },
    });
    await stack.sql(`delete from longwatch.failed_row`);
    await stack.tick(config, 'ended');
    expect(await stack.number('select max(hp) from ended')).toBe(0);
  });

  test('what slips through is not settled: the page fails, and says why', async () => {
    await fill('slipped', 1);
    const config = sweeps('slipped', {
      retry: { attempts: 1 },
      handle: async (_rows, { tx }) => {
        // An old habit of some databases, by which a string ends where it looks as if it went on.
        await tx.query('set local standard_conforming_strings = off');
        await tx.query(`select 'a\\''; commit; --'`).catch(() => undefined);
      },
    });
    expect(await stack.tick(config, 'slipped')).toMatchObject({ rows: 0, failed: 1 });
    const [row] = await stack.sql<{ error: string }>(`select error from longwatch.failed_row where job = 'slipped'`);
    expect(row!.error).toMatch(/^COMMIT through tx/);
  });
}); // prettier-ignore

test('another table or key forgets the dead letters and claims of the one before', async () => {
  await fill('first_table', 3);
  await fill('second_table', 3);
  const failing = { retry: { attempts: 1 }, handle: () => Promise.reject(new Error('no')) };
  await stack.tick(sweeps('first_table', failing), 'first_table');
  const seen = counting();
  const moved = { sweeps: [{ name: 'first_table', every: NEVER, table: 'second_table', due: 'true', handle: seen.handle }] };
  expect(await stack.tick(moved, 'first_table')).toMatchObject({ rows: 3 });
  seen.once(3);
}); // prettier-ignore
