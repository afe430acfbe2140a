/**
 * The lazy form of a regen and the eager one come from one rule: on random histories they give the same values, in SQL
 * and in TypeScript.
 */
import fc from 'fast-check';
import { defineRegen, lazyRegen, resolveConfig, type RegenDefinition, type RuleDefinition } from '../../exports';
import { readTable } from '../../activities/job/catalog';
import { regenStatement, withRule, type RegenWork } from '../../activities/job/statement';
import { Database } from '../../activities/lib/database';
import { compileExpression } from '../../activities/job/evaluate';
import { Stack } from '../support/stack';

const EVERY = 1_000;
/** Not on the grid, and long ago. */
const BASE = Date.UTC(2026, 0, 1) + 137;
const ROWS = 40;
const TYPES = { stamina: 'integer', endurance: 'integer', max_stamina: 'integer', is_dead: 'boolean' };

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: stack.log });
  const columns =
    'id int primary key, stamina int not null, endurance int not null, max_stamina int, is_dead boolean not null';
  await stack.sql(`create table eager (${columns})`);
  await stack.sql(`create table lazy (${columns}, stamina_at timestamptz not null)`);
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

const at = (ms: number): string => `to_timestamp(${(BASE + ms) / 1_000}::numeric)`;

/** An event at a time: nothing but ticks, or a write of one column of some rows. */
type Event = { afterMs: number; change: string; rows: number; together: boolean };
const event: fc.Arbitrary<Event> = fc.record({
  afterMs: fc.integer({ min: 0, max: 4_500 }),
  change: fc.constantFrom(
    'stamina = stamina - 7',
    'stamina = stamina + 15',
    'is_dead = not is_dead',
    'endurance = endurance + 11',
    'max_stamina = coalesce(max_stamina, 30) - 9',
    'max_stamina = null',
  ),
  rows: fc.integer({ min: 1, max: 7 }),
  together: fc.boolean(),
});

test.each<[string, RuleDefinition]>([
  ['up to a maximum', { column: 'stamina', add: '1 + endurance / 10', max: 'max_stamina' }],
  ['down to a minimum', { column: 'stamina', add: '-(endurance % 4) -- it tires', min: 5 }],
  ['either way, between two limits', { column: 'stamina', add: 'case when endurance > 20 then 3 else -2 end', max: 'coalesce(max_stamina, 50)', min: 'least(0, endurance - 15)' }],
  ['without a limit', { column: 'stamina', add: 2 }],
])('%s', async (_name, rule) => {
  const definition = defineRegen({ name: 'r', every: EVERY, table: 'eager', rule, where: 'not is_dead' });
  const lazy = lazyRegen(definition, { types: TYPES });
  const eager = await eagerOf(definition);
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12 }), async (events) => {
      await stack.sql('truncate eager, lazy');
      const fill = `select i, i * 3 % 70, i, case when i % 9 = 0 then null else 20 + i % 60 end, i % 5 = 0`;
      await stack.sql(`insert into eager ${fill} from generate_series(1, ${ROWS}) i`);
      await stack.sql(`insert into lazy ${fill}, ${at(0)} from generate_series(1, ${ROWS}) i`);
      let now = 0;
      for (const { afterMs, change, rows, together } of events) {
        const ticks = lazy.ticks(new Date(BASE + now), new Date(BASE + now + afterMs));
        now += afterMs;
        // Several ticks in one pass, as after a downtime, or one after the other.
        if (together && ticks > 0) await eager(ticks);
        else for (let tick = 0; tick < ticks; tick++) await eager(1);
        await stack.sql(`update eager set ${change} where id % 7 < ${rows}`);
        // A writer stores the value as it is by then, and the time.
        const value = lazy.sql({ asOf: 'stamina_at', now: at(now) });
        await stack.sql(`update lazy set stamina = ${value}, stamina_at = ${at(now)} where id % 7 < ${rows}`);
        await stack.sql(`update lazy set ${change} where id % 7 < ${rows}`);
      }
      const value = lazy.sql({ asOf: 'stamina_at', now: at(now) });
      const found = await stack.sql<Record<string, unknown> & { eager: number; by_sql: number; stamina_at: Date }>(
        `select lazy.*, (${value}) as by_sql, eager.stamina as eager from lazy join eager using (id)`.replace(/"stamina"/g, 'lazy."stamina"').replace(/\b(endurance|is_dead|max_stamina)\b/g, 'lazy.$1'),
      );
      expect(found.length).toBe(ROWS);
      for (const row of found) {
        expect({ id: row.id, sql: row.by_sql, ts: lazy.value(row, row.stamina_at, new Date(BASE + now)) }).toEqual({
          id: row.id,
          sql: row.eager,
          ts: row.eager,
        });
      }
    }),
    { numRuns: 15 },
  );
}); // prettier-ignore

/** One tick of the eager form, as a pass runs it. */
async function eagerOf(definition: RegenDefinition): Promise<(elapsed: number) => Promise<void>> {
  const work = withRule(resolveConfig({ regens: [definition] }).jobs[0]!.options.work) as RegenWork;
  const table = await database.transaction((db) => readTable(db, work.table));
  const statement = regenStatement(work, table, { after: false, upto: false });
  return (elapsed) => database.transaction(async (db) => void (await statement.run(db, { elapsed, due: new Date() })));
}

test('expressions are computed as PostgreSQL does, and what is beyond them is refused at once', async () => {
  const row = { a: 7, b: -3, big: '12', no: null, yes: true, f: 10, n: '10', rank: '07', half: 2.5 };
  const types = {
    a: 'integer',
    b: 'int4',
    big: 'bigint',
    no: 'int',
    yes: 'boolean',
    f: 'double precision',
    n: 'numeric(10,2)',
    rank: 'text',
    half: 'real',
  };
  const expressions = ['a / 2', 'b / 2', '-a % 3', 'a + b * 2', 'least(a, no, b)', 'greatest(no, a)', 'coalesce(no, big)', 'abs(b)',
    'case when a > 5 and not (b >= 0) then 1 when yes then 2 end', 'no + 1', 'case when no = 1 then 1 else 2 end', '(a + 1) * -b - 4 / 3', 'floor(a / 2.0)',
    // Types decide, not values.
    'a / 10.0', 'a / 2 * 1.0', 'f / 4', 'n / 4', 'big / 5', 'half * 2 / 2', 'floor(a) / 2', 'a::numeric / 2', '(a / 2)::float8 / 2', 'abs(b) / 2', 'coalesce(no, a) / 2', 'least(a, half) / 2', 'case when yes then a else b end / 2', 'case when yes then a else 1.5 end / 2',
    `case when rank = '7' then 1 else 2 end`, `case when rank = '07' then 1 else 2 end`, `case when big = '12' then 1 else 2 end`, `case when rank <> '7' then 1 else 2 end`, `case when n = 10 then 1 else 2 end`, `'3' + a`]; // prettier-ignore
  const [expected] = await stack.sql<Record<string, unknown>>(
    `select ${expressions.map((one, index) => `(${one})::float8 as c${index}`).join(', ')}
     from (values (7, -3, 12::bigint, null::int, true, 10::float8, 10::numeric(10, 2), text '07', 2.5::real)) as t (a, b, big, no, yes, f, n, rank, half)`,
  );
  expressions.forEach((one, index) =>
    expect([one, compileExpression(one, types)(row)]).toEqual([one, expected![`c${index}`]]),
  );
  // If nobody says what a column is, it is not guessed.
  for (const unknown of ['1 + a / 10', 'a / b', `case when rank = '7' then 1 end`, 'coalesce(a, 1) / 2']) {
    expect(() => compileExpression(unknown)).toThrow(/give it, as in lazyRegen/);
  }
  expect(compileExpression('a / 2.0')(row)).toBe(3.5);
  expect(() => compileExpression('case when rank = a then 1 end')(row)).toThrow(/types are not known|not a number/);
  expect(() => compileExpression(`case when rank > '7' then 1 end`, types)).toThrow(/collation/);
  expect(() => compileExpression('big + 1', types)({ big: '9007199254740993' })).toThrow(/beyond what/);
  expect(() => compileExpression('a / 0', types)(row)).toThrow(/division by zero/);
  expect(() => compileExpression('missing + 1')(row)).toThrow(/no missing/);
  for (const beyond of ['(select 1)', 'random()', 'a in (1, 2)', 'a +', "now() - interval '1 day'", 'a) + (b']) {
    expect(() => compileExpression(beyond)).toThrow(/cannot be computed outside of the database/);
  }
  const rule = { column: 'stamina', add: '1 + endurance / 10' };
  const untyped = lazyRegen({ name: 'x', every: '1s', table: 't', rule });
  expect(untyped.sql({ asOf: 'at' })).toMatch(/endurance/);
  expect(() => untyped.value({ stamina: 1, endurance: 5 }, new Date(0))).toThrow(/depends on the type of endurance/);
  expect(() => lazyRegen({ name: 'x', every: '1s', table: 't', rule: { ...rule, add: 'random()' } })).toThrow(
    /cannot be computed/,
  );
  const fraction = { column: 'stamina', add: '0.4' };
  expect(() => lazyRegen({ name: 'x', every: '1s', table: 't', rule: fraction }, { types: TYPES })).toThrow(
    /keeps fractions/,
  );
  expect(() => lazyRegen({ name: 'x', every: '1s', table: 't', set: { a: '1' } })).toThrow(
    /with a rule and an interval/,
  );
});
