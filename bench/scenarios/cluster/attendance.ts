/**
 * Many nodes that are only there: each writes its row a second and reads those of all others. How much of a processor
 * that takes a node, and how many transactions the cluster makes, with few and with many nodes.
 */
import path from 'node:path';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Child } from '../../harness/child';
import type { Reading } from '../../harness/scenario';

const FEW = 16;
const MANY = 64;
const SETTLE_S = 5;
const SECONDS = 20;

interface Use {
  /** Milliseconds of processor, a node and second. */
  cpuMs: number;
  /** Transactions of the database, a second. */
  transactions: number;
}

export async function attendance(bench: Bench): Promise<Reading[]> {
  const stack = await bench.stack();
  const file = path.join(__dirname, '..', '..', 'tracker', 'attendance-process.ts');
  const child = await bench.child(file, { DATABASE_URL: stack.servers.databaseUrl });
  const few = await used(bench, stack, child, FEW);
  const many = await used(bench, stack, child, MANY);
  await child.kill();
  return [
    {
      measure: `${MANY} nodes without pools: processor time of a node`,
      ours: many.cpuMs,
      unit: 'ms/s',
      reference: few.cpuMs,
      referenceName: `at ${FEW} nodes`,
      target: '<= 2 ms/s',
    },
    {
      measure: 'transactions a node and second',
      ours: many.transactions / MANY,
      unit: '',
      reference: few.transactions / FEW,
      referenceName: `at ${FEW} nodes`,
      target: 'ratio <= 1.2',
    },
  ];
}

async function used(bench: Bench, stack: Stack, child: Child, nodes: number): Promise<Use> {
  bench.say(`${nodes} nodes`);
  await child.call('grow', nodes);
  await bench.sleep(SETTLE_S * 1_000);
  const before = { cpu: await child.call<number>('cpuMs'), count: await transactions(stack) };
  await bench.sleep(SECONDS * 1_000);
  const cpu = (await child.call<number>('cpuMs')) - before.cpu;
  const count = (await transactions(stack)) - before.count;
  return { cpuMs: cpu / nodes / SECONDS, transactions: count / SECONDS };
}

async function transactions(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(
    `select xact_commit::float8 as n from pg_stat_database where datname = current_database()`,
  );
  return row!.n;
}
