/**
 * A worker that is cut off from Temporal alone, without a FIN, while PostgreSQL hears it well: it keeps on asking for
 * its ids until the other one has their pools, says that it is cut off, is given nothing meanwhile, and has its share
 * again when it is back.
 */
import { defineTracker, resolveConfig } from '../../exports';
import { Proxy } from '../support/proxy';
import { eventually, Stack } from '../support/stack';
import { stopwatch } from '../support/stopwatch';

const POOLS = 12;
/** Longer than a flush and the look of a shift that has lost its fence, on a machine that is busy. */
const WAITED_MS = 10_000;
let took: () => number;
/** When each id was asked for last, whichever worker it was. */
const asked = new Map<string, number>();
let longestMs = 0;
const config = {
  trackers: [
    defineTracker({
      name: 't',
      poolSize: 100,
      // A machine that stands still for some seconds takes no pool from anybody.
      heartbeatTimeout: '10s',
      operations: {
        look: {
          every: '500ms',
          run: ({ id }) => {
            const now = took();
            longestMs = Math.max(longestMs, now - (asked.get(id) ?? now));
            asked.set(id, now);
            return { value: now };
          },
        },
      },
    }),
  ],
};

let stack: Stack;
let proxy: Proxy;
beforeAll(async () => {
  stack = await Stack.start();
  proxy = await Proxy.start(`tcp://${stack.servers.temporalAddress}`);
});
afterAll(async () => {
  proxy?.pass();
  await stack?.close();
  proxy?.close();
});

const kept = async (node: string): Promise<number> => {
  const [row] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from longwatch.pool where released_at is null and token > 0 and node = $1`,
    [node],
  );
  return row!.n;
};
const isCutOff = async (): Promise<boolean> =>
  (await stack.sql(`select from longwatch.node where name = 'cut' and placement ->> 'cutOff' = 'true'`)).length > 0;
const tokens = async (): Promise<number> =>
  (await stack.sql<{ n: number }>('select sum(token)::int as n from longwatch.pool'))[0]!.n;

test('its ids are asked for all the time, it is given nothing while it is cut off, and has its share afterwards', async () => {
  took = stopwatch();
  const temporal = { address: new URL(proxy.url).host, namespace: stack.servers.namespace };
  await stack.worker(config, { nodeName: 'cut', temporal });
  const tracker = (await stack.connect()).tracker('t');
  await tracker.start(resolveConfig(config).trackers[0]!.options);
  await stack.sql(`update longwatch.tracker set pools = $1 where name = 't'`, [POOLS]);
  const ids = Array.from({ length: 120 }, (_, i) => `id-${i}`);
  await tracker.add(ids, { wait: true });
  await eventually('the one worker keeps all', async () => (await kept('cut')) === POOLS);
  await stack.worker(config, { nodeName: 'whole' });
  await eventually('each has some', async () => (await kept('whole')) >= 4);

  proxy.swallow();
  await eventually('the other one keeps all', async () => (await kept('whole')) === POOLS);
  await eventually('it says so', isCutOff);
  // Both look at their shares each second.
  const before = await tokens();
  const looks = async () =>
    Number((await stack.sql<{ n: number }>(`select extract(epoch from now())::float8 as n`))[0]!.n);
  const since = await looks();
  await eventually('five seconds more', async () => (await looks()) - since > 5);
  expect(await tokens()).toBe(before);
  expect(await isCutOff()).toBe(true);

  proxy.pass();
  await eventually('it has pools again', async () => (await kept('cut')) >= 4);
  expect(await isCutOff()).toBe(false);
  expect(asked.size).toBe(ids.length);
  expect(longestMs).toBeLessThan(WAITED_MS);
});
