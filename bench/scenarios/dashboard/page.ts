/**
 * The dashboard over a deployment with a million members in 200 pools: how long each list and count takes, from the
 * request to the end of the answer; and what fifty pages cost that listen for a minute.
 */
import path from 'node:path';
import { resolveConfig } from '../../../exports';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import { percentile } from '../../harness/figures';
import type { Reading } from '../../harness/scenario';
import { storeMembers } from '../../tracker/store';

export const POOLS = 200;
export const MEMBERS = Number(process.env.BENCH_MEMBERS ?? 1_000_000);
/** One of a thousand fails. */
const FAILING = 1_000;
const ASKED = 60;
export const PAGES = 50;
const SECONDS = Number(process.env.BENCH_SECONDS ?? 60);

const LISTS = [
  'count',
  'status',
  'trackers',
  'trackers/bench',
  'trackers/bench/count',
  'trackers/bench/members',
  'trackers/bench/members?prefix=bench-77&limit=100',
  'trackers/bench/members?prefix=bench-99999&limit=100',
  'trackers/bench/pools',
  'trackers/bench/pools/7/members',
  'trackers/bench/failing',
  'trackers/bench/errors',
  'trackers/bench/freshness',
  'trackers/bench/oldest',
  'trackers/bench/members/bench-4711',
  'trackers/bench/members/bench-4711/alive',
  'nodes',
  'buckets',
  'audit',
];

export async function page(bench: Bench): Promise<Reading[]> {
  const stack = await bench.stack();
  bench.say(`storing ${MEMBERS.toLocaleString('en-US')} members`);
  await store(stack);
  const { temporalAddress: address, namespace, databaseUrl } = stack.servers;
  const child = await bench.child(path.join(__dirname, '../../dashboard/dashboard-process.ts'));
  const url = await child.call<string>('start', { temporal: { address, namespace }, databaseUrl });
  const readings = [await lists(bench, `${url}api/v1/`)];
  const cpu = () => child.call<number>('cpu');
  const one = await listening(bench, stack, url, 1, cpu);
  const many = await listening(bench, stack, url, PAGES, cpu);
  readings.push({
    measure: `dashboard: ${PAGES} pages that listen, of a core`,
    ours: many.share,
    unit: '%',
    reference: one.share,
    referenceName: 'one page',
    target: '<= 5 %',
  });
  readings.push({
    measure: `dashboard: transactions of the database a second with ${PAGES} pages`,
    ours: many.transactions,
    unit: '/s',
    reference: one.transactions,
    referenceName: 'one page',
    note: 'dashboard: no worker runs, so what the database does is the dashboard’s',
  });
  return readings;
}

async function store(stack: Stack): Promise<void> {
  const run = () => ({ value: null });
  const definition = { name: 'bench', poolSize: MEMBERS / POOLS, operations: { look: { every: '1h', run } } };
  const { options } = resolveConfig({ trackers: [definition] }).trackers[0]!;
  await storeMembers(stack, { tracker: 'bench', options, pools: POOLS, members: MEMBERS });
  await stack.sql(`update longwatch.tracker set state = 'paused'`);
  await stack.sql(
    `update longwatch.value set failures = 3, failed_at = now(), error = 'HttpError: 503 of /things/' || member
     where member % $1 = 0`,
    [MEMBERS / FAILING],
  );
  // As the nodes that kept the pools have told it: no value is older than its interval.
  await stack.sql(
    `insert into longwatch.pool_age (tracker, pool, operation, members, never, p50_ms, p95_ms, max_ms, buckets, oldest)
     select tracker, pool, 'look', members, 0, 60000, 60000, 3600000, '{}', '[]' from longwatch.pool`,
  );
  await stack.sql('vacuum analyze longwatch.value, longwatch.pool_age');
}

/** The slowest of all, by its 95th percentile; the others are said. */
async function lists(bench: Bench, base: string): Promise<Reading> {
  let worst = { list: '', p95: 0 };
  for (const list of LISTS) {
    const took: number[] = [];
    for (let i = 0; i < ASKED; i++) {
      const began = performance.now();
      const response = await fetch(base + list);
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${list} was answered with ${response.status}`);
      took.push(performance.now() - began);
    }
    const p95 = percentile(took, 0.95);
    bench.say(`${list}: ${percentile(took, 0.5).toFixed(1)} ms, p95 ${p95.toFixed(1)} ms`);
    if (p95 > worst.p95) worst = { list, p95 };
  }
  return {
    measure: 'dashboard: the slowest list or count, p95',
    ours: worst.p95,
    unit: 'ms',
    target: '<= 50 ms',
    note: `dashboard: of ${LISTS.length} lists and counts, each asked ${ASKED} times; the slowest is ${worst.list}`,
  };
}

async function listening(bench: Bench, stack: Stack, url: string, pages: number, cpu: () => Promise<number>) {
  const leaving = new AbortController();
  const readers = Array.from({ length: pages }, async () => {
    const { body } = await fetch(`${url}api/v1/stream`, { signal: leaving.signal });
    const reader = body!.getReader();
    while (!(await reader.read()).done);
  });
  const ended = Promise.allSettled(readers);
  await bench.sleep(3_000);
  const [before, transactions, began] = [await cpu(), await transactionsOf(stack), performance.now()];
  await bench.sleep(SECONDS * 1_000);
  const ms = performance.now() - began;
  const share = (100 * ((await cpu()) - before)) / ms;
  const done = (await transactionsOf(stack)) - transactions;
  leaving.abort();
  await ended;
  return { share, transactions: (1_000 * done) / ms };
}

async function transactionsOf(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ done: number }>(
    `select (xact_commit + xact_rollback)::float8 as done from pg_stat_database where datname = current_database()`,
  );
  return row!.done;
}
