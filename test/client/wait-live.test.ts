/** Waiting for live nodes to keep ids that were added, on the real PostgreSQL with nodes that are written by hand. */
import type { Connections } from '../../client/connections';
import { NoWorkerError, TimedOutError } from '../../client/errors';
import { waitLive } from '../../client/tracker/wait-live';
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

beforeAll(async () => {
  stack = await Stack.start();
}, 120_000);
afterAll(() => stack?.close());
beforeEach(async () => {
  await sql('truncate longwatch.tracker cascade');
  await sql('truncate longwatch.node');
  await writeTracker(sql, 'things', 2, 20);
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

test('a tracker that is paused is not waited for: nodes keep nothing of it', async () => {
  await sql(`update longwatch.tracker set state = 'paused'`);
  await wait();
});

test('nobody keeps them in time: it says whether there is a worker at all', async () => {
  await expect(wait(200)).rejects.toThrow(TimedOutError);
  isPolled = false;
  await expect(wait(200)).rejects.toThrow(NoWorkerError);
});
