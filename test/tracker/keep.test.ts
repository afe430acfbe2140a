/**
 * The `shift` activity while it takes and loads its pool: what it waits for, what counts as a crash, and how many come
 * at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { setPointHook } from '../../activities/lib/points';
import { eventually } from '../support/stack';
import { closing, database, fetchedOf, lockPool, node, PATIENCE, shift, stack, swallow, written } from './keep-kit';

test('TR-C4, TR-M6: who has a pool locked for longer than its patience ends its shift, and no other', async () => {
  const [zero, one] = [shift(0), shift(1)];
  await Promise.all([written('zero'), written('one')]);
  await lockPool(0);
  const began = performance.now();
  await expect(zero.result).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(performance.now() - began).toBeGreaterThanOrEqual(PATIENCE * 0.9);
  const seen = await fetchedOf('one');
  await written('one', seen);
  expect(one.settled()).toBe(false);
});

test('a pool that somebody has locked is taken as soon as he lets go', async () => {
  await stack.sql(`insert into longwatch.pool (tracker, pool) values ('t', 0)`);
  const client = await lockPool(0);
  const zero = shift(0);
  const one = shift(1);
  // The other pool is taken and kept meanwhile.
  await written('one');
  expect(zero.settled()).toBe(false);
  await client.query('rollback');
  await written('zero');
  expect(one.settled()).toBe(false);
});

test('a node that loses PostgreSQL while it takes a pool gives it up, and does not keep it waiting for an answer', async () => {
  const offered = jest.spyOn(node.placing, 'offer');
  const back = swallow(database);
  const zero = shift(0);
  await expect(zero.result).rejects.toMatchObject({ type: 'Declined', nextRetryDelay: '100ms' });
  back();
  await eventually('the node hears PostgreSQL again', () => node.isAble);
  expect(offered).not.toHaveBeenCalled();
  shift(0);
  await written('zero');
});

test('a node that loses PostgreSQL while it loads a pool gives it up as well, and that is not a crash', async () => {
  let load!: () => void;
  setPointHook((point) => (point === 'shift.fenced' ? new Promise<void>((resolve) => (load = resolve)) : undefined));
  const zero = shift(0);
  await eventually('it is about to be loaded', () => load !== undefined);
  const back = swallow(database);
  await expect(zero.result).rejects.toMatchObject({ type: 'Declined', nextRetryDelay: '100ms' });
  setPointHook(undefined);
  load();
  back();
  await eventually('the node hears PostgreSQL again', () => node.isAble);
  expect(await stack.sql('select crashes from longwatch.pool')).toEqual([{ crashes: 0 }]);
  expect(node.shifts.size).toBe(0);
  shift(0);
  await written('zero');
});

test('one that was given up while it was loaded does not come about when PostgreSQL answers after all', async () => {
  let load!: () => void;
  setPointHook((point) => (point === 'shift.fenced' ? new Promise<void>((resolve) => (load = resolve)) : undefined));
  const zero = shift(0);
  await eventually('it is about to be loaded', () => load !== undefined);
  const able = jest.spyOn(node, 'isAble', 'get').mockReturnValue(false);
  closing.push(() => Promise.resolve(able.mockRestore()));
  await expect(zero.result).rejects.toMatchObject({ type: 'Declined' });
  able.mockRestore();
  setPointHook(undefined);
  const joined = jest.spyOn(node, 'join');
  load();
  shift(1);
  await written('one');
  expect(joined).toHaveBeenCalledTimes(1);
});

test('TR-L9: a crash while the pool is loaded counts, and the third one in a row puts it in quarantine', async () => {
  await stack.sql('alter table longwatch.member rename to hidden');
  closing.push(() => stack.sql('alter table longwatch.hidden rename to member'));
  await expect(shift(0).result).rejects.toThrow();
  expect(await stack.sql('select crashes from longwatch.pool')).toEqual([{ crashes: 1 }]);
  await expect(shift(0).result).rejects.toThrow();
  await expect(shift(0).result).resolves.toMatchObject({ end: 'quarantined' });
  expect(await stack.sql('select quarantined_at is not null as q from longwatch.pool')).toEqual([{ q: true }]);
});

test('TR-H8: pools that come over are taken and loaded two at a time, and the flush does not wait for them', async () => {
  const one = shift(1);
  await written('one');
  const now = { loading: 0, taking: 0 };
  const most = { loading: 0, taking: 0 };
  const run = database.transaction.bind(database);
  const counted = jest.spyOn(database, 'transaction').mockImplementation(async (work, options) =>
    run(async (db) => {
      const seen = {
        query: (statement: { text: string; values: unknown[] }) => {
          const what = statement.text.includes('removed_at is null')
            ? 'loading'
            : statement.text.includes('insert into longwatch.pool as p')
              ? 'taking'
              : undefined;
          if (what === undefined) return db.query(statement);
          most[what] = Math.max(most[what], ++now[what]);
          return db
            .query(statement)
            .finally(() => delay(50))
            .finally(() => now[what]--);
        },
      };
      return work(seen as never);
    }, options),
  );
  closing.push(() => Promise.resolve(counted.mockRestore()));
  await stack.sql('update longwatch.tracker set pools = 20');
  const seen = await fetchedOf('one');
  const many = Array.from({ length: 18 }, (_, i) => shift(i + 2));
  await written('one', seen);
  await eventually('all are kept', () => node.shifts.size === 19);
  expect(most).toEqual({ loading: 2, taking: 2 });
  expect(many.some(({ settled }) => settled())).toBe(false);
  expect(one.settled()).toBe(false);
});

test('not more pools are taken than are about to be loaded: the others may have a keeper who goes on', async () => {
  const one = shift(1);
  await written('one');
  await stack.sql('update longwatch.tracker set pools = 32');
  const load: (() => void)[] = [];
  setPointHook((point) => (point === 'shift.fenced' ? new Promise<void>((resolve) => load.push(resolve)) : undefined));
  for (let pool = 2; pool < 32; pool++) shift(pool);
  await eventually('some are about to be loaded', () => load.length === 8);
  const seen = await fetchedOf('one');
  await written('one', seen);
  const taken = () => stack.sql<{ n: string }>('select count(*) as n from longwatch.pool where pool > 1');
  expect(await taken()).toEqual([{ n: '8' }]);
  // Each that is loaded makes room for one.
  load.shift()!();
  await eventually('the next one is taken', () => load.length === 8);
  expect(await taken()).toEqual([{ n: '9' }]);
  setPointHook(undefined);
  for (const go of load) go();
  await eventually('all are kept', () => node.shifts.size === 31);
  expect(one.settled()).toBe(false);
});

test('Temporal that does not answer which run is the current one keeps no other pool from being taken', async () => {
  await stack.sql('update longwatch.tracker set pools = 4');
  // Held by other runs: Temporal is asked.
  await stack.sql(`insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt)
                   select 't', p, 1, 'another run', 1, 1 from unnest('{0,2,3}'::int[]) p`);
  let asked = 0;
  const answers: (() => void)[] = [];
  const swallows = () => new Promise<boolean>((resolve) => (asked++, answers.push(() => resolve(true))));
  const held = [0, 2, 3].map((pool) => shift(pool, 5_000, swallows));
  await eventually('all of them are asked for', () => asked === 3);
  shift(1);
  await written('one');
  expect(held.some(({ settled }) => settled())).toBe(false);
  answers.forEach((answer) => answer());
  await written('zero');
});

test('a pool that cannot be read is tried again and again: the node says so in its row until it is begun', async () => {
  const client = await lockPool(1);
  await client.query('lock table longwatch.member in access exclusive mode');
  await expect(shift(0).result).rejects.toMatchObject({ message: expect.stringContaining('lock timeout') as string });
  // Once may be anything.
  expect(node.failing.said()).toEqual({ pools: 0, example: null });
  await expect(shift(0).result).rejects.toThrow(/lock timeout/);
  expect(node.failing.said()).toEqual({ pools: 1, example: 't/0: canceling statement due to lock timeout' });
  const said = async () =>
    (await stack.sql<{ said: { pools: number } }>(`select use -> 'failing' as said from longwatch.node`))[0]?.said
      .pools;
  await eventually('its row has it', async () => (await said()) === 1);
  await client.query('rollback');
  shift(0);
  await written('zero');
  await eventually('its row has nothing', async () => (await said()) === 0);
});

test('PostgreSQL that is away, or a newer holder, is not a pool that cannot be begun', async () => {
  const back = swallow(database);
  await expect(shift(0).result).rejects.toMatchObject({ type: 'Declined' });
  await expect(shift(0).result).rejects.toMatchObject({ type: 'Declined' });
  back();
  await eventually('the node hears PostgreSQL again', () => node.isAble);
  const refuse = (): Promise<boolean> => Promise.resolve(false);
  await stack.sql(`insert into longwatch.pool (tracker, pool, run_id) values ('t', 0, 'another')`);
  await shift(0, 5_000, refuse).result.catch(() => undefined);
  await shift(0, 5_000, refuse).result.catch(() => undefined);
  expect(node.failing.said()).toEqual({ pools: 0, example: null });
});
