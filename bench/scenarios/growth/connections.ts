/**
 * How many connections a server of so many cores has a use for: single-row updates at 1, 2, 4, … of them, directly and
 * through PgBouncer; and what it costs that statements cannot be prepared by name through it.
 */
import { Pool } from 'pg';
import { findPgBouncer, Pooler } from '../../../test/growth/pooler';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';
import { loop, type Pace } from './loop';

const ROWS = 100_000;
const SECONDS = 2;
const SIZES = [1, 2, 4, 8, 16, 32, 64];
const UPDATE = 'update counter set n = n + 1 where id = $1';

export async function measureConnections(bench: Bench, stack: Stack): Promise<Reading[]> {
  await stack.sql('create table counter (id integer primary key, n integer not null) with (fillfactor = 50)');
  await stack.sql(`insert into counter select n, 0 from generate_series(1, ${ROWS}) n`);
  await stack.sql('vacuum (analyze) counter');
  const run = (pool: Pool, connections: number, name?: string): Promise<Pace> =>
    loop(connections, SECONDS, () =>
      pool.query({ name, text: UPDATE, values: [1 + Math.floor(Math.random() * ROWS)] }),
    );
  const open = (url: string, options?: string): Pool => {
    const pool = new Pool({ connectionString: url, max: Math.max(...SIZES), options });
    // A server that ends may end a connection before the pool does.
    pool.on('error', () => undefined);
    bench.defer(() => pool.end());
    return pool;
  };
  const direct = open(stack.servers.databaseUrl);
  const durable = open(stack.servers.databaseUrl, '-c synchronous_commit=on');
  const readings: Reading[] = [];
  const bySize = new Map<number, Pace>();
  for (const [what, pool] of [
    ['the server’s work', direct],
    ['with the wait for the disk', durable],
  ] as const) {
    await run(pool, 8, 'update');
    const paces = new Map<number, Pace>();
    for (const size of SIZES) {
      bench.say(`updates on ${size} connections, ${what}`);
      paces.set(size, await run(pool, size, 'update'));
      if (pool === direct) bySize.set(size, paces.get(size)!);
    }
    const most = Math.max(...[...paces.values()].map(({ rate }) => rate));
    for (const [size, { rate, p99 }] of paces) {
      const measure = `updates, ${size} connections, ${what}`;
      const note = `${measure}: p99 ${p99.toFixed(1)} ms`;
      readings.push({ measure, ours: rate, unit: '/s', reference: most, referenceName: 'the best number', note });
    }
  }
  const named = bySize.get(8)!;
  const unnamed = await run(direct, 8);
  readings.push({
    measure: 'updates, not prepared by name',
    ours: unnamed.rate,
    unit: '/s',
    reference: named.rate,
    referenceName: 'prepared by name',
  });
  const program = findPgBouncer();
  if (program === undefined) {
    bench.say('PgBouncer is skipped: it is not installed');
    return readings;
  }
  const pooler = await Pooler.start(program, stack);
  bench.defer(() => pooler.stop());
  const pooled = open(pooler.url);
  for (const size of [8, 64]) {
    bench.say(`updates of ${size} clients through PgBouncer`);
    const { rate } = await run(pooled, size);
    readings.push({
      measure: `updates, ${size} clients through PgBouncer (4 connections)`,
      ours: rate,
      unit: '/s',
      reference: bySize.get(size)!.rate,
      referenceName: 'as many connections',
    });
  }
  return readings;
}
