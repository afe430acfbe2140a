/**
 * The `shift` activity on the real PostgreSQL, with a node of its own and without Temporal: for the tests beside it;
 * each file that imports it has servers of its own.
 */
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
import { defineTracker, type RunResult } from '../../exports';
import type { ShiftInput, ShiftResult } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { rowOf } from './shift-kit';

const log = pino({ level: 'silent' });
const look = defineTracker({
  name: 't',
  operations: { look: { every: '100ms', stagger: { window: 0 }, run: ({ id }) => value(id) } },
});
/** From then on an answer does not come. */
let hangs = false;
export const hang = (): void => void (hangs = true);
const value = (id: string): RunResult | Promise<RunResult> =>
  hangs ? new Promise(() => undefined) : { value: `${id} ${Date.now()}` };
export const PATIENCE = 1_500;

export let stack: Stack;
export let database: Database;
export let values: Database;
export let node: Node;
/** Called when the test is over, the last one first. */
export let closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

beforeEach(async () => {
  closing = [];
  hangs = false;
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
export function shift(
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

export const fetchedOf = async (id: string) =>
  (
    await stack.sql<{ at: string }>(
      `select v.fetched_at::text as at from longwatch.value v join longwatch.member m on m.key = v.member where m.id = $1`,
      [id],
    )
  )[0]?.at;
export const written = (id: string, after?: string) =>
  eventually(`${id} is written`, async () => {
    const at = await fetchedOf(id);
    return at !== undefined && at !== after && at;
  });

export async function lockPool(pool: number): Promise<Client> {
  const client = new Client({ connectionString: stack.servers.databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  closing.push(() => client.end());
  await client.query('begin');
  await client.query('select 1 from longwatch.pool where pool = $1 for update', [pool]);
  return client;
}

/** From now on what is asked of this database is answered by nobody. @returns lets it answer again */
export function swallow(at: Database): () => void {
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
