/**
 * A worker that is made and does not work yet: it is seen, takes nothing, and nobody gives it a pool, for its polls
 * would not answer. Once it works it has its share, and no pool has waited on its way.
 */
import { defineConfig, defineTracker } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import { eventually, Stack } from '../support/stack';

const config = defineConfig({
  trackers: [
    defineTracker({ name: 'things', poolSize: 10, operations: { look: { every: '1s', run: () => ({ value: 1 }) } } }),
  ],
});

let stack: Stack;
beforeAll(async () => (stack = await Stack.start()));
afterAll(() => stack?.close());

const shifts = async () =>
  stack.sql<{ pool: number; shift: number; node: string }>(
    `select pool, shift, node from longwatch.pool where released_at is null and node is not null order by pool`,
  );

test('it is given nothing before it works, and its share at once when it does', async () => {
  const longwatch = await stack.connect();
  const things = longwatch.tracker('things');
  await stack.worker(config, { nodeName: 'first' });
  await things.start(resolveConfig(config).trackers[0]!.options);
  await things.add(
    Array.from({ length: 80 }, (_, i) => `id-${i}`),
    { wait: true },
  );
  const before = await eventually('all pools are kept', async () => {
    const { pools, poolsKept } = await things.count();
    const kept = await shifts();
    return pools >= 8 && pools === poolsKept && kept.length === pools && kept;
  });

  const second = await stack.idleWorker(config, { nodeName: 'second' });
  const seen = async () => {
    const report = await longwatch.node('second').report();
    return Date.parse(report.seenAt) - Date.parse(report.startedAt);
  };
  // Time for an ask, for its answer, and for a pool that would come back from a queue that nobody asks.
  await eventually('it was there for some seconds', async () => (await seen()) > 4_000);
  await eventually('it is not up, and has nothing', async () => {
    const verdict = { level: 'note', word: 'not up' };
    expect(await longwatch.node('second').report()).toMatchObject({ alive: true, pools: 0, share: 0, verdict });
    return true;
  });
  expect(await shifts()).toEqual(before);

  const ended = second.run();
  const even = await eventually('it has its share', async () => {
    const kept = await shifts();
    const its = kept.filter(({ node }) => node === 'second').length;
    return kept.length === before.length && its >= before.length / 2 - 2 && kept;
  });
  for (const { pool, shift, node } of even) {
    const was = before.find((each) => each.pool === pool)!.shift;
    expect([pool, node, shift - was]).toEqual([pool, node, node === 'second' ? 1 : 0]);
  }
  await second.shutdown();
  await ended;
});
