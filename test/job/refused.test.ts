/**
 * Jobs that are refused before they start, since nobody could promise what a tick of them does: asked of a real
 * PostgreSQL, run nowhere.
 */
import { Client } from 'pg';
import {
  defineConfig,
  resolveConfig,
  type DecayDefinition,
  type RegenDefinition,
  type SweepDefinition,
} from '../../exports';
import { checkJob } from '../../activities/job/check';
import { declareJob, openJob, setJobOptions } from '../../activities/job/commands';
import { explainWork } from '../../activities/job/explain';
import { regenStatement, withRule, type RegenWork } from '../../activities/job/statement';
import { Database } from '../../activities/lib/database';
import { pino } from 'pino';
import { PassStack } from './pass-kit';

const NEVER = '366d';
let stack: PassStack;
let database: Database;
beforeAll(async () => {
  stack = await PassStack.start({ own: true });
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  await stack.sql('create table player (id int primary key, s int not null default 0, rank text, share numeric(10, 2) not null default 0, f float8 not null default 0)');
  await stack.sql('create table other (id int primary key, s int not null default 0)');
  await stack.sql('create table parted (id int primary key, s int not null default 0) partition by range (id)');
  await stack.sql('create table parted_1 partition of parted for values from (0) to (50)');
  await stack.sql('create table parted_2 partition of parted for values from (50) to (100)');
  await stack.sql('insert into player (id) select generate_series(1, 100)');
}); // prettier-ignore
afterAll(async () => {
  await database.close();
  await stack.close();
});

const regen = (over: Partial<RegenDefinition>) =>
  resolveConfig(defineConfig({ regens: [{ name: 'r', every: NEVER, table: 'player', ...over }] })).jobs[0]!.options;
const decay = (over: Partial<DecayDefinition>) =>
  resolveConfig(defineConfig({ decays: [{ name: 'd', every: NEVER, table: 'player', where: 'true', ...over }] }))
    .jobs[0]!.options;
const sweep = (over: Partial<SweepDefinition>) =>
  resolveConfig(defineConfig({ sweeps: [{ name: 's', every: NEVER, table: 'player', due: 'true', handle: () => undefined, ...over }] })).jobs[0]!.options; // prettier-ignore

describe('a statement of one’s own', () => {
  test.each<[string, RegExp]>([
    ['update player set s = s + 1 where s >= 0 or s < 0 and :range', /joined by AND/],
    ['update player set s = s + 1 where not :range', /joined by AND/],
    ['update only player set s = s + 1 where s is distinct from 5 or :range', /joined by AND/],
    ['update player set s = s + 1 where :range is distinct from true', /joined by AND/],
    ['with b as materialized (select id from player where :range(player)) update player p set s = 1 from b where b.id = p.id', /joined by AND/],
    ['with u as materialized (update other set s = s + 1 returning id) update player set s = s + 1 where :range', /one UPDATE/],
    ['update player set s = s + 1 where (:range) is not null', /joined by AND/],
    ['update player set s = s + 1 where case when :range then true else true end', /joined by AND|cannot be read/],
    ['update player set s = s + 1 where :range and :range', /must stand once/],
    ['update player p set s = p.s + 1 where exists (select 1 from player q where :range(q))', /joined by AND/],
    ['update player p set s = p.s + 1 from player q where p.id > 0 and :range(q)', /:range\(q\) must be of the table that is updated, which is p/],
    ['with u as (update other set s = s + 1 returning id) update player set s = s + 1 where :range', /one UPDATE/],
    ['with u as (delete from other returning id) update player set s = s + 1 where :range', /one UPDATE|cannot be read/],
    ['update other set s = s + 1 where :range', /updates public.other, not the table/],
    ['update player set s = s + $1 where :range', /nobody gives a value for \$1/],
    ['update player set s = s + 1 /* a /* b */ :range */ where true', /no :range/],
    ['delete from player where :range', /one UPDATE/],
    ['update player set id = id + 10 where :range', /id is part of the key/],
    ['update player p set (s, ID) = (1, p.id + 10) where :range(p)', /id is part of the key/],
    ['update player set s = s + 1 -- a note\r + $1\n where :range', /nobody gives a value for \$1/],
  ])('%s', async (sql, words) => {
    await expect(checkJob(database, regen({ sql }))).rejects.toThrow(words);
  }); // prettier-ignore

  test('an UPDATE of another table is refused beside a partitioned one', async () => {
    const sql = 'update other set s = s + 1 where :range';
    await expect(checkJob(database, regen({ table: 'parted', sql }))).rejects.toThrow(/updates public.other/);
    await checkJob(
      database,
      regen({ table: 'parted', sql: 'update parted p set s = s + 1 where :range(p) and s < 5' }),
    );
  });

  test.each([
    'update player p set s = p.s + o.s from other o where o.id = p.id and :range(p) and p.s > 0',
    'UPDATE public.player AS "P" SET s = "P".s + :elapsed WHERE ("P".s < 5 OR "P".s > 7) AND :range("P") -- :range',
    'with bonus as (select id, s from other) update player p set s = p.s + b.s from bonus b where b.id = p.id and :range(p)',
    'update player set s = s + 1 where :range',
    'update only player set s = s + 1 where s is distinct from 5 and :range',
    "update player set s = s + 1 where rank <> ' is distinct from ' and :range",
    'with bonus as materialized (select id, s from other) update player p set s = p.s + b.s from bonus b where b.id = p.id and p.s is /* so */ not distinct from b.s and :range(p)',
  ])('%s is taken', async (sql) => {
    await checkJob(database, regen({ sql }));
  });
});

test.each<[string, () => ReturnType<typeof regen>, RegExp]>([
  ['a parameter in an expression', () => regen({ set: { s: 's + 1' }, where: 's > $1' }), /^where: nobody gives a value for \$1/],
  ['a parameter of a decay', () => decay({ where: 's > $2' }), /where: nobody gives/],
  ['a parameter of a sweep', () => sweep({ due: 's > $1' }), /due: nobody gives/],
  ['a statement that reads its own table', () => regen({ set: { s: 's + (select max(s) from player)' } }), /chunk: 'all'/],
  ['the same through a view', () => regen({ set: { s: 's + (select n from best)' } }), /chunk: 'all'/],
  ['the same of partitions', () => regen({ table: 'parted', set: { s: 's + (select max(s) from parted)' } }), /chunk: 'all'/],
  ['the same as a condition of a decay', () => decay({ where: 'exists (select from player q where q.id = player.id + 1)' }), /chunk: 'all'/],
  ['Longwatch’s own tables', () => decay({ table: 'longwatch.tick' }), /Longwatch's own/],
  ['Longwatch’s own tables as a target', () => decay({ moveTo: 'longwatch.claim' }), /Longwatch's own/],
  ['a fraction for an integer column', () => regen({ rule: { column: 's', add: 0.4 } }), /rule\.add: it is numeric, and s is integer/],
  ['a fraction as the limit', () => regen({ rule: { column: 's', add: 1, max: 10.5 } }), /rule\.max: it is numeric/],
  ['a floating fraction', () => regen({ rule: { column: 's', add: 'f / 2' } }), /double precision/],
  ['more digits than the column keeps', () => regen({ rule: { column: 'share', add: '0.333' } }), /rule\.add: it is numeric, and share is numeric\(10,2\)/],
  ['a key by another collation', () => regen({ table: 'sorted', key: 'name', set: { n: '1' } }), /in their own order/],
  ['a key by another operator class', () => regen({ table: 'sorted', key: 'code', set: { n: '1' } }), /in their own order/],
  ['a key in two directions', () => regen({ table: 'sorted', key: ['a', 'b'], set: { n: '1' } }), /in their own order/],
  ['a row that has no place', () => regen({ table: 'loose', key: 'id', set: { s: '1' } }), /may be null/],
])('%s is refused', async (_what, options, words) => {
  await stack.sql('create or replace view best as select max(s) as n from player');
  await stack.sql('create table if not exists loose (id int unique, s int)');
  await stack.sql('create table if not exists sorted (name text not null, code text not null, a int not null, b int not null, n int)');
  await stack.sql('create unique index if not exists s1 on sorted (name collate "C")');
  await stack.sql('create unique index if not exists s2 on sorted (code text_pattern_ops)');
  await stack.sql('create unique index if not exists s3 on sorted (a, b desc)');
  await expect(checkJob(database, options())).rejects.toThrow(words);
}); // prettier-ignore

test('what looks like these is taken', async () => {
  for (const options of [
    regen({ set: { s: 's + :elapsed /* a /* b */ :elapsed $1 */' }, where: `rank <> '$1'` }),
    regen({ set: { s: 's + (select max(s) from player)' }, chunk: 'all' }),
    regen({ set: { s: 's + (select max(s) from other)' } }),
    regen({ rule: { column: 'share', add: '0.25', max: 100 } }),
    regen({ rule: { column: 'f', add: 0.4 } }),
    regen({ table: 'falling', key: ['a', 'b'], set: { n: '1' } }),
    regen({ rule: { column: 's', add: 'floor(f)::int', max: 10 } }),
    sweep({ order: 'extract(epoch from id * interval \'1 s\') -- now()' }),
    sweep({ order: '"now"', table: 'timed' }),
  ]) {
    await stack.sql('create table if not exists timed (id int primary key, "now" int)');
    await stack.sql('create table if not exists falling (a int not null, b int not null, n int)');
    await stack.sql('create unique index if not exists f1 on falling (a desc, b desc) include (n)');
    await checkJob(database, options);
  }
}); // prettier-ignore

test('a chunk that is set by hand is checked as well, and so is a definition under what was set by hand', async () => {
  const unbound = regen({ sql: 'update player set s = s + 1', chunk: 'all' });
  const bound = regen({ set: { s: 's + 1' }, chunk: 'all' });
  const job = 'whole';
  const set = (value: number | null) => setJobOptions(database, { job, changes: [{ path: 'chunk', value }] });
  await openJob(database, { job, options: unbound });
  await expect(set(10)).rejects.toThrow(/no :range/);
  await declareJob(database, { job, options: bound });
  await set(10);
  await expect(declareJob(database, { job, options: unbound })).rejects.toThrow(/no :range/);
  const reading = regen({ set: { s: 's + (select max(s) from player)' }, chunk: 'all' });
  await expect(openJob(database, { job, options: reading })).rejects.toThrow(/chunk: 'all'/);
  await set(null);
  await declareJob(database, { job, options: unbound });
});

test('an option is set only where the row has the version that was read; a lost answer is no conflict', async () => {
  const job = 'versioned';
  const { version } = await openJob(database, { job, options: regen({ set: { s: 's + 1' } }) });
  const set = (value: number, expects: number) =>
    setJobOptions(database, { job, changes: [{ path: 'keep', value }], expects });
  await expect(set(7, version - 1)).rejects.toMatchObject({ type: 'Changed', nonRetryable: true });
  expect(await set(7, version)).toEqual({ changed: true, version: version + 1 });
  expect(await set(7, version)).toEqual({ changed: false, version: version + 1 });
  await expect(set(8, version)).rejects.toMatchObject({ type: 'Changed' });
});

test('PostgreSQL 18: a key column whose NOT NULL was never checked may be null', async () => {
  if ((await stack.number('show server_version_num')) < 180_000) return;
  await stack.sql('create table unchecked (id int unique, s int)');
  await stack.sql('insert into unchecked values (null, 1), (1, 1)');
  await stack.sql('alter table unchecked add constraint there not null id not valid');
  await expect(checkJob(database, regen({ table: 'unchecked', key: 'id', set: { s: '1' } }))).rejects.toThrow(/may be null/);
}); // prettier-ignore

describe('row-level policies that hold for the worker', () => {
  let restricted: Database;
  beforeAll(async () => {
    await stack.sql('create table acct (id int primary key, tenant int not null, energy int not null default 0)');
    await stack.sql('insert into acct select g, g % 3 from generate_series(1, 9) g');
    await stack.sql('alter table acct enable row level security');
    await stack.sql(`create policy t on acct using (tenant = current_setting('app.tenant', true)::int)`);
    await stack.sql(`create role lwapp login password 'app'`);
    await stack.sql('grant all on acct to lwapp');
    const url = new URL(stack.servers.databaseUrl);
    url.username = 'lwapp';
    url.password = 'app';
    restricted = new Database({ url: url.href, log: pino({ level: 'silent' }) });
  });
  afterAll(() => restricted.close());
  const energy = (over: Partial<RegenDefinition> = {}) =>
    regen({ table: 'acct', set: { energy: 'energy + 1' }, ...over });

  test('are refused, unless they are said to be meant', async () => {
    const words = /acct has row-level policies that hold for the role lwapp.*policies: true/;
    await expect(checkJob(restricted, energy())).rejects.toThrow(words);
    await expect(restricted.transaction((db) => explainWork(db, energy()))).rejects.toThrow(words);
    await checkJob(restricted, energy({ policies: true }));
    // Roles above them are not asked.
    await checkJob(database, energy());
  });
});

test('a chunk of a key of two columns is planned as the part of the table that it is', async () => {
  await stack.sql('create table pair (a int, b int, n int not null default 0, primary key (a, b))');
  await stack.sql('insert into pair select i / 1000, i % 1000 from generate_series(0, 199999) i');
  await stack.sql('analyze pair');
  const work = withRule(regen({ table: 'pair', set: { n: 'n + 1' } }).work) as RegenWork;
  const table = await checkJob(database, regen({ table: 'pair', set: { n: 'n + 1' } }));
  const statement = regenStatement(work, table, { after: true, upto: true });
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  await client.connect();
  try {
    const values = statement.values({ after0: '100', after1: '10', upto0: '101', upto1: '509' });
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${statement.shown}`, values);
    const estimated = Number(/Index Scan.*rows=(\d+)/.exec(rows.map((row) => row['QUERY PLAN']).join('\n'))?.[1]);
    expect(estimated).toBeGreaterThan(100);
    expect(estimated).toBeLessThan(10_000);
  } finally {
    await client.end();
  }
});
