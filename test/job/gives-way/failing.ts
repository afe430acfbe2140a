/** Part of `gives-way.test.ts`: rows that fail are found and reported, and all others go on, in a decay too. */
import type { RegenDefinition } from '../../../exports';
import { NEVER, regens, stack, make, sums } from './table';

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
  });

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
