/**
 * Two nodes whose event loops are nearly full: whether a shift is taken from either of them, which live, because its
 * heartbeats come late. By heartbeat time-out; this decides the default. Ten minutes each, or BENCH_MINUTES.
 */
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { numbered, Watch } from '../../tracker/watch';

const POOLS = 200;
const TIMEOUTS = [2, 3, 5];
/** The part of an event loop that is to be used. */
const WANTED = 0.9;
const NEARLY = 0.05;
const STEP = 1_000;
const MOST = 20_000;
/** The engine alone takes a twelfth of that for a run: 100,000 members would have to be added until a loop is full. */
const BUSY_MS = 0.15;
const SETTLE_MS = 5_000;

export async function living(bench: Bench): Promise<Reading[]> {
  const minutes = Number(process.env.BENCH_MINUTES ?? 10);
  const readings: Reading[] = [];
  for (const timeout of TIMEOUTS) readings.push(...(await busy(bench, timeout, minutes)));
  return readings;
}

async function busy(bench: Bench, timeout: number, minutes: number): Promise<Reading[]> {
  const watch = await Watch.start(bench, {
    // No shift ends by its time meanwhile.
    tracker: { poolSize: MOST / POOLS, heartbeatTimeout: `${timeout}s`, shift: '1h' },
    operation: { every: '1s', stagger: { base: '0ms', window: '1s' } },
    busyMs: BUSY_MS,
  });
  await watch.worker();
  // As many pools as there will be, from the beginning.
  await watch.stack.sql(`update longwatch.tracker set pools = $1 where name = 'bench'`, [POOLS]);
  const ids = numbered(MOST);
  let members = 0;
  let use = 0;
  while (use < WANTED - NEARLY && members < MOST) {
    await watch.tracker.add(ids.slice(members, members + STEP), { wait: true });
    members += STEP;
    await bench.sleep(SETTLE_MS);
    use = await eventLoop(watch);
    bench.say(`${members.toLocaleString('en-US')} members: ${Math.round(use * 100)} % of an event loop`);
  }
  const before = await restarts(watch);
  await bench.sleep(minutes * 60_000);
  const taken = (await restarts(watch)) - before;
  const after = await eventLoop(watch);
  await watch.stop();
  const what = `${members.toLocaleString('en-US')} members on two nodes, time-out of ${timeout} s`;
  return [
    { measure: `${what}: use of the event loop`, ours: 100 * Math.max(use, after), unit: '%' },
    { measure: `${what}: shifts taken from a living node in ${minutes} min`, ours: taken, unit: '', target: '<= 0' },
  ];
}

/** The use of the busier one. */
async function eventLoop(watch: Watch): Promise<number> {
  const rows = await watch.stack.sql<{ use: number | null }>(
    `select (use ->> 'eventLoop')::float8 as use from longwatch.node`,
  );
  return Math.max(0, ...rows.map(({ use }) => use ?? 0));
}

/** Shifts that began after an attempt that was not heard of any more, by the workers' own count. */
async function restarts(watch: Watch): Promise<number> {
  const pages = await Promise.all(watch.workers.map((worker) => worker.metrics()));
  const counts = pages.flatMap((page) => [...page.matchAll(/^longwatch_pool_restarts_total\{.*\} (\d+)$/gm)]);
  return counts.reduce((sum, match) => sum + Number(match[1]), 0);
}
