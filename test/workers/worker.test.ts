/** A worker whose start breaks off, or that never runs: nothing of it is left open. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createWorker } from '../../workers/worker';
import { partsOf } from '../../workers/parts';
import type { WorkerSetup } from '../../workers/setup';
import { Services } from '../../activities/lib/service';
import { defineTracker } from '../../config/define/tracker';
import { resolveConfig } from '../../config/resolve/config';
import { freePort } from '../../workers/metrics';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let setup: WorkerSetup;
beforeAll(async () => {
  stack = await Stack.start();
  setup = {
    config: resolveConfig({
      trackers: [defineTracker({ name: 'idle', operations: { look: { every: '1m', run: () => ({ value: 1 }) } } })],
    }),
    temporal: { address: stack.servers.temporalAddress, namespace: stack.servers.namespace },
    databaseUrl: stack.servers.databaseUrl,
    metrics: { port: await freePort() },
    nodeName: 'the only one',
    log: stack.log,
    workflowBundle: process.env.LONGWATCH_TEST_BUNDLE,
  };
});
afterAll(() => stack.close());

/** Timers, sockets, servers and threads of this process, and the sessions of the database that are not ours. */
async function open(): Promise<string> {
  const rows = await stack.sql<{ count: string }>(
    `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  );
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const kinds = ['TCPServerWrap', 'TCPSocketWrap', 'Timeout', 'MessagePort'];
  return [...kinds.map((kind) => `${kind} ${counts.get(kind) ?? 0}`), `sessions ${rows[0]!.count}`].join(', ');
}

test('whichever part cannot start, nothing is left open, and the next worker has its name and port', async () => {
  // The SDK's runtime stays for the life of a process, and is there after the first worker, which never runs.
  const first = await createWorker(setup);
  await first.shutdown();
  let before = '';
  const sessions = () =>
    stack.sql(`select from pg_stat_activity where datname = current_database() and application_name like 'longwatch%'`);
  await eventually('the first has ended', async () => (await sessions()).length === 0);
  await eventually('and what it had open', async () => before === (before = await open()));
  const { length } = partsOf(setup).services;
  expect(length).toBeGreaterThan(10);
  for (let position = 0; position < length; position++) {
    const { services } = partsOf(setup);
    const failing = services[position]!;
    const start = failing.start.bind(failing);
    failing.start = async () => {
      await start();
      throw new Error(`part ${position} is broken`);
    };
    await expect(new Services(services, 3_000).start()).rejects.toThrow(`part ${position} is broken`);
    let now = '';
    await eventually(`part ${position}`, async () => (now = await open()) === before).catch(() => undefined);
    expect([position, now]).toEqual([position, before]);
  }
  const last = await createWorker(setup);
  const ended = last.run();
  await eventually('it runs', async () => (await fetch(new URL('/readyz', last.metricsUrl))).ok);
  await last.shutdown();
  await ended;
});

test('workflows that cannot be bundled end the start before the node is there', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-workflows-'));
  try {
    const workflows = path.join(folder, 'workflows.ts');
    writeFileSync(workflows, `import 'not-there';\nexport const order = async () => 1;\n`);
    const config = { ...setup.config, workflows };
    const broken = { ...setup, config, nodeName: 'never there', workflowBundle: undefined };
    await expect(createWorker(broken)).rejects.toThrow(/workflows: workflows.ts cannot be bundled/);
    expect(await stack.sql(`select name from longwatch.node where name = 'never there'`)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
