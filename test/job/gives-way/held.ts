/** Part of `gives-way.test.ts`: rows and tables that somebody holds, and workers that must end. */
import { setTimeout as delay } from 'node:timers/promises';
import { setPointHook } from '../../../activities/lib/points';
import { eventually } from '../../support/stack';
import { regens, stack, make, sums } from './table';
import { stopwatch } from '../../support/stopwatch';

// prettier-ignore
/** Somebody waits for a lock. */
const waiting = (pattern: string) =>
  eventually('a statement waits for a lock', async () =>
    (await stack.sql(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and query ilike $1`, [pattern])).length > 0,
  );
// prettier-ignore

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
      const took = stopwatch();
      await stack.sql(`update ${table} set n = n where id = 1400`);
      expect(took()).toBeLessThan(900);
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
  }); // prettier-ignore

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
  }); // prettier-ignore

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
  }); // prettier-ignore

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
  }); // prettier-ignore

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
      const took = stopwatch();
      await node.drain();
      expect(await result).toMatchObject({ end: 'handed back' });
      expect(took()).toBeLessThan(4_000);
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
  }); // prettier-ignore
});
