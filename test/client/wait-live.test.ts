/** Waiting for live nodes to keep ids that were added, on the real PostgreSQL with nodes that are written by hand. */
import type { Connections } from '../../client/connections';
import { NoWorkerError, TimedOutError } from '../../client/errors';
import { waitLive } from '../../client/tracker/wait-live';
import { hashId } from '../../workflows/lib/hash';
import { keep, writeNode, writeTracker } from '../support/node-rows';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let looks = 0;
let isPolled = true;
const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);
const connections = {
  rows: (statement: { text: string }, values: unknown[]) => {
    looks++;
    return stack.sql(statement.text, values);
  },
  listen: () => Promise.resolve(() => Promise.resolve()),
  workersPoll: () => Promise.resolve(isPolled),
} as unknown as Connections;
const ids = Array.from({ length: 20 }, (_, i) => `id${i}`);
const wait = (waitTimeoutMs = 20_000) => waitLive(connections, 'things', ids, { waitTimeoutMs });

/** Their rows, as an apply writes them. */
const place = (placing: (id: string) => number) =>
  sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select 'things', id, hash, 1, 1 from unnest($1::text[], $2::bigint[]) as m (id, hash)
     on conflict (tracker, id) do update set hash = excluded.hash`,
    [ids, ids.map(placing)],
  );

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());
beforeEach(async () => {
  await sql('truncate longwatch.tracker cascade');
  await sql('truncate longwatch.node');
  await writeTracker(sql, 'things', 2, 20);
  await place(hashId);
  looks = 0;
  isPolled = true;
});

test('it resolves when live nodes keep the pools of all ids, and not before', async () => {
  await keep(sql, { name: 'a' }, 'things', [0], 10);
  await keep(sql, { name: 'gone', silentMs: 6_000 }, 'things', [1], 10);
  let isOver = false;
  const waiting = wait().then(() => (isOver = true));
  await eventually('it has looked', () => looks > 1);
  expect(isOver).toBe(false);
  await writeNode(sql, { name: 'gone' });
  await waiting;
});

test('ids that a route has put into one pool wait for that pool alone', async () => {
  await place(() => hashId('id0'));
  const [{ pool }] = (await sql(`select longwatch.pool_of(hash, 2) as pool from longwatch.member limit 1`)) as [
    { pool: number },
  ];
  await keep(sql, { name: 'a' }, 'things', [pool], 10);
  await wait();
});

test('a tracker that is paused is not waited for: nodes keep nothing of it', async () => {
  await sql(`update longwatch.tracker set state = 'paused'`);
  await wait();
});

test('nobody keeps them in time: it says whether there is a worker at all', async () => {
  await expect(wait(200)).rejects.toThrow(TimedOutError);
  isPolled = false;
  await expect(wait(200)).rejects.toThrow(NoWorkerError);
});
