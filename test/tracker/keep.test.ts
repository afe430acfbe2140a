/**
 * The `shift` activity on the real PostgreSQL, with a node of its own and without Temporal: what it waits for while it
 * takes its pool, what counts as a crash, and for how long it bears with a database, or with somebody who has its pool
 * locked.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { pino } from 'pino';
import { setPointHook } from '../../activities/lib/points';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { keepPool } from '../../activities/tracker/shift/keep';
import { Node } from '../../activities/tracker/shift/node';
import { Database, OWN_LIMITS, VALUES_LIMITS } from '../../activities/lib/database';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import type { TemporalLink } from '../../activities/lib/temporal';
import { defineTracker } from '../../exports';
import type { ShiftInput, ShiftResult } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });
const look = defineTracker({
  name: 't',
  operations: { look: { every: '100ms', stagger: { window: 0 }, run: ({ id }) => ({ value: `${id} ${Date.now()}` }) } },
});
const PATIENCE = 1_500;

let stack: Stack;
let database: Database;
let values: Database;
let node: Node;
let closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

beforeEach(async () => {
  closing = [];
  await stack.sql('delete from longwatch.pool');
  await stack.sql('delete from longwatch.member');
  await stack.sql('delete from longwatch.tracker');
  // Two pools; each of these ids is in the one of its name.
  await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', $1, 2)`, [
    JSON.stringify({ ...rowOf(look).options, patienceMs: PATIENCE }),
  ]);
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', 'zero', 0, 1, 0), ('t', 'one', 1, 1, 0)`,
  );
  database = new Database({ url: stack.servers.databaseUrl, log, ...OWN_LIMITS });
  values = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS, connections: 1 });
  node = new Node({
    row: { name: 'n', host: 'h', pid: 1, metricsUrl: null },
    database,
    values,
    trackers: [look],
    log,
    metrics: new NodeMetrics(),
    isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
    watchdog: undefined,
    nodeConcurrency: 100,
  });
  await node.start();
  closing.push(async () => {
    await node.stop();
    await Promise.all([database.close(), values.close()]);
  });
});
afterEach(async () => {
  setPointHook(undefined);
  node.drain();
  for (const close of closing.reverse()) await close();
});

let shifts = 0;
/** One execution of the activity; the run is of this file, so nobody is asked whether it is the current one. */
function shift(
  pool: number,
  heartbeatTimeoutMs = 5_000,
  isCurrent: () => Promise<boolean> = () => Promise.resolve(true),
  durationMs = 600_000,
): { result: Promise<ShiftResult>; settled: () => boolean } {
  const environment = new MockActivityEnvironment({
    heartbeatTimeoutMs,
    workflowExecution: { workflowId: `pool/t/${pool}`, runId: 'run' },
  });
  const temporal = { reachable: () => Promise.resolve(true), isCurrent };
  const deps = { node, database, temporal: temporal as unknown as TemporalLink, log };
  const input: ShiftInput = { tracker: 't', pool, shift: ++shifts, durationMs };
  let settled = false;
  const result = environment.run<[ShiftInput], ShiftResult, (input: ShiftInput) => Promise<ShiftResult>>(
    (given) => keepPool(deps, given),
    input,
  );
  result.then(
    () => (settled = true),
    () => (settled = true),
  );
  closing.push(() => result.catch(() => undefined));
  return { result, settled: () => settled };
}

const fetchedOf = async (id: string) =>
  (
    await stack.sql<{ at: string }>(
      `select v.fetched_at::text as at from longwatch.value v join longwatch.member m on m.key = v.member where m.id = $1`,
      [id],
    )
  )[0]?.at;
const written = (id: string, after?: string) =>
  eventually(`${id} is written`, async () => {
    const at = await fetchedOf(id);
    return at !== undefined && at !== after && at;
  });

async function lockPool(pool: number): Promise<Client> {
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  closing.push(() => client.end());
  await client.query('begin');
  await client.query('select 1 from longwatch.pool where pool = $1 for update', [pool]);
  return client;
}

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

test('a database that refuses everything ends a shift after its patience, and not before', async () => {
  const zero = shift(0);
  await written('zero');
  const began = performance.now();
  const refused = jest
    .spyOn(values, 'transaction')
    .mockImplementation(() => Promise.reject(Object.assign(new Error('away'), { type: 'StoreUnavailable' })));
  closing.push(() => Promise.resolve(refused.mockRestore()));
  await expect(zero.result).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(performance.now() - began).toBeGreaterThanOrEqual(PATIENCE * 0.9);
});

test('a shift that ends for a database that swallows does not wait for it once more', async () => {
  const zero = shift(0);
  await written('zero');
  let patient = true;
  let letGo!: () => void;
  const swallowed = new Promise<void>((resolve) => (letGo = resolve));
  const away = Object.assign(new Error('away'), { type: 'StoreUnavailable' });
  const refused = jest.spyOn(values, 'transaction').mockImplementation(async () => {
    if (!patient) await swallowed;
    throw away;
  });
  closing.push(() => Promise.resolve(refused.mockRestore()));
  closing.push(() => Promise.resolve(letGo()));
  void delay(PATIENCE * 0.9).then(() => (patient = false));
  await expect(zero.result).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(node.shifts.size).toBe(0);
});

/** From now on what is asked of this database is answered by nobody. @returns lets it answer again */
function swallow(at: Database): () => void {
  let letGo!: () => void;
  const swallowed = new Promise<void>((resolve) => (letGo = resolve));
  const swallows = jest.spyOn(at, 'transaction').mockImplementation(async () => {
    await swallowed;
    throw Object.assign(new Error('away'), { type: 'StoreUnavailable' });
  });
  const back = (): void => {
    swallows.mockRestore();
    letGo();
  };
  closing.push(() => Promise.resolve(back()));
  return back;
}

test('a shift whose time is up while the database swallows goes on, and ends with all it has when that is back', async () => {
  await stack.sql(`update longwatch.tracker set options = options || '{"patienceMs": 60000}'`);
  const ended = jest.spyOn(node, 'leave');
  const zero = shift(0, 5_000, undefined, 3_000);
  await written('zero');
  const back = swallow(values);
  const [one] = node.shifts;
  await eventually('it stands still', () => one!.closed() === 'over');
  await eventually('it goes on', () => one!.closed() === undefined);
  const count = () => one!.loops.get('look')!.agenda.rounds;
  const before = count();
  await eventually('its members are asked for', () => count() >= before + 5);
  expect(ended).not.toHaveBeenCalled();
  back();
  await expect(zero.result).resolves.toMatchObject({ end: 'elapsed', to: 'n' });
  expect(one!.hasResults).toBe(false);
});

test('a shift that must end does not wait for a database that swallows: another node may have the pool', async () => {
  const zero = shift(0);
  await written('zero');
  swallow(values);
  swallow(database);
  const began = performance.now();
  for (const one of node.shifts) one.end('handed back');
  await expect(zero.result).resolves.toMatchObject({ end: 'handed back' });
  expect(performance.now() - began).toBeLessThan(4_500);
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

test('TR-M5: an idle shift with a heartbeat timeout of a second is not ended by a flush that comes late', async () => {
  const zero = shift(0, 1_000);
  await written('zero');
  // A node that does not come to flush for longer than its patience: nothing was refused.
  let go!: () => void;
  setPointHook((point) => (point === 'flush.locked' ? new Promise<void>((resolve) => (go = resolve)) : undefined));
  const seen = await fetchedOf('zero');
  await eventually('a flush stands', () => go !== undefined);
  await delay(PATIENCE + 500);
  setPointHook(undefined);
  go();
  await written('zero', seen);
  expect(zero.settled()).toBe(false);
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
