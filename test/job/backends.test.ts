/** Statements of jobs that are cancelled where they wait for a lock for too long, on a real PostgreSQL. */
import { pino } from 'pino';
import { Backends } from '../../activities/job/backends';
import { Database } from '../../activities/lib/database';
import { Stack } from '../support/stack';

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  await stack.sql('create table held (id int primary key, n int not null default 0)');
  await stack.sql('insert into held values (1)');
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

test('a statement that fails before the answer to its cancellation is here has waited for its lock all the same', async () => {
  let failed!: () => void;
  const hasFailed = new Promise<void>((resolve) => (failed = resolve));
  // The answer comes when the statement has failed.
  const late = {
    rows: async (...ask: Parameters<Database['rows']>) => {
      const found = await database.rows(...ask);
      if (found.length > 0) await hasFailed;
      return found;
    },
  } as Database;
  const backends = new Backends(late);
  const update = { name: 'held-update', text: 'update held set n = n + 1 where id = 1', values: [] };
  await database.transaction(async (holder) => {
    await holder.query({ text: 'update held set n = n where id = 1', values: [] });
    const waiting = database.transaction((db) =>
      backends.watch(db, 50, async () => {
        try {
          await db.query(update);
        } finally {
          failed();
        }
      }),
    );
    await expect(waiting).rejects.toMatchObject({ code: '55P03', message: 'it waited for one lock after the other' });
  });
});
