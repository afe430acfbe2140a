/**
 * The history on a real PostgreSQL, empty before each test, with one tracker: counts of nodes, and minutes that pass by
 * putting the history's clock back. For the tests beside it; each file that imports it has servers of its own.
 */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { writeSeries } from '../../activities/series/write';
import { percentile } from '../../activities/tracker/shift/lateness';
import { writeStats, type StatsRow } from '../../activities/tracker/store/node-stats';
import { writeTracker } from '../support/node-rows';
import { Stack } from '../support/stack';

let stack: Stack;
export let database: Database;
export const sql = (text: string, values?: unknown[]) => stack.sql<Record<string, unknown>>(text, values);

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }), connections: 4 });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
afterEach(() => jest.restoreAllMocks());
beforeEach(async () => {
  await sql('truncate longwatch.tracker, longwatch.buffer, longwatch.job cascade');
  await sql(
    'truncate longwatch.series, longwatch.series_total, longwatch.series_clock, longwatch.node, longwatch.node_start',
  );
  await sql('truncate longwatch.node_stats, longwatch.budget');
  await writeTracker(sql, 't', 1);
});

export const write = (options: { final?: boolean } = {}) =>
  database.transaction((db) => writeSeries(db, { ...options, percentile }));
export const passes = async (time: string) => {
  await sql(`update longwatch.series_clock set at = at - $1::interval`, [time]);
  await sql(`update longwatch.series_total set seen_at = seen_at - $1::interval`, [time]);
};
export const counted = (fetched: number, late: number[] = []): StatsRow => ({
  ...{ tracker: 't', operation: 'look', fetched, failed: 0, skipped: 0, rounds: 1, lastRoundMs: 5, lateBuckets: [1] },
  ...{ lateTotal: late, holdMs: 0, heldUntil: null },
});
export const count = (node: string, fetched: number, late?: number[]) =>
  database.transaction((db) => writeStats(db, node, [counted(fetched, late)]));
export const fetchedIn = async (step: 'minute' | 'hour') => {
  const rows = await sql(
    `select counts[1] as fetched from longwatch.series where step = $1 and kind = 'operation' and name = 't/look' order by at`,
    [step],
  );
  return rows.map(({ fetched }) => fetched as number);
};
export const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
