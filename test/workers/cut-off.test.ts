/**
 * A worker that is cut off from PostgreSQL alone, while Temporal hears it well: it gives its pools up, and takes none
 * until PostgreSQL hears it again. Otherwise each pool that it holds in vain would be lost for as long as its patience
 * lasts, again and again.
 */
import { defineTracker, resolveConfig } from '../../exports';
import { Proxy } from '../support/proxy';
import { eventually, Stack } from '../support/stack';

const POOLS = 12;
/** One of the shared queue, one of its own. */
const POLLS = 2;
const config = {
  trackers: [
    defineTracker({
      name: 't',
      poolSize: 100,
      patience: '5s',
      heartbeatTimeout: '30s',
      operations: { look: { every: '1s', run: () => ({ value: 1 }) } },
    }),
  ],
};

let stack: Stack;
let proxy: Proxy;
beforeAll(async () => {
  stack = await Stack.start();
  proxy = await Proxy.start(stack.servers.databaseUrl);
});
afterAll(async () => {
  proxy?.pass();
  await stack?.close();
  proxy?.close();
});

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
const all = (node: string) => async () => {
  const rows = await kept();
  return rows.length === POOLS && rows.every((row) => row.node === node) && rows;
};

test('TR-M20: it loses its pools to the other worker, which has them by the next attempt, and it takes pools again when it is heard', async () => {
  const longwatch = await stack.connect();
  await stack.worker(config, { nodeName: 'cut', databaseUrl: proxy.url });
  const tracker = longwatch.tracker('t');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  const ids = Array.from({ length: 200 }, (_, i) => `id-${i}`);
  await stack.sql(`update longwatch.tracker set pools = $1 where name = 't'`, [POOLS]);
  await tracker.add(ids, { wait: true });
  const before = await eventually('the one worker keeps all', all('cut'));
  const whole = await stack.worker(config, { nodeName: 'whole' });

  proxy.swallow();
  const after = await eventually('the other one keeps all', all('whole'));
  const more = after.map((row, i) => (row.shift === before[i]!.shift ? row.attempt - before[i]!.attempt : 1));
  // A poll that was out may have brought one more to it, which it declines at once.
  expect(more.reduce((sum, attempts) => sum + attempts, 0)).toBeLessThanOrEqual(POOLS + POLLS);

  proxy.pass();
  await eventually('PostgreSQL hears it', async () =>
    (await stack.sql(`select from longwatch.node where name = 'cut' and seen_at > now() - interval '1 second'`)).length > 0); // prettier-ignore
  await whole.shutdown();
  await eventually('it has them again', all('cut'));
});
