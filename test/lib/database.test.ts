/** The limits of a transaction, on the real PostgreSQL. */
import { pino } from 'pino';
import { Database, type Queryable } from '../../activities/lib/database';
import { Stack } from '../support/stack';

let stack: Stack;
const databases: Database[] = [];
beforeAll(async () => (stack = await Stack.start()));
afterEach(async () => {
  for (const database of databases.splice(0)) await database.close();
});
afterAll(() => stack.close());

/** A statement takes 100 ms at most, and a client waits a second longer. */
function quick(over: { prepared?: boolean } = {}): Database {
  const database = new Database({
    ...{ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) },
    ...{ statementTimeoutMs: 100, ...over },
  });
  databases.push(database);
  return database;
}
/** It takes longer than a client waits that goes by the database's own limit. */
const slowly = async (db: Queryable): Promise<unknown> =>
  (await db.query({ text: `select 'done' as is from pg_sleep(1.3)`, values: [] })).rows[0];

test.each([
  ['prepared', {}],
  ['not prepared, as through a pooler', { prepared: false }],
])('a transaction that gives its statements more time has it from the client as well: %s', async (_how, over) => {
  await expect(quick(over).transaction(slowly, { statementTimeoutMs: 5_000 })).resolves.toEqual({ is: 'done' });
});

test('a statement that takes longer is cancelled by the server, which is no outage', async () => {
  await expect(quick().transaction(slowly)).rejects.toMatchObject({ code: '57014' });
  await expect(quick().transaction(slowly, { statementTimeoutMs: 300 })).rejects.toMatchObject({ code: '57014' });
});
