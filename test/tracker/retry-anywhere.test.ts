/**
 * A shift on its node's own queue comes back as an attempt of itself when that node dies, on whichever node is there:
 * its pool's workflow, which may be cached on the node that died, is not needed for it. The open polls of a node that
 * is frozen swallow none of them.
 */
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { resolveConfig } from '../../config/resolve/config';
import { poolWorkflowId, sharedShiftQueue } from '../../workflows/tracker/contract';
import config from '../e2e/fixtures/nodes.config';
import { eventually, Stack } from '../support/stack';

const FILE = path.join(__dirname, '../e2e/fixtures/nodes.config.ts');

/** Nobody answers there: this is not about fetching. */
const UPSTREAM = 'http://127.0.0.1:9';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

interface Row {
  pool: number;
  node: string;
  shift: number;
  attempt: number;
}
/** A pool between two shifts is kept by nobody for a moment. */
const kept = () =>
  stack.sql<Row>(
    `select pool, node, shift, attempt from longwatch.pool where released_at is null and token > 0 order by pool`,
  );
/** Whether all pools are kept, by shifts that go on for longer than the short ones. */
const rests = async (): Promise<boolean> => {
  const before = await kept();
  await stack.sql('select pg_sleep(3)');
  const [pools] = await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.pool where token > 0');
  return before.length === pools!.n && JSON.stringify(await kept()) === JSON.stringify(before);
};

/** Whether Temporal would try the shift of each pool again on the shared queue. */
async function mayAll(): Promise<boolean> {
  const { temporalAddress: address, namespace } = stack.servers;
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection, namespace });
    for (const { pool } of await kept()) {
      const { raw } = await client.workflow.getHandle(poolWorkflowId('shared', pool)).describe();
      const [shift] = raw.pendingActivities ?? [];
      if (shift?.activityOptions?.taskQueue?.name !== sharedShiftQueue()) return false;
      // At once, however many attempts there were.
      if (shift.activityOptions.retryPolicy?.backoffCoefficient !== 1) return false;
    }
    return true;
  } finally {
    await connection.close();
  }
}

test('the next attempt, and not the next shift, is on the other node', async () => {
  const dying = stack.workerProcess(FILE, { LONGWATCH_NODE: 'dying', UPSTREAM });
  await dying.ready;
  const tracker = (await stack.connect()).tracker('shared');
  const [resolved] = resolveConfig(config).trackers;
  // A shift is missed some seconds after its node stood still, when its polls have ended; and none is on a machine that
  // stands still for as long.
  await tracker.start({ ...resolved!.options, shiftMs: 2_000, heartbeatTimeoutMs: 15_000 });
  await tracker.add(
    Array.from({ length: 120 }, (_, i) => `id-${i}`),
    { wait: true },
  );
  const stays = async () => {
    const rows = await kept();
    return rows.length > 0 && rows.every(({ shift, node }) => shift >= 2 && node === 'dying');
  };
  await eventually('each pool has stayed for a second shift', stays);
  // From now on no shift ends by its time, so that none does while the node is killed.
  await tracker.set({ shift: '10m' });
  await eventually('the long ones have begun', rests);
  await eventually('Temporal knows that each may be tried anywhere', mayAll);
  const before = await kept();
  await dying.kill('SIGKILL');
  // Only now: it would ask for its share.
  await stack.workerProcess(FILE, { LONGWATCH_NODE: 'other', UPSTREAM }).ready;
  const after = await eventually('they are on the other node', async () => {
    const rows = await kept();
    return rows.every(({ node }) => node === 'other') && rows;
  });
  for (const { pool, shift } of before)
    expect(after.find((row) => row.pool === pool)).toMatchObject({ shift, attempt: 2 });
});

test('a frozen node swallows no attempt: each pool is on the other node by the one after it', async () => {
  const frozen = stack.workerProcess(FILE, { LONGWATCH_NODE: 'frozen', UPSTREAM });
  await frozen.ready;
  const mine = (rows: Row[]) => rows.filter(({ node }) => node === 'frozen');
  await eventually('it has its share', async () => mine(await kept()).length >= 3);
  await eventually('Temporal knows that each may be tried anywhere', mayAll);
  await eventually('nothing is on its way', rests);
  const before = await kept();
  await frozen.kill('SIGSTOP');
  const after = await eventually('they are on the other node', async () => {
    const rows = await kept();
    return rows.length === before.length && mine(rows).length === 0 && rows;
  });
  for (const { pool, shift, attempt } of mine(before))
    expect(after.find((row) => row.pool === pool)).toMatchObject({ node: 'other', shift, attempt: attempt + 1 });
});
