/** A pool is counted anew while its first message makes a member: the number of the row is right afterwards. */
import { pino } from 'pino';
import { Database, type Queryable } from '../../../activities/lib/database';
import { recountNext } from '../../../activities/tracker/store/pools';
import { hashId } from '../../../workflows/lib/hash';
import { Stack } from '../../support/stack';

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

/** As a turn does that spawns: the pool's version stays. */
const spawn = async (id: string) => {
  await stack.sql(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version) values ('t', $1, $2, 1, 1)`,
    [id, hashId(id)],
  );
  await stack.sql(`update longwatch.pool set members = members + 1 where tracker = 't'`);
};

test('a member that is made between the counting and the writing is not lost', async () => {
  await stack.sql(`insert into longwatch.tracker (name, options) values ('t', '{}')`);
  await stack.sql(`insert into longwatch.pool (tracker, pool, roster_version, recount) values ('t', 0, 1, true)`);
  await spawn('a');
  const counted = await database.transaction(async (db) => {
    const between: Queryable = {
      query: async (query) => {
        if (query.name === 'pool-mend-count') await spawn('b');
        return db.query(query);
      },
    };
    return recountNext(between, 't', true);
  });
  expect(counted).toBe('changed');
  await database.transaction((db) => recountNext(db, 't', true));
  expect(await stack.sql('select members, recount from longwatch.pool')).toEqual([{ members: 2, recount: false }]);
});
