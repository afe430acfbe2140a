/**
 * The cost of durability: an activity of 5 ms as a durable activity and as a plain one, a hit on a stored result, the
 * renewal of many leases; and the same order by DBOS Transact on the same PostgreSQL.
 */
import path from 'node:path';
import { rmSync, writeFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflows } from 'longwatch/worker';
import type { Stack } from '../../test/support/stack';
import { TestNode } from '../../test/durable/harness';
import type { Taken } from '../durable/worker-process';
import { SCHEMA } from '../durable/statements';
import type { Bench } from '../harness/bench';
import { defineScenario, type Reading } from '../harness/scenario';
import { temporaryFolder } from '../../workers/dev/temporary';

const EFFECTS = 300;
const HITS_AT_ONCE = 16;
const HIT_SECONDS = 3;
const KEYS = 1_000;
const LEASES = 10_000;
const ORDERS = 300;
const ORDERS_AT_ONCE = 30;

export const scenario = defineScenario({
  title: 'durable activities against bare ones: time, statements, stored results, leases; an order beside DBOS',
  runs: 3,
  async run(bench) {
    const stack = await bench.stack();
    await stack.sql(SCHEMA);
    const temporal = await startWorker(bench, stack);
    bench.say('effects of 5 ms, durable and plain');
    await temporal.run('effects', [50]);
    await temporal.taken('wait');
    await temporal.taken('bareWait');
    await temporal.run('effects', [EFFECTS]);
    const bare = await temporal.taken('bareWait');
    const wrapped = await temporal.taken('wait');
    return [
      {
        measure: 'an activity whose effect takes 5 ms, median',
        ours: wrapped.ms,
        unit: 'ms',
        reference: bare.ms,
        referenceName: 'bare activity, same effect',
        target: 'ratio <= 1.30',
        note: 'both in one workflow, by turns; what Temporal itself takes is not in it',
      },
      {
        measure: 'statements more than the bare activity',
        ours: wrapped.statements - bare.statements,
        unit: 'statements',
        target: '<= 2 statements',
      },
      await hits(bench, stack),
      await leases(bench, stack),
      await orders(bench, stack, temporal.run),
    ];
  },
});

async function startWorker(bench: Bench, stack: Stack) {
  const { temporalAddress, databaseUrl } = stack.servers;
  const folder = temporaryFolder('bench');
  bench.defer(() => rmSync(folder, { recursive: true, force: true }));
  const bundle = path.join(folder, 'workflows.js');
  writeFileSync(bundle, await bundleWorkflows(path.join(__dirname, '../durable/workflows.ts'), stack.log));
  const child = await bench.child(path.join(__dirname, '../durable/worker-process.ts'));
  const taskQueue = await child.call<string>('start', temporalAddress, databaseUrl, bundle);
  const connection = await Connection.connect({ address: temporalAddress });
  bench.defer(() => connection.close());
  const client = new Client({ connection });
  let runs = 0;
  return {
    run: async (workflow: string, args: unknown[]): Promise<void> => {
      await client.workflow.execute(workflow, { taskQueue, workflowId: `${workflow}-${runs++}`, args });
    },
    taken: (activity: string) => child.call<Taken>('taken', activity),
  };
}

/**
 * Calls whose result is stored already, without Temporal: its own hundred activities a second would be all that one
 * saw.
 */
async function hits(bench: Bench, stack: Stack): Promise<Reading> {
  bench.say('hits on stored results');
  const node = new TestNode(stack.servers.databaseUrl, 'bench');
  bench.defer(() => node.close());
  const call = async (index: number, task: string): Promise<void> => {
    await node.call({ task, key: `key ${index % KEYS}`, run: () => ({ index }) });
  };
  for (let i = 0; i < KEYS; i++) await call(i, `first-${i}/1`);
  const ours = await perSecond((i) => call(i, `again-${i}/1`));
  const reference = await perSecond(async (i) => {
    await node.database.rows({ name: 'bench-bare', text: BARE_LOOKUP }, [`first-${i % KEYS}/1`]);
  });
  return {
    measure: 'hits on stored results',
    ours,
    unit: '/s',
    reference,
    referenceName: 'bare select by primary key',
    target: '>= 3,000 /s',
    note: 'called without Temporal, by one process',
  };
}

const BARE_LOOKUP = 'select result from longwatch.task where task = $1';

async function perSecond(work: (index: number) => Promise<void>): Promise<number> {
  let next = 0;
  const began = performance.now();
  const until = began + HIT_SECONDS * 1_000;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) await work(next++);
  };
  await Promise.all(Array.from({ length: HITS_AT_ONCE }, caller));
  return next / ((performance.now() - began) / 1_000);
}

async function leases(bench: Bench, stack: Stack): Promise<Reading> {
  bench.say(`${LEASES} leases`);
  const node = new TestNode(stack.servers.databaseUrl, 'bench-leases');
  bench.defer(() => node.close());
  await stack.sql(FILL_LEASES, [LEASES]);
  const spec = { activity: 'effect', kind: 'activity', workflowId: 'w', runId: 'many', ttlMs: 30_000 } as const;
  const rest = {
    attempts: 1,
    resource: null,
    key: null,
    fingerprint: null,
    refuseOther: false,
    undo: false,
    keepFailure: false,
    retentionMs: 1,
    details: null,
  };
  let sentAt = 0;
  const renewed = new Promise<number>((resolve) => {
    node.database.before = () => void (sentAt = performance.now());
    node.database.after = () => resolve(performance.now() - sentAt);
  });
  const now = performance.now();
  for (let i = 1; i <= LEASES; i++) {
    const claim = { spec: { ...spec, ...rest, task: `many-${i}/1` }, owner: node.owner, attempt: 1, used: 1, token: 1 };
    node.services.leases.keep(claim, 1_000, now);
  }
  const ours = await renewed;
  const began = performance.now();
  await stack.sql(BARE_RENEWAL);
  return {
    measure: `${LEASES.toLocaleString('en')} leases renewed`,
    ours,
    unit: 'ms',
    reference: performance.now() - began,
    referenceName: 'bare UPDATE of those rows',
    target: '<= 1,000 ms',
  };
}

const FILL_LEASES = `insert into longwatch.task (task, activity, workflow_id, run_id, state, owner, attempt, lease_expires_at)
  select 'many-' || i || '/1', 'effect', 'w', 'many', 'leased', 'bench-leases', 1, clock_timestamp() + interval '1 minute'
  from generate_series(1, $1::int) i`;
const BARE_RENEWAL = `update longwatch.task set lease_expires_at = clock_timestamp() + interval '30 s' where run_id = 'many'`;

async function orders(
  bench: Bench,
  stack: Stack,
  run: (workflow: string, args: unknown[]) => Promise<void>,
): Promise<Reading> {
  bench.say('orders of three steps, and the same by DBOS');
  let next = 0;
  const began = performance.now();
  const sender = async (): Promise<void> => {
    for (let i = next++; i < ORDERS; i = next++) await run('order', [`ours-${i}`]);
  };
  await Promise.all(Array.from({ length: ORDERS_AT_ONCE }, sender));
  const seconds = (performance.now() - began) / 1_000;
  const peer = await bench.child(path.join(__dirname, '../durable/dbos-process.ts'));
  await peer.call('start', stack.servers.databaseUrl);
  const peerSeconds = await peer.call<number>('orders', ORDERS, ORDERS_AT_ONCE);
  return {
    measure: 'orders of three steps',
    ours: ORDERS / seconds,
    unit: '/s',
    reference: ORDERS / peerSeconds,
    referenceName: 'DBOS Transact',
    note: "ours goes through Temporal's development server, and each effect commits with its stored result; a step of DBOS commits by itself and may run again after a crash",
  };
}
