/**
 * A tick among other people's transactions and rows that fail, on a real PostgreSQL: a chunk gives way, a row that is
 * held is put off, the player is never the victim, a worker can always stop; a row that fails is found whatever its
 * error is, and all others advance.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { RegenDefinition } from '../../exports';
import { setPointHook } from '../../activities/lib/points';
import { eventually } from '../support/stack';
import { PassStack } from './pass-kit';

const NEVER = '366d';
const regens = (...all: (Partial<RegenDefinition> & { name: string })[]) => ({
  regens: all.map((one) => ({ every: NEVER, table: one.name, set: { n: 'n + 1' }, ...one })),
});

let stack: PassStack;
beforeAll(async () => {
  stack = await PassStack.start();
});
afterAll(() => stack.close());

async function make(table: string, rows: number): Promise<void> {
  await stack.sql(`create table ${table} (id int primary key, n int not null default 0) with (fillfactor = 50)`);
  await stack.sql(`insert into ${table} select generate_series(1, ${rows})`);
}
const sums = async (table: string) =>
  Object.fromEntries(
    (await stack.sql<{ n: number; rows: number }>(`select n, count(*)::int as rows from ${table} group by n`)).map((row) => [row.n, row.rows]),
  ); // prettier-ignore
/** Somebody waits for a lock. */
const waiting = (pattern: string) =>
  eventually('a statement waits for a lock', async () =>
    (await stack.sql(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and query ilike $1`, [pattern])).length > 0,
  ); // prettier-ignore

describe('a row that somebody holds', () => {
  test.each([
    ['held', { chunk: 500, concurrency: 2 }],
    ['held_all', { chunk: 'all' }],
    ['held_sql', { chunk: 500, set: undefined, sql: 'update held_sql t set n = n + 1 where :range(t)' }],
  ] as const)('%s: is put off; all others advance meanwhile, and wait for no more than a moment', async (table, over) => {
    await make(table, 3_000);
    const config = regens({ name: table, ...over });
    const node = stack.node(config);
    await stack.open(node, config, table);
    await stack.other(async (holder) => {
      await holder.query(`update ${table} set n = n where id in (1500, 1502)`);
      const { result } = stack.begin(node, table);
      await waiting(`update %${table}%`);
      const began = performance.now();
      await stack.sql(`update ${table} set n = n where id = 1400`);
      expect(performance.now() - began).toBeLessThan(900);
      await eventually('all others have advanced', async () => (await sums(table))[1] === 2_998);
      // They are parts of their own, so another worker would go on with them.
      const parts = await stack.sql<{ upto: string[] }>(`select upto from longwatch.tick_range where job = $1 and alone and not done order by part`, [table]);
      expect(parts.map(({ upto }) => upto[0]).sort()).toEqual(['1500', '1502']);
      await eventually('it is said what it waits for', async () =>
        (await stack.sql<{ error: string | null }>(`select error from longwatch.tick where job = $1`, [table]))[0]!.error,
      );
      expect((await stack.sql<{ error: string }>(`select error from longwatch.tick where job = $1`, [table]))[0]!.error).toMatch(/holds rows locked.*150[02]/);
      await holder.query('commit');
      expect(await result).toMatchObject({ end: 'done', rows: 3_000, failed: 0, error: undefined });
    });
    expect(await sums(table)).toEqual({ 1: 3_000 });
  }); // prettier-ignore

  test('a statement of one’s own without :range is never cut up: it is done as a whole when all are free', async () => {
    await make('boundless', 3_000);
    const config = regens({ name: 'boundless', chunk: 'all', set: undefined, sql: 'update boundless set n = n + 1' });
    const node = stack.node(config);
    await stack.open(node, config, 'boundless');
    await stack.other(async (holder) => {
      await holder.query('update boundless set n = n where id = 1500');
      const { result } = stack.begin(node, 'boundless');
      await eventually('it is said what it waits for', async () =>
        (await stack.sql<{ error: string | null }>(`select error from longwatch.tick where job = 'boundless'`))[0]?.error,
      );
      await holder.query('commit');
      expect(await result).toMatchObject({ end: 'done', rows: 3_000 });
    });
    expect(await sums('boundless')).toEqual({ 1: 3_000 });
    // And where a row fails, none has advanced.
    await stack.sql('alter table boundless add check (id <> 7 or n < 2)');
    await expect(stack.pass(node, 'boundless', { due: Date.now() + 1 })).rejects.toThrow(/check constraint/);
    expect(await sums('boundless')).toEqual({ 1: 3_000 });
    expect(await stack.number(`select count(*) from longwatch.failed_row where job = 'boundless'`)).toBe(0);
  }, 30_000); // prettier-ignore

  test('a tick in chunks ends where it was when the new statement has no range: it would advance all rows in each chunk', async () => {
    await make('unbound', 300);
    const config = regens({ name: 'unbound', chunk: 100 });
    const node = stack.node(config);
    await stack.open(node, config, 'unbound');
    await stack.other(async (holder) => {
      await holder.query('update unbound set n = n where id = 150');
      const { result } = stack.begin(node, 'unbound');
      await eventually('all others have advanced', async () => (await sums('unbound'))[1] === 299);
      await node.drain();
      expect(await result).toMatchObject({ end: 'handed back' });
    });
    const changed = regens({ name: 'unbound', chunk: 'all', set: undefined, sql: 'update unbound set n = n + 1' });
    const next = stack.node(changed);
    expect((await stack.open(next, changed, 'unbound')).open).toBeUndefined();
    expect(await stack.pass(next, 'unbound')).toMatchObject({ rows: 300 });
    expect(await sums('unbound')).toEqual({ 1: 1, 2: 299 });
  }, 30_000); // prettier-ignore

  test('nor may it go on as one that reads what its chunks have changed, also where that is to be one statement', async () => {
    await make('reading', 300);
    const config = regens({ name: 'reading', chunk: 100 });
    const node = stack.node(config);
    await stack.open(node, config, 'reading');
    await stack.other(async (holder) => {
      await holder.query('update reading set n = n where id = 150');
      const { result } = stack.begin(node, 'reading');
      await eventually('all others have advanced', async () => (await sums('reading'))[1] === 299);
      await node.drain();
      expect(await result).toMatchObject({ end: 'handed back' });
    });
    const changed = regens({ name: 'reading', chunk: 'all', set: { n: 'n + (select max(n) from reading)' } });
    const next = stack.node(changed);
    expect((await stack.open(next, changed, 'reading')).open).toBeUndefined();
    expect(await stack.pass(next, 'reading', { due: Date.now() + 1 })).toMatchObject({ rows: 300 });
    expect(await sums('reading')).toEqual({ 1: 1, 2: 299 });
  }, 30_000); // prettier-ignore

  test('a table that somebody has locked as a whole is waited for: before a tick by the next attempt, in it by the walk', async () => {
    await make('shut', 300);
    const config = regens({ name: 'shut', chunk: 100, concurrency: 1 });
    const node = stack.node(config);
    await stack.open(node, config, 'shut');
    await stack.other(async (holder) => {
      await holder.query('lock table shut in access exclusive mode');
      await expect(stack.pass(node, 'shut')).rejects.toThrow(/lock/);
    });
    await stack.other(async (holder) => {
      let first = true;
      setPointHook(async (point) => {
        if (point !== 'chunk.committed' || !first) return;
        first = false;
        await holder.query('lock table shut in access exclusive mode');
      });
      try {
        const { result } = stack.begin(node, 'shut');
        await eventually('it is said what it waits for', async () =>
          (await stack.sql<{ error: string | null }>(`select error from longwatch.tick where job = 'shut' and ended_at is null`))[0]?.error,
        );
        await holder.query('commit');
        expect(await result).toMatchObject({ end: 'done', rows: 300, failed: 0 });
      } finally {
        setPointHook(undefined);
      }
    });
    expect(await sums('shut')).toEqual({ 1: 300 });
  }, 60_000); // prettier-ignore

  test('a player who holds it and then wants a row of the chunk is not rolled back', async () => {
    await make('deadly', 3_000);
    const config = regens({ name: 'deadly', chunk: 3_000 });
    const node = stack.node(config);
    await stack.open(node, config, 'deadly');
    await stack.other(async (player) => {
      await player.query('update deadly set n = n + 10 where id = 1500');
      const { result } = stack.begin(node, 'deadly');
      await waiting('update %deadly%');
      await player.query('update deadly set n = n + 10 where id = 10');
      await player.query('commit');
      expect(await result).toMatchObject({ end: 'done', rows: 3_000 });
    });
    expect(await sums('deadly')).toEqual({ 1: 2_998, 11: 2 });
  });

  test('nor where the chunk waits for one player after the other', async () => {
    await make('queue', 100);
    const config = regens({ name: 'queue', chunk: 100 });
    const node = stack.node(config);
    await stack.open(node, config, 'queue');
    await stack.sql(`alter system set deadlock_timeout = '400ms'`);
    await stack.sql('select pg_reload_conf()');
    try {
      await stack.other(async (first) => {
        await first.query('update queue set n = n + 10 where id = 50');
        await stack.other(async (second) => {
          await second.query('update queue set n = n + 10 where id = 60');
          await stack.other(async (third) => {
            await third.query('update queue set n = n + 10 where id = 70');
            const { result } = stack.begin(node, 'queue');
            await waiting('update %queue%');
            const wants = third.query('update queue set n = n + 10 where id = 10');
            await delay(150);
            await first.query('commit');
            await delay(150);
            await second.query('commit');
            await wants;
            await third.query('commit');
            expect(await result).toMatchObject({ end: 'done', rows: 100 });
          });
        });
      });
    } finally {
      await stack.sql('alter system reset deadlock_timeout');
      await stack.sql('select pg_reload_conf()');
    }
    expect(await sums('queue')).toEqual({ 1: 96, 11: 4 });
  });

  test('the fence is also of the rows that are put off by a chunk which commits just then', async () => {
    await make('fenced', 10);
    const config = regens({ name: 'fenced', chunk: 5 });
    const node = stack.node(config);
    await stack.open(node, config, 'fenced');
    // As an older holder has left it in the middle of a tick.
    await stack.sql(`insert into longwatch.tick (job, due, elapsed) values ('fenced', to_timestamp(1), 1)`);
    await stack.sql(`insert into longwatch.tick_range (job, part, after, upto, token) values ('fenced', 0, null, '{10}', 0)`);
    await stack.other(async (older) => {
      await older.query('update fenced set n = n + 1 where id <= 5 and id <> 3');
      await older.query(`insert into longwatch.tick_range (job, part, upto, token, alone) values ('fenced', 1, '{3}', 0, true)`);
      await older.query(`update longwatch.tick_range set after = '{5}' where job = 'fenced' and part = 0 and token = 0`);
      const { result } = stack.begin(node, 'fenced');
      await waiting('update longwatch.tick_range set token%');
      await older.query('commit');
      expect(await result).toMatchObject({ end: 'done' });
    });
    expect(await sums('fenced')).toEqual({ 1: 10 });
  }); // prettier-ignore

  test('a worker that must end does so, and another one ends the tick', async () => {
    await make('leaving', 3_000);
    const config = regens({ name: 'leaving', chunk: 3_000 });
    const node = stack.node(config);
    await stack.open(node, config, 'leaving');
    await stack.other(async (holder) => {
      await holder.query('update leaving set n = n where id = 1500');
      const { result } = stack.begin(node, 'leaving');
      await waiting('update %leaving%');
      const began = performance.now();
      await node.drain();
      expect(await result).toMatchObject({ end: 'handed back' });
      expect(performance.now() - began).toBeLessThan(4_000);
      const other = stack.begin(stack.node(config), 'leaving');
      await eventually('all others have advanced', async () => (await sums('leaving'))[1] === 2_999);
      await holder.query('rollback');
      expect(await other.result).toMatchObject({ end: 'done', rows: 3_000 });
    });
    expect(await sums('leaving')).toEqual({ 1: 3_000 });
  });

  test('a statement that takes long is cancelled when its worker must end', async () => {
    await make('long', 1);
    const config = regens({ name: 'long', chunk: 'all', set: { n: 'n + 1 + (pg_sleep(60) is null)::int' } });
    const node = stack.node(config);
    await stack.open(node, config, 'long');
    const { result } = stack.begin(node, 'long');
    await eventually('it sleeps', async () => (await stack.sql(`select 1 from pg_stat_activity where wait_event = 'PgSleep'`)).length > 0);
    await node.drain();
    expect(await result).toMatchObject({ end: 'handed back' });
    expect(await sums('long')).toEqual({ 0: 1 });
  }, 30_000); // prettier-ignore
});

describe('a row that fails is found and reported, and all others advance', () => {
  const raising = (table: string, body: string) => [
    `create function ${table}_check() returns trigger language plpgsql as $$ begin ${body} return new; end $$`,
    `create trigger checked before update on ${table} for each row execute function ${table}_check()`,
  ];
  test.each<[string, string, string[], Partial<RegenDefinition>]>([
    ['21000', 'two_buffs', ['create table buff (player int, bonus int)', 'insert into buff select g, 1 from generate_series(1, 100) g union all select 5, 1'],
      { set: { n: 'n + (select bonus from buff where buff.player = two_buffs.id)' } }],
    ['GM001', 'own_code', raising('own_code', `if new.id = 5 then raise 'no' using errcode = 'GM001'; end if;`), {}],
    ['27000', 'changed', raising('changed', `if new.id = 5 and pg_trigger_depth() = 1 then update changed set n = n + 1 where id = 5; end if;`), {}],
    ['54000', 'too_large', ['alter table too_large add text text', 'create index on too_large (text)'],
      { set: { n: 'n + 1', text: `case when id = 5 then (select string_agg(md5(i::text || id), '') from generate_series(1, 20000) i) end` } }],
    ['23514', 'checked', ['alter table checked add check (id <> 5 or n < 1)'], {}],
    ['22012', 'dividing', [], { set: { n: 'n + 1 + 0 / (id - 5)' } }],
    // A trigger's own, by names that mean something else where the server says them.
    ...['42501', '0A000', '55000', '57014', 'XX000'].map((code): [string, string, string[], object] => {
      const table = `says_${code.toLowerCase()}`;
      return [code, table, raising(table, `if new.id = 5 then raise 'no' using errcode = '${code}'; end if;`), {}];
    }),
  ])('%s', async (code, table, prepare, over) => {
    await make(table, 100);
    for (const text of prepare) await stack.sql(text);
    const config = regens({ name: table, chunk: 64, ...over });
    expect(await stack.tick(config, table)).toMatchObject({ end: 'done', rows: 99, failed: 1 });
    expect(await sums(table)).toEqual({ 0: 1, 1: 99 });
    expect(await stack.sql('select key, code from longwatch.failed_row where job = $1', [table])).toEqual([{ key: ['5'], code }]);
  }); // prettier-ignore

  test('its key may be as large as its own index has room for', async () => {
    await stack.sql('create table large_key (id text primary key, n int not null default 0)');
    await stack.sql(`insert into large_key select string_agg(md5((i * j)::text), '') || left(md5(j::text), 2) from generate_series(1, 84) i, generate_series(1, 20) j group by j`);
    const config = regens({ name: 'large_key', chunk: 8, set: { n: 'n + 1 + 0 / length(id)::int * (1 / (n - n))' } });
    expect(await stack.tick(config, 'large_key')).toMatchObject({ rows: 0, failed: 20 });
    const seen: unknown[] = [];
    const sweep = { sweeps: [{ name: 'large_keys', every: NEVER, table: 'large_key', due: 'true', order: 'n', retry: { attempts: 1 }, handle: (rows: object[]) => {
      seen.push(...rows);
      throw new Error('no');
    } }] };
    expect(await stack.tick(sweep, 'large_keys')).toMatchObject({ failed: 20 });
    expect(await stack.pass(stack.node(sweep), 'large_keys')).toMatchObject({ rows: 0, failed: 0 });
  }); // prettier-ignore

  test('what it says may be text that PostgreSQL cannot keep', async () => {
    await make('long_text', 10);
    for (const text of raising('long_text', `if new.id = 5 then raise '%', repeat('ä', 100000); end if;`)) {
      await stack.sql(text);
    }
    expect(await stack.tick(regens({ name: 'long_text' }), 'long_text')).toMatchObject({ rows: 9, failed: 1 });
  });
});

test('a tick ends where it was when its table has another key by then: its parts say nothing of the other one', async () => {
  await stack.sql('create table rekeyed (id int primary key, other int not null, n int not null default 0)');
  await stack.sql('insert into rekeyed select i, 1001 - i from generate_series(1, 1000) i');
  await stack.sql(`create function rekeyed_f() returns trigger language plpgsql as $$ begin if new.id = 450 then raise serialization_failure; end if; return new; end $$`);
  await stack.sql('create trigger t before update on rekeyed for each row execute function rekeyed_f()');
  const config = regens({ name: 'rekeyed', chunk: 100 });
  const node = stack.node(config);
  await stack.open(node, config, 'rekeyed');
  const due = Date.now();
  const { result } = stack.begin(node, 'rekeyed', { due });
  await eventually('it is on its way', async () => ((await sums('rekeyed'))[1] ?? 0) >= 400);
  await node.drain();
  await result;
  await stack.sql('drop trigger t on rekeyed');
  await stack.sql('alter table rekeyed drop constraint rekeyed_pkey, add primary key (other)');
  const next = stack.node(config);
  expect(await stack.pass(next, 'rekeyed', { due })).toMatchObject({ end: 'fenced' });
  expect(await stack.pass(next, 'rekeyed', { due })).toMatchObject({ end: 'done', error: expect.stringContaining("another key") as string });
  expect((await sums('rekeyed'))[2]).toBeUndefined();
  expect(await stack.pass(next, 'rekeyed', { due: due + 1 })).toMatchObject({ end: 'done', rows: 1_000, error: undefined });
}); // prettier-ignore

test('a pass that finds this late leaves alone the tick that another one has begun since', async () => {
  await make('late', 100);
  const config = regens({ name: 'late', chunk: 100 });
  const [late, early] = [stack.node(config), stack.node(config)];
  await stack.open(late, config, 'late');
  await stack.sql(`insert into longwatch.tick (job, due, elapsed, key) values ('late', to_timestamp(1), 1, '{gone}')`);
  await stack.other(async (holder) => {
    await holder.query('update late set n = n where id = 50');
    let next: Promise<unknown> | undefined;
    let first = true;
    setPointHook(async (point) => {
      if (point !== 'tick.other key' || !first) return;
      first = false;
      expect(await stack.pass(early, 'late')).toMatchObject({ end: 'fenced' });
      next = stack.begin(early, 'late').result;
      await eventually('all others have advanced', async () => (await sums('late'))[1] === 99);
    });
    try {
      expect(await stack.pass(late, 'late')).toMatchObject({ end: 'fenced' });
    } finally {
      setPointHook(undefined);
    }
    await holder.query('commit');
    expect(await next).toMatchObject({ end: 'done', rows: 100 });
  });
}, 30_000); // prettier-ignore

test('a tick that was asked for by hand stays to be read, however few are kept', async () => {
  await make('kept_ticks', 5);
  const config = regens({ name: 'kept_ticks', keep: 1 });
  const node = stack.node(config);
  await stack.open(node, config, 'kept_ticks');
  const due = Date.now();
  await stack.pass(node, 'kept_ticks', { due });
  await stack.pass(node, 'kept_ticks', { due: due + 1, request: 'by hand' });
  await stack.pass(node, 'kept_ticks', { due: due + 2 });
  await stack.pass(node, 'kept_ticks', { due: due + 3 });
  const kept = await stack.sql(`select request from longwatch.tick where job = 'kept_ticks' order by due`);
  expect(kept).toEqual([{ request: 'by hand' }, { request: null }]);
});

describe('a decay', () => {
  const decay = (name: string, over: object = {}) => ({
    decays: [{ name, every: NEVER, table: name, where: 'old', ...over }],
  });
  const fill = async (table: string, rows: number): Promise<void> => {
    await stack.sql(`create table ${table} (id int primary key, old boolean not null default true)`);
    await stack.sql(`insert into ${table} select generate_series(1, ${rows})`);
  };
  const left = (table: string) => stack.number(`select count(*) from ${table}`);

  test('goes along the key: more rows than a pass reports cannot go, and all others do', async () => {
    await fill('item', 3_000);
    await stack.sql('create table holder (item int references item)');
    await stack.sql('insert into holder select generate_series(1, 1500)');
    const config = decay('item');
    const node = stack.node(config);
    await stack.open(node, config, 'item');
    const order = { due: Date.now() };
    // After a thousand of them a pass ends with the error; the next attempt goes on behind them.
    await expect(stack.begin(node, 'item', order).result).rejects.toThrow(/violates foreign key/);
    expect(await stack.begin(node, 'item', order).result).toMatchObject({ end: 'done', rows: 1_500, failed: 1_500 });
    expect(await left('item')).toBe(1_500);
    expect(await stack.number(`select count(*) from longwatch.failed_row where job = 'item'`)).toBe(1_500);
  }, 60_000);

  test.each([
    ['kept', 'before delete on kept', 'old', 'if old.id % 10 = 0 then return null; end if; return old;', 100],
    ['routed', 'before insert on routed_archive', 'new', 'insert into routed_other values (new.id); return null;', 0],
  ])('%s: a trigger that keeps rows, or takes them elsewhere, does not end the tick', async (table, event, _row, body, stay) => {
    await fill(table, 1_000);
    await stack.sql(`create table ${table}_archive (id int, old boolean)`);
    await stack.sql(`create table ${table}_other (id int)`);
    await stack.sql(`create function ${table}_trigger() returns trigger language plpgsql as $$ begin ${body} end $$`);
    await stack.sql(`create trigger t ${event} for each row execute function ${table}_trigger()`);
    await stack.tick(decay(table, { chunk: 50, ...(table === 'routed' ? { moveTo: 'routed_archive' } : {}) }), table);
    expect(await left(table)).toBe(stay);
    if (table === 'routed') expect(await left('routed_other')).toBe(1_000);
  }); // prettier-ignore

  test.each([['part', 100], ['single', 1], ['whole', 'all']] as const)('%s: a row that its condition fails on is found, and all others go', async (name, chunk) => {
    const table = `spoiled_${name}`;
    await stack.sql(`create table ${table} (id int primary key, price text)`);
    await stack.sql(`insert into ${table} select i, case when i in (50, 1, 120) then 'none' else '5' end from generate_series(1, 200) i`);
    const config = decay(table, { where: 'price::int > 0', chunk });
    expect(await stack.tick(config, table)).toMatchObject({ end: 'done', rows: 197, failed: 3 });
    expect(await left(table)).toBe(3);
    expect(await stack.sql('select code from longwatch.failed_row where job = $1', [table])).toEqual([{ code: '22P02' }, { code: '22P02' }, { code: '22P02' }]);
  }); // prettier-ignore

  test('rows that are held are left for the next tick', async () => {
    await fill('loot', 1_000);
    const config = decay('loot', { chunk: 50 });
    const node = stack.node(config);
    await stack.open(node, config, 'loot');
    await stack.other(async (holder) => {
      await holder.query('select 1 from loot where id <= 60 for update');
      expect(await stack.pass(node, 'loot')).toMatchObject({ end: 'done', rows: 940 });
    });
    expect(await stack.pass(node, 'loot')).toMatchObject({ end: 'done', rows: 60 });
  });
});
