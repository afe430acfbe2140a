/** Waiting for changes of a roster, on the real PostgreSQL: each is seen, also one whose removal is soon forgotten. */
import type { Connections } from '../../client/connections';
import { waitApplied } from '../../client/tracker/wait-applied';
import { eventually, Stack } from '../support/stack';
import { hashId } from '../../workflows/lib/hash';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{}')`);
});
afterAll(() => stack.close());

const removed = (id: string, stamp: number) =>
  stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version, removed_at) values ('t', $1, $2, $3, 1, now())`,
    [id, hashId(id), stamp],
  );

test('a removal that is applied and forgotten before those ahead of it are applied was seen', async () => {
  const seen: number[] = [];
  let looks = 0;
  const connections = {
    rows: (statement: { text: string }, values: unknown[]) => {
      looks++;
      return stack.sql(statement.text, values);
    },
    listen: () => Promise.resolve(() => Promise.resolve()),
    workersPoll: () => Promise.resolve(true),
  } as unknown as Connections;
  const batches = ['slow', 'quick'].map((id, pool) => ({ pool, ids: [id] }));
  const waiting = waitApplied(
    connections,
    't',
    batches,
    7,
    { waitTimeoutMs: 60_000, onProgress: ({ ids }) => seen.push(ids) },
    20,
  );
  await removed('quick', 7);
  await eventually('it has been looked for', () => seen.length === 1);
  // As the purge does when its time is over.
  await stack.sql(`delete from longwatch.member where id = 'quick'`);
  await removed('slow', 8);
  await waiting;
  expect(seen).toEqual([1, 2]);
  expect(looks).toBeGreaterThan(2);
});

test.each<[what: string, ids: string[], isThere: boolean, message: string]>([
  ['one', ['x'], true, 'the id is accepted, and not applied within 0 s; .*npx longwatch pools t$'],
  ['several', ['x', 'y'], true, 'all 2 ids are accepted, 0 of them applied, .*npx longwatch pools t$'],
  [
    'one, and no worker',
    ['x'],
    false,
    'the id is accepted, .*: no worker answers; start one with: npx longwatch worker',
  ],
])('what is not applied in time (%s) is said with what comes next', async (_, ids, isThere, message) => {
  const connections = {
    rows: () => Promise.resolve([{ applied: 0 }]),
    listen: () => Promise.resolve(() => Promise.resolve()),
    workersPoll: () => Promise.resolve(isThere),
  } as unknown as Connections;
  const waiting = waitApplied(connections, 't', [{ pool: 0, ids }], 7, { waitTimeoutMs: 1 }, 20);
  await expect(waiting).rejects.toThrow(new RegExp(message));
});
