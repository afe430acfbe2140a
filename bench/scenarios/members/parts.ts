/** The servers, worker and senders that the parts of this scenario begin with, and what is read of them. */
import path from 'node:path';
import { resolveConfig } from '../../../exports';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Child } from '../../harness/child';
import type { Reading } from '../../harness/scenario';
import { percentile } from '../../harness/figures';
import { numbered } from '../../tracker/watch';
import config from '../../member/members.config';
import type { SendPlan, Sent } from '../../member/sender-process';

const BENCH = path.join(__dirname, '../../member');
/** As `bin/longwatch.js` starts a worker. */
const WORKER_ENV = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

/** `BENCH_MEMBERS` and `BENCH_SECONDS` make a part small, to try it. */
export const sized = (members: number): number => Number(process.env.BENCH_MEMBERS ?? members);
export const timed = (seconds: number): number => Number(process.env.BENCH_SECONDS ?? seconds);

export interface Started {
  stack: Stack;
  senders: Child[];
}

/** @param ids members that are looked at once a second, beside the rooms */
export async function started(bench: Bench, { senders = 1, ids = 0 } = {}): Promise<Started> {
  const stack = await bench.stack();
  const [settings] = await stack.sql<{ fsync: string; commit: string }>(
    `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`,
  );
  if (settings!.fsync !== 'on' || settings!.commit !== 'on') throw new Error('PostgreSQL does not wait for its disk');
  await stack.workerProcess(path.join(BENCH, 'members.config.ts'), WORKER_ENV, ['--max-semi-space-size=8']).ready;
  const longwatch = await stack.connect();
  for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
  if (ids > 0) {
    await longwatch.tracker('ids').add(numbered(ids), { wait: true });
    await bench.until('all ids are looked at', async () => (await valuesOf(stack)) >= ids, 120_000);
  }
  const { temporalAddress, namespace, databaseUrl } = stack.servers;
  const children: Child[] = [];
  for (let i = 0; i < senders; i++) {
    const child = await bench.child(path.join(BENCH, 'sender-process.ts'));
    await child.call('start', temporalAddress, namespace, databaseUrl);
    children.push(child);
  }
  return { stack, senders: children };
}

async function valuesOf(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.value');
  return row!.n;
}

/** All senders by one plan each; fails where a message was not accepted or not answered. */
export async function runAll(senders: readonly Child[], plan: SendPlan): Promise<Sent[]> {
  const all = await Promise.all(senders.map((sender) => sender.call<Sent>('run', plan)));
  const failures = all.flatMap((sent) => sent.failures);
  if (failures.length > 0) throw new Error(`messages failed: ${failures.join('; ')}`);
  return all;
}

/** The median and the 95th of a hundred, of requests. */
export function timesOf(measure: string, requests: readonly { ms: number }[], target: string): Reading[] {
  const took = requests.map(({ ms }) => ms);
  return [
    { measure: `${measure}, p50`, ours: percentile(took, 0.5), unit: 'ms' },
    { measure: `${measure}, p95`, ours: percentile(took, 0.95), unit: 'ms', target },
  ];
}

/** Bytes that PostgreSQL has written to its log so far. */
export async function logBytes(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(`select (pg_current_wal_insert_lsn() - '0/0')::float8 as n`);
  return row!.n;
}

/** Flushes of the log so far, by `pg_stat_wal`, or by `pg_stat_io` where a newer server counts them there. */
export async function logFlushes(stack: Stack): Promise<number> {
  const [{ version } = { version: 0 }] = await stack.sql<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  );
  const [row] = await stack.sql<{ n: number }>(
    version >= 180_000
      ? `select coalesce(sum(fsyncs), 0)::float8 as n from pg_stat_io where object = 'wal'`
      : `select wal_sync::float8 as n from pg_stat_wal`,
  );
  return row!.n;
}

/** Messages that wait for their turn. */
export async function waiting(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ n: number }>('select count(*)::int as n from longwatch.mail');
  return row!.n;
}
