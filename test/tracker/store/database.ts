/** The database of the parts of `store.test.ts`, without members when a test begins. It starts at the import. */
import { pino } from 'pino';
import type { Success } from '../../../activities/tracker/shift/results';
import { Database } from '../../../activities/lib/database';
import { writeSuccesses } from '../../../activities/tracker/store/values';
import { Stack } from '../../support/stack';

export let stack: Stack;
export let database: Database;

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{"tombstonesMs": 86400000}')`);
});
afterAll(async () => {
  await database.close();
  await stack.close();
});
beforeEach(() => stack.sql(`delete from longwatch.member`));

export const success = (key: number, over: Partial<Success> = {}): Success => ({
  key,
  json: '1',
  etag: null,
  fetchedAt: 1_000,
  expiresAt: null,
  ...over,
});

export const write = (rows: Success[], operation = 'look') =>
  database.transaction((db) => writeSuccesses(db, [{ operation, rows }]));

interface Stored {
  [column: string]: unknown;
  member: number;
  operation: string;
  value: unknown;
  etag: string | null;
  error: string | null;
  failures: number;
  fetched: number | null;
  changed: number | null;
  expires: number | null;
  held: number | null;
}
export const stored = () =>
  stack.sql<Stored>(
    `select member::int, operation, value, etag, error, failures,
            extract(epoch from fetched_at)::float8 * 1000 as fetched,
            extract(epoch from changed_at)::float8 * 1000 as changed,
            extract(epoch from expires_at)::float8 * 1000 as expires,
            extract(epoch from held_until)::float8 * 1000 as held
     from longwatch.value order by member, operation`,
  );
