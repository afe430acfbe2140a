/** One database with one tracker, for the parts of `roster.test.ts`. It starts where this is imported. */
import { pino } from 'pino';
import { applyRoster } from '../../../activities/tracker/roster/apply';
import { splitPools } from '../../../activities/tracker/roster/layout';
import { Database } from '../../../activities/lib/database';
import { membersOf } from '../../../activities/tracker/store/members';
import { readSlots } from '../../../activities/tracker/store/pools';
import { defineTracker } from '../../../exports';
import type { RosterChange } from '../../../workflows/tracker/contract';
import { Stack } from '../../support/stack';
import { rowOf } from '../shift-kit';

export const look = defineTracker({
  name: 't',
  poolSize: 10,
  operations: { look: { every: '50ms', run: ({ id }) => ({ value: id }) } },
});

export let stack: Stack;
export let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), connections: 8 });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(async () => {
  await stack.sql(`delete from longwatch.tracker`);
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', $1)`, [
    JSON.stringify(rowOf(look).options),
  ]);
});

export const change = (ids: string[], what: 'add' | 'remove' = 'add'): RosterChange[] =>
  ids.map((id) => ({ id, change: what }));
export const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `id-${from + i}`);
export const apply = (changes: RosterChange[], pool = 0) => applyRoster(database, { tracker: 't', pool, changes });
export const grow = (members: number) => splitPools(database, { tracker: 't', members });
export const listed = async (pool: number): Promise<string[]> =>
  database.transaction(async (db) => {
    const rows = await membersOf(db, 't', await readSlots(db, 't', pool));
    return rows.map((row) => row.id).sort();
  });
export const layout = async (): Promise<number> =>
  (await stack.sql<{ pools: number }>(`select pools from longwatch.tracker`))[0]!.pools;
