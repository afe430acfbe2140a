/**
 * A shift on its node's own queue comes back as an attempt of itself when that node dies, on whichever node is there:
 * its pool's workflow, which may be cached on the node that died, is not needed for it.
 */
import path from 'node:path';
import { resolveConfig } from '../../config/resolve/config';
import config from '../e2e/fixtures/nodes.config';
import { eventually, Stack } from '../support/stack';

const FILE = path.join(__dirname, '../e2e/fixtures/nodes.config.ts');

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
const kept = () =>
  stack.sql<Row>(
    `select pool, node, shift, attempt from longwatch.pool where released_at is null and token > 0 order by pool`,
  );

test('the next attempt, and not the next shift, is on the other node', async () => {
  // Nobody answers there: this is not about fetching.
  const UPSTREAM = 'http://127.0.0.1:9';
  const dying = stack.workerProcess(FILE, { LONGWATCH_NODE: 'dying', UPSTREAM });
  await dying.ready;
  const tracker = (await stack.connect()).tracker('shared');
  const [resolved] = resolveConfig(config).trackers;
  await tracker.start({ ...resolved!.options, shiftMs: 2_000 });
  await tracker.add(
    Array.from({ length: 40 }, (_, i) => `id-${i}`),
    { wait: true },
  );
  const stays = async () => {
    const rows = await kept();
    return rows.length > 0 && rows.every(({ shift, node }) => shift >= 2 && node === 'dying');
  };
  await eventually('each pool has stayed for a second shift', stays);
  // From now on no shift ends by its time, so that none does while the node is killed.
  await tracker.set({ shift: '10m' });
  const since = await kept();
  await eventually('the long ones have begun', async () =>
    (await kept()).every(({ pool, shift }) => shift >= since.find((row) => row.pool === pool)!.shift + 1),
  );
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
}, 120_000);
