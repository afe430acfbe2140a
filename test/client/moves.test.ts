/**
 * Pools on their way by hand, on a real PostgreSQL and without Temporal: what counts as arrived. The fences are written
 * as nodes write them.
 */
import { pino } from 'pino';
import { Database } from '../../activities/lib/database';
import { takeBackFence, takeFence, type PoolClaim } from '../../activities/tracker/store/fence';
import { carryOut } from '../../client/cluster/moves';
import type { Connections } from '../../client/connections';
import { writeTracker } from '../support/node-rows';
import { Stack } from '../support/stack';

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
beforeEach(async () => {
  await stack.sql('truncate longwatch.tracker cascade');
  await writeTracker((text, values) => stack.sql(text, values), 't', 1);
});

const claim = (node: string, shift: number): PoolClaim => ({
  ...{ tracker: 't', pool: 0, runId: 'run', shift, attempt: 1, node },
});
const take = (of: PoolClaim) => takeFence(database, of, () => Promise.resolve(true));

/** @param looked happens after each look at the fences, with the number of the look */
function move(looked: (look: number) => Promise<unknown>) {
  let looks = 0;
  const connections = {
    rows: async (...asked: Parameters<Database['rows']>) => {
      const rows = await database.rows(...asked);
      await looked(++looks);
      return rows;
    },
    temporal: () => Promise.resolve(undefined),
  };
  return carryOut(connections as unknown as Connections, [{ tracker: 't', pool: 0, from: 'a', to: 'b' }]);
}

test('the last keeper, which goes on because nobody has come in time, has not taken it: it is on its way as before', async () => {
  const { token } = await take(claim('a', 1));
  const moved = move(async (look) => {
    if (look === 2) await takeBackFence(database, claim('a', 1), token);
    if (look === 4) await take(claim('b', 2));
  });
  expect(await moved).toEqual({ moved: 1, failed: [] });
});

test('a shift on another node, or on the same one, has', async () => {
  await take(claim('a', 1));
  expect(await move((look) => (look === 2 ? take(claim('c', 2)) : Promise.resolve()))).toMatchObject({
    moved: 0,
    failed: [{ why: "node 'c' has taken it instead" }],
  });
  await take(claim('a', 3));
  expect(await move((look) => (look === 2 ? take(claim('a', 4)) : Promise.resolve()))).toMatchObject({
    failed: [{ why: "node 'a' has taken it instead" }],
  });
});
