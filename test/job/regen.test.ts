/**
 * Regens on real servers: what a tick does to each row, what is refused before it begins, and what an operator can say.
 */
import { defineConfig, defineRegen, resolveConfig, type RegenDefinition } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { jobWorkflowId } from '../../workflows/job/contract';
import { eventually, Stack } from '../support/stack';
import { withTemporal } from '../support/temporal';
import { makePlayers, optionsOf, startJob, valuesOf } from './kit';

const NEVER = '366d';
const one = (definition: Partial<RegenDefinition> & { name: string }) =>
  defineRegen({ every: NEVER, table: 'player', ...definition });

const config = defineConfig({
  regens: [
    one({
      name: 'stamina',
      set: { stamina: 'least(stamina + :elapsed * (1 + endurance / 10), max_stamina) -- capped' },
      where: 'not is_dead and stamina < max_stamina -- the living',
    }),
    one({ name: 'ticking', every: '200ms', table: 'ticking', set: { stamina: 'stamina + 1' } }),
    one({ name: 'slow', every: '200ms', table: 'slow', set: { stamina: 'stamina + 1 + (pg_sleep(0.7) is null)::int' }, chunk: 'all', missed: 'skip' }),
    one({ name: 'chunked', table: 'chunked', set: { stamina: 'stamina + 1' }, chunk: 100, concurrency: 3, pace: 'full' }),
    one({ name: 'whole', table: 'whole', set: { stamina: 'stamina + 1' }, chunk: 'all' }),
    one({ name: 'small', table: 'whole', set: { stamina: 'stamina + 1' } }),
    one({ name: 'halted', table: 'whole', set: { stamina: 'stamina + 1' } }),
    one({ name: 'dividing', table: 'dividing', set: { stamina: '1000 / endurance' }, chunk: 64 }),
    one({ name: 'dividing-whole', table: 'dividing', set: { stamina: '1 + 1000 / endurance' }, chunk: 'all' }),
    one({ name: 'moving', table: 'moving', set: { stamina: 'stamina + 1' }, chunk: 50, pace: 500 }),
    one({ name: 'quoted', table: { schema: 'Odd "schema"', name: "it's.a table" }, set: { 'Val"ue': '"Val""ue" + 1' }, chunk: 7 }),
    one({ name: 'two-columns', table: 'pair', set: { n: 'n + 1' }, chunk: 10, concurrency: 2 }),
    one({
      name: 'own-sql',
      sql: `update player p set stamina = p.stamina + g.bonus from guild g
            where g.id = p.endurance and :range(p) and p.endurance > 0 and 'a :range' <> '' -- :elapsed`,
      chunk: 300,
    }),
    one({ name: 'partitioned', table: 'parted', set: { n: 'n + 1' }, chunk: 20 }),
    one({ name: 'ruled', table: 'ruled', rule: { column: 'stamina', add: '1 + endurance / 10', max: 'max_stamina' }, where: 'not is_dead' }),
  ],
}); // prettier-ignore

/**
 * 'whole' is below the 2,000 rows of a first chunk: whether a slow machine has made chunks smaller does not reach it.
 */
const ROWS: Record<string, number> = { slow: 1, whole: 1_500 };

let stack: Stack;
let longwatch: Longwatch;
let metricsUrl: string;

beforeAll(async () => {
  stack = await Stack.start();
  for (const table of ['player', 'ticking', 'slow', 'chunked', 'whole', 'dividing', 'moving', 'ruled']) {
    await makePlayers(stack, table, ROWS[table] ?? 2_000);
  }
  ({ metricsUrl } = await stack.worker(config));
  longwatch = await stack.connect();
});
afterAll(() => stack.close());

const start = (name: string) => startJob(longwatch, config, name);

test('a run by hand advances the living once, up to the maximum, and answers with its rows and band', async () => {
  await stack.sql('update player set is_dead = true where id % 10 = 0');
  await stack.sql('update player set stamina = 99 where id = 1');
  const job = await start('stamina');
  const tick = await job.run();
  expect(tick).toMatchObject({ rows: 1_800, failed: 0, by: 'hand', elapsed: 1, error: null });
  // On a machine that is busy it may be another one.
  expect(tick.band).toMatch(/^(excellent|good|fair|warning)$/);
  expect(tick.roundTripP99Ms).toBeGreaterThan(0);
  expect(await valuesOf(stack, 'player')).toEqual({ 0: 200, 2: 1_799, 100: 1 });
  expect((await job.run()).rows).toBe(1_799);
  expect((await job.history()).length).toBe(2);
  expect((await job.start()).alreadyRunning).toBe(true);
});

test('the worker counts ticks by band, rows, and how long they were locked', async () => {
  const job = await start('small');
  const { band } = await job.run();
  const page = await (await fetch(metricsUrl)).text();
  expect(page).toContain(`longwatch_job_ticks_total{job="small",band="${band}"} 1\n`);
  expect(page).toMatch(/^longwatch_job_rows_total{job="small"} 1500$/m);
  expect(page).toMatch(/^longwatch_job_chunk_duration_seconds_count{job="small"} 1$/m);
  expect(page).toMatch(/^longwatch_job_round_trip_seconds_count{job="small"} 1$/m);
  await stack.sql('update whole set stamina = 0');
});

test('ticks come at their time, without drift, one after the other', async () => {
  const job = await start('ticking');
  await eventually('ten ticks', async () => (await job.history()).length >= 10);
  // Asked by several at once, one has stopped it.
  const stops = await Promise.all([job.stop(), job.stop(), job.stop()]);
  expect(stops.map(({ changed }) => changed).sort()).toEqual([false, false, true]);
  const ticks = await job.history(1_000);
  for (const tick of ticks) expect(Date.parse(tick.due) % 200).toBe(0);
  expect(await valuesOf(stack, 'ticking')).toEqual({ [ticks.length]: 500 * 4 });
  await expect(job.run()).rejects.toThrow(/is stopped/);
  expect(await job.stop()).toEqual({ state: 'stopped', changed: false });
});

test('paused, nothing ticks but what is asked for by hand; resumed, what fell due meanwhile is not made up for', async () => {
  const job = await start('ticking');
  await job.pause();
  // A tick that the pause has interrupted is ended first, by whatever runs next.
  await job.run();
  const before = (await job.history(1_000)).length;
  expect((await job.run()).by).toBe('hand');
  expect((await job.history(1_000)).length).toBe(before + 1);
  await job.set({ missed: 50 });
  const since = Date.now();
  await eventually('fifteen intervals have fallen due', () => Date.now() - since > 3_000);
  const resumed = Date.now();
  await job.resume();
  // In the job's row as well: a workflow that is brought back before a tick has ended knows nothing else of the pause.
  const [row] = await stack.sql<{ ms: number }>(
    `select (extract(epoch from settled_until) * 1000)::float8 as ms from longwatch.job where name = 'ticking'`,
  );
  expect(row!.ms).toBeGreaterThanOrEqual(since + 3_000);
  await eventually('it ticks', async () => (await job.history(1_000)).length > before + 3);
  await job.stop();
  const after = (await job.history(1_000)).filter((tick) => Date.parse(tick.due) > resumed);
  expect(after.length).toBeGreaterThan(2);
  // A busy machine may be some intervals late, and makes up for those alone: not for the fifteen that fell due before.
  const intervals = (Math.max(...after.map(({ due }) => Date.parse(due))) - resumed) / 200;
  expect(after.reduce((sum, { elapsed }) => sum + elapsed, 0)).toBeLessThanOrEqual(intervals + 1);
});

test('a tick that takes longer than its interval is not overlapped, and the ticks it missed are skipped', async () => {
  const job = await start('slow');
  await eventually('three ticks', async () => (await job.history()).length >= 3);
  await job.stop();
  const ticks = (await job.history()).reverse();
  ticks.slice(1).forEach((tick, index) => {
    expect(Date.parse(tick.startedAt)).toBeGreaterThanOrEqual(Date.parse(ticks[index]!.endedAt!));
    expect(Date.parse(tick.due) - Date.parse(ticks[index]!.due)).toBeGreaterThanOrEqual(800);
  });
  expect(await valuesOf(stack, 'slow')).toEqual({ [ticks.length]: 1 });
});

test('chunks: each row once, and a table below one chunk, or chunk all, is exactly one statement', async () => {
  const chunked = await start('chunked');
  expect(await chunked.run()).toMatchObject({ rows: 2_000, chunks: 20 });
  expect(await valuesOf(stack, 'chunked')).toEqual({ 1: 2_000 });

  await stack.sql('create table statements (n serial)');
  await stack.sql(`create function count_statement() returns trigger language plpgsql as
    $$ begin insert into statements default values; return null; end $$`);
  await stack.sql('create trigger counted after update on whole for each statement execute function count_statement()');
  const counted = async () => (await stack.sql<{ n: number }>('select count(*)::int as n from statements'))[0]!.n;
  expect(await (await start('whole')).run()).toMatchObject({ rows: 1_500, chunks: 1 });
  expect(await counted()).toBe(1);
  expect(await (await start('small')).run()).toMatchObject({ rows: 1_500, chunks: 1 });
  expect(await counted()).toBe(2);
  expect(await valuesOf(stack, 'whole')).toEqual({ 2: 1_500 });
});

test.each(['dividing', 'dividing-whole'])(
  '%s: rows that fail are found, reported and left out; all others advance',
  async (name) => {
    await stack.sql('update dividing set stamina = 0, endurance = 10');
    await stack.sql('update dividing set endurance = 0 where id in (1, 777, 778, 2000)');
    const job = await start(name);
    const tick = await job.run();
    expect(tick).toMatchObject({ rows: 1_996, failed: 4 });
    expect(await valuesOf(stack, 'dividing')).toEqual({ 0: 4, [name === 'dividing' ? 100 : 101]: 1_996 });
    const failed = await job.failedRows();
    expect(failed.map((row) => row.key[0]).sort()).toEqual(['1', '2000', '777', '778']);
    expect(failed[0]).toMatchObject({ error: 'division by zero', code: '22012' });
    // Mended, they take part again, and nothing is reported any more.
    await stack.sql('update dividing set endurance = 10, stamina = 0');
    expect(await job.run()).toMatchObject({ rows: 2_000, failed: 0 });
    expect(await job.failedRows()).toEqual([]);
  },
);

test('rows that come and go during the pass: those that stay are advanced once, newcomers at most once', async () => {
  const job = await start('moving');
  const running = job.run();
  let next = 2_000;
  await eventually('it has begun', async () => ((await job.status()).open?.rows ?? 0) > 100);
  while ((await job.status()).open) {
    next++;
    await stack.sql('insert into moving (id) values ($1), ($2)', [next, -next]);
    await stack.sql('delete from moving where id = $1', [4_000 - next]);
  }
  await running;
  expect(next).toBeGreaterThan(2_002);
  const wrong = await stack.sql(`select id from moving where id between 1 and 2000 and stamina <> 1`);
  expect(wrong).toEqual([]);
  const newcomers = await stack.sql<{ id: string; stamina: number }>(
    'select id, stamina from moving where id < 1 or id > 2000',
  );
  expect(newcomers.length).toBe((next - 2_000) * 2);
  for (const { stamina } of newcomers) expect(stamina).toBeLessThanOrEqual(1);
  // Above the last key of the beginning nothing is touched.
  expect(newcomers.filter(({ id, stamina }) => Number(id) > 2_000 && stamina > 0)).toEqual([]);
});

test('who waits for a run is told when the job is stopped', async () => {
  const job = await start('moving');
  // Slow enough to be there still when it is stopped.
  await job.set({ pace: 50 });
  const begun = job.run();
  const told = expect(begun).rejects.toThrow(/was stopped in the middle of the tick/);
  await eventually('it has begun', async () => (await job.status()).open);
  const waiting = expect(job.run()).rejects.toThrow(/is stopped, so nothing was done/);
  // Asked for by now: the answer to `set` comes after it.
  await job.set({ pace: 400 });
  await job.stop();
  await Promise.all([told, waiting]);
});

test('a stop that is written and not yet answered begins no tick', async () => {
  const job = await start('halted');
  // As a pass finds it that is sent out before the workflow hears of its own activity's success.
  await stack.sql(`update longwatch.job set state = 'stopped' where name = 'halted'`);
  await expect(job.run()).rejects.toThrow(/is stopped, so nothing was done/);
  await withTemporal(stack.servers, (temporal) => temporal.workflow.getHandle(jobWorkflowId('halted')).result());
  expect(await stack.sql(`select due from longwatch.tick where job = 'halted'`)).toEqual([]);
  await job.start();
  expect(await job.run()).toMatchObject({ failed: 0, error: null });
});

test('odd names, keys of two columns, partitions, own SQL and rules', async () => {
  await stack.sql('create schema "Odd ""schema"""');
  await stack.sql(
    `create table "Odd ""schema"""."it's.a table" ("Key 'x'" text collate "C" primary key, "Val""ue" int default 0)`,
  );
  await stack.sql(
    `insert into "Odd ""schema"""."it's.a table" select 'k' || chr(i) || '''"' from generate_series(32, 126) i`,
  );
  expect(await (await start('quoted')).run()).toMatchObject({ rows: 95, chunks: 14 });

  await stack.sql('create table pair (a text, b uuid default gen_random_uuid(), n int default 0, primary key (a, b))');
  await stack.sql(`insert into pair (a) select (i % 7)::text from generate_series(1, 105) i`);
  expect(await (await start('two-columns')).run()).toMatchObject({ rows: 105 });
  expect(await valuesOf(stack, 'pair', 'n')).toEqual({ 1: 105 });

  await stack.sql('create table parted (id int primary key, n int default 0) partition by range (id)');
  await stack.sql('create table parted_1 partition of parted for values from (0) to (50)');
  await stack.sql('create table parted_2 partition of parted for values from (50) to (200)');
  await stack.sql('insert into parted select generate_series(1, 120)');
  expect(await (await start('partitioned')).run()).toMatchObject({ rows: 120, chunks: 6 });
  expect(await valuesOf(stack, 'parted', 'n')).toEqual({ 1: 120 });

  await stack.sql('create table guild (id int primary key, bonus int)');
  await stack.sql('insert into guild values (10, 5)');
  await stack.sql('update player set stamina = 0');
  expect(await (await start('own-sql')).run()).toMatchObject({ rows: 2_000, chunks: 7 });
  expect(await valuesOf(stack, 'player')).toEqual({ 5: 2_000 });

  await stack.sql('update ruled set is_dead = true where id > 1000');
  await stack.sql('update ruled set stamina = 99 where id = 1');
  expect(await (await start('ruled')).run()).toMatchObject({ rows: 1_000 });
  expect(await valuesOf(stack, 'ruled')).toEqual({ 0: 1_000, 2: 999, 100: 1 });
});

describe('refused at the start, with PostgreSQL’s words and the place', () => {
  const refusal = async (definition: Partial<RegenDefinition>): Promise<string> => {
    const made = defineConfig({ regens: [one({ name: 'wrong', ...definition })] });
    const options = resolveConfig(made).jobs[0]!.options;
    const failed = await longwatch.job('wrong').start(options).then(
      () => 'it was started',
      (error: Error) => error.message,
    ); // prettier-ignore
    // The row is not made by a refusal.
    expect(await longwatch.jobs()).not.toContain('wrong');
    return failed;
  };
  test.each<[Partial<RegenDefinition>, RegExp]>([
    [{ set: { stamina: 'stmina + 1' } }, /^set\.stamina: column "stmina" does not exist \(character 1 of set\.stamina: stmina \+ 1\)/],
    [{ set: { stamina: 'stamina + ' } }, /^set\.stamina: syntax error/],
    [{ set: { stamina: "'x' || stamina" } }, /stamina.*is of type integer/],
    [{ set: { stamna: '1' } }, /no column stamna/],
    [{ set: { id: 'id + 1' } }, /part of the key/],
    [{ set: { stamina: '1' }, table: 'nobody' }, /no table nobody/],
    [{ set: { stamina: '1' }, key: 'stamina' }, /no unique index on stamina/],
    // They would get out of their parentheses, or bring a second statement along.
    [{ set: { stamina: '1' }, where: 'true) or (true' }, /^where: syntax error at or near "\)" \(character 5/],
    [{ set: { stamina: '1 where true; drop table player; --' } }, /syntax error|multiple commands/],
    [{ set: { stamina: '1' }, where: "true; drop table player; select 'x'" }, /multiple commands|syntax error/],
    [{ rule: { column: 'stamina', add: 1, max: '9' }, where: 'true) or (true' }, /^where: syntax error at or near "\)"/],
    [{ rule: { column: 'stamina', add: '1) + (1', max: '9' } }, /^rule\.add: syntax error at or near "\)"/],
    [{ set: { stamina: '1' }, where: 'true /*' }, /unterminated|syntax error/],
    [{ set: { 'stamina = 99, stamina': '1' } }, /no column stamina = 99/],
    [{ set: { stamina: '1' }, table: 'player; drop table player' }, /no table player; drop/],
    [{ set: { stamina: '1' }, key: 'id) or (true' }, /no column id\) or/],
    [{ sql: 'update player set stamina = 1' }, /no :range/],
    [{ sql: 'update chunked set stamina = 1 where :range' }, /updates \w+\.chunked/],
    [{ sql: 'delete from player where :range' }, /must be one UPDATE/],
    [{ sql: 'update player set stamina = 1 where :range; drop table player' }, /multiple commands/],
    [{ sql: 'update player set stamina = stmina where :range' }, /^sql: column "stmina" does not exist \(character 29 of sql/],
  ])('%j', async (definition, words) => {
    expect(await refusal(definition)).toMatch(words);
    expect((await stack.sql('select 1 from player')).length).toBe(2_000);
  });
}); // prettier-ignore

test('a definition that is declared with wrong SQL is refused, and the old one goes on', async () => {
  const job = await start('stamina');
  const options = optionsOf(config, 'stamina');
  const wrong = structuredClone(options);
  (wrong.work as { where: string }).where = 'is_deadd';
  await expect(job.declare(wrong)).rejects.toThrow(/column "is_deadd" does not exist/);
  await stack.sql('update player set stamina = 0, is_dead = false');
  expect((await job.run()).rows).toBe(2_000);
});

test('options are set while it runs, and shown with their source', async () => {
  const job = await start('chunked');
  await expect(job.set({ chnk: 10 })).rejects.toThrow(/did you mean 'chunk'/);
  await expect(job.set({ chunk: 0 })).rejects.toThrow(/at least 1/);
  await expect(job.set({ where: 'true' })).rejects.toThrow(/no option where/);
  await job.set({ chunk: 'all' });
  expect(await job.run()).toMatchObject({ chunks: 1 });
  expect((await job.config()).find((setting) => setting.path === 'chunk')).toMatchObject({
    value: 'all',
    source: 'set',
    configured: '100',
  });
  await job.set({ chunk: null });
  expect(await job.run()).toMatchObject({ chunks: 20 });
});

test('explain shows the statement, its plan, and an index that forbids HOT updates', async () => {
  await stack.sql('create index tired on player (is_dead) where not is_dead and stamina < max_stamina');
  const found = await longwatch.job('stamina').explain();
  expect(found).toMatchObject({ table: expect.stringMatching(/\.player$/) as string, key: ['id'] });
  expect(found.statement).toMatch(/^update "\w+"\."player" set "stamina" = \(least\(/);
  expect(found.plan.join('\n')).toMatch(/Update on \w+\.player/);
  expect(found.warnings).toEqual([expect.stringMatching(/index tired reads stamina .*HOT/)]);
  await stack.sql('drop index tired');
  expect((await longwatch.job('stamina').explain()).warnings).toEqual([]);
});
