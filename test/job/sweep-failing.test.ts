/**
 * Rows on which the conditions of a job themselves fail, on a real PostgreSQL: each is found, reported and left out,
 * and all others go on; with thousands of them the sweep stops and says why.
 */
import type { SweepDefinition, SweepRow } from '../../exports';
import { PassStack } from './pass-kit';

const NEVER = '366d';
const sweeps = (name: string, over: Partial<SweepDefinition> & Pick<SweepDefinition, 'due' | 'handle'>) => ({
  sweeps: [{ name, every: NEVER, table: name, page: 20, retry: { attempts: 3, base: '10ms' }, ...over }],
});

let stack: PassStack;
beforeAll(async () => {
  stack = await PassStack.start();
});
afterAll(() => stack.close());

const failed = (job: string) =>
  stack.sql<{ key: string[]; code: string; attempts: number }>(
    'select key, code, attempts from longwatch.failed_row where job = $1 order by key',
    [job],
  );
const notes = () => {
  const seen: SweepRow[] = [];
  const take = () => seen.splice(0);
  return { take, handle: (rows: SweepRow[]) => void seen.push(...rows) };
};

test('due fails on rows here and there: each is reported once a tick, all others are handled, and a mended one comes with the next tick', async () => {
  await stack.sql('create table sums (id int primary key, x int not null default 1)');
  await stack.sql('insert into sums select generate_series(1, 3000)');
  await stack.sql('update sums set x = 0 where id in (1, 2, 777, 1500, 3000)');
  const { take, handle } = notes();
  const config = sweeps('sums', { due: 'id % 10 = 7 and 10 / x > 0 or id > 2990 and 10 / x > 0 or id < 3 and 1 / x = 0', handle });
  expect(await stack.tick(config, 'sums')).toMatchObject({ end: 'done', rows: 307, failed: 4 });
  expect(new Set(take().map(({ id }) => id)).size).toBe(307);
  const zero = { code: '22012', attempts: 0 };
  expect(await failed('sums')).toEqual([['1'], ['2'], ['3000'], ['777']].map((key) => ({ key, ...zero })));
  await stack.sql('update sums set x = 1 where id = 777');
  await stack.sql('delete from sums where id = 2');
  expect(await stack.pass(stack.node(config), 'sums')).toMatchObject({ rows: 308, failed: 2 });
  expect(take().filter(({ id }) => id === 777)).toHaveLength(1);
  expect((await failed('sums')).map(({ key }) => key)).toEqual([['1'], ['3000']]);
}); // prettier-ignore

test('keys of several columns, a cast that fails; the table may be called f', async () => {
  await stack.sql('create table f (name text, at int[], level text not null, primary key (name, at))');
  await stack.sql(`insert into f select 'p' || i % 7, array[i], i::text from generate_series(1, 500) i`);
  await stack.sql(`update f set level = 'ten' where at[1] in (3, 10, 499)`);
  const { take, handle } = notes();
  const config = sweeps('f', { due: 'level::int > 0', handle });
  expect(await stack.tick(config, 'f')).toMatchObject({ end: 'done', rows: 497, failed: 3 });
  expect(take()).toHaveLength(497);
  expect((await failed('f')).map(({ key }) => key)).toEqual([['p2', '{499}'], ['p3', '{10}'], ['p3', '{3}']]);
}); // prettier-ignore

test('order fails: only on rows that are due, and those that can be ordered come in order', async () => {
  await stack.sql('create table ranked (id int primary key, rank text, done boolean not null default false)');
  await stack.sql(`insert into ranked select i, (500 - i)::text from generate_series(1, 400) i`);
  await stack.sql(`update ranked set rank = 'first' where id in (9, 300)`);
  await stack.sql(`update ranked set rank = 'old', done = true where id = 50`);
  const { take, handle } = notes();
  const config = sweeps('ranked', { due: 'not done', order: 'rank::int', concurrency: 1, handle });
  expect(await stack.tick(config, 'ranked')).toMatchObject({ end: 'done', rows: 397, failed: 2 });
  const ids = take().map(({ id }) => Number(id));
  expect(ids).toEqual([...ids].sort((a, b) => b - a));
  expect((await failed('ranked')).map(({ key }) => key)).toEqual([['300'], ['9']]);
  // Known rows cost no search: the next tick does the same.
  expect(await stack.pass(stack.node(config), 'ranked')).toMatchObject({ rows: 397, failed: 2 });
});

test('a page that waits for another attempt is handled without the row that fails by then', async () => {
  await stack.sql('create table waiting (id int primary key, x int not null default 1)');
  await stack.sql('insert into waiting select generate_series(1, 10)');
  let first = true;
  const seen: unknown[] = [];
  const config = sweeps('waiting', {
    due: '1 / x = 1',
    handle: async (rows) => {
      if (!first) return void seen.push(...rows.map(({ id }) => id));
      first = false;
      await stack.sql('update waiting set x = 0 where id = 4');
      return { retry: rows };
    },
  });
  expect(await stack.tick(config, 'waiting')).toMatchObject({ end: 'done', rows: 9, failed: 1 });
  expect(seen).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10]);
  expect(await failed('waiting')).toEqual([{ key: ['4'], code: '22012', attempts: 0 }]);
});

test('more than a thousand of them: the sweep stops, says so, and tries no more of them; mended, it goes on', async () => {
  await stack.sql('create table many (id int primary key, x int not null default 0)');
  await stack.sql('insert into many select generate_series(1, 5000)');
  const { take, handle } = notes();
  const config = sweeps('many', { due: '1 / x = 1', handle });
  const says = /due or order fails on more than 1000 rows.*mend the definition.*division by zero/;
  await expect(stack.tick(config, 'many')).rejects.toThrow(says);
  expect(await failed('many')).toHaveLength(1_000);
  await expect(stack.pass(stack.node(config), 'many')).rejects.toThrow(says);
  expect(await failed('many')).toHaveLength(1_000);
  const [open] = await stack.sql<{ error: string }>(`select error from longwatch.tick where job = 'many' and ended_at is null`);
  expect(open!.error).toMatch(says);
  await stack.sql('update many set x = 1');
  expect(await stack.pass(stack.node(config), 'many')).toMatchObject({ end: 'done', rows: 4_000, failed: 1_000 });
  expect(await stack.pass(stack.node(config), 'many', { due: Date.now() + 1 })).toMatchObject({ rows: 5_000, failed: 0 });
  expect(take()).toHaveLength(9_000);
}); // prettier-ignore

test('what fails without any row is no row’s fault', async () => {
  await stack.sql('create table constant (id int primary key, x int not null default 0)');
  await stack.sql('insert into constant select generate_series(1, 50)');
  const config = sweeps('constant', { due: 'x < 100 / (3 - :elapsed)', handle: () => undefined });
  const node = stack.node(config);
  await stack.open(node, config, 'constant');
  await expect(stack.pass(node, 'constant', { elapsed: 3 })).rejects.toThrow('division by zero');
  expect(await failed('constant')).toEqual([]);
});

test('an error of a function’s own, and one that nobody can find again', async () => {
  await stack.sql('create table raising (id int primary key, x int not null default 0)');
  await stack.sql('insert into raising select generate_series(1, 100)');
  await stack.sql(`create function is_due(id int) returns boolean language plpgsql as $$ begin
    if id = 40 then raise 'no' using errcode = '57014'; end if; return true; end $$`);
  const { take, handle } = notes();
  expect(await stack.tick(sweeps('raising', { due: 'is_due(id)', handle }), 'raising')).toMatchObject({ rows: 99, failed: 1 });
  expect(take()).toHaveLength(99);
  // Whatever comes first in the one order that is sure, no row fails; and yet the claim does not stop at it.
  const guarded = sweeps('raising', { due: 'id <> 40 and is_due(id)', handle });
  await stack.sql(`alter function is_due cost 0.0001`);
  await stack.sql('delete from longwatch.failed_row');
  expect(await stack.tick(guarded, 'raising')).toMatchObject({ rows: 99, failed: 0 });
}); // prettier-ignore

describe('a regen and a decay', () => {
  const conditions = ['text ~ pattern', `(text || '1')::int > 0`];
  test.each(conditions)('where %s: only the row that it fails on is left out, whatever PostgreSQL asks first', async (where) => {
    const name = `where_${conditions.indexOf(where)}`;
    await stack.sql(`create table ${name} (guild int, id int, n int not null default 0, text text not null default '1', pattern text not null default '.', primary key (guild, id))`);
    await stack.sql(`insert into ${name} select 1, generate_series(1, 60)`);
    await stack.sql(`update ${name} set pattern = '(', text = 'x' where id = 31`);
    // Small enough to be read as a whole, so all conditions are asked of all rows, the cheapest first.
    await stack.sql(`analyze ${name}`);
    const regen = { name, every: NEVER, table: name, set: { n: 'n + 1' }, where, chunk: 16 };
    expect(await stack.tick({ regens: [regen] }, name)).toMatchObject({ end: 'done', rows: 59, failed: 1 });
    expect((await failed(name)).map(({ key }) => key)).toEqual([['1', '31']]);
    const decay = { name: `${name}_gone`, every: NEVER, table: name, where, chunk: 16 };
    expect(await stack.tick({ decays: [decay] }, `${name}_gone`)).toMatchObject({ end: 'done', rows: 59, failed: 1 });
    expect(await stack.number(`select count(*) from ${name}`)).toBe(1);
  });
}); // prettier-ignore
