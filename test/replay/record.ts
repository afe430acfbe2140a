/**
 * Records histories of the workflows as they run on a real server, for `replay.test.ts`: `npx tsx test/replay/record.ts`. To be
 * run when a workflow's commands change on purpose and nothing runs that the old histories stand for; else they stay,
 * since they are what replays must be able to take. Names of machines and traces of their files are left out.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defineConfig, defineTracker, resolveConfig } from '../../client';
import { historyToJson } from './history-json';
import { poolWorkflowId } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';

const HISTORIES = path.join(__dirname, 'histories');

const operations = { look: { every: '100ms', run: () => ({ value: 1 }) } } as const;
const config = defineConfig({
  trackers: [
    defineTracker({ name: 'life', poolSize: 5, heartbeatTimeout: '2s', operations }),
    defineTracker({ name: 'renewing', poolSize: 5, historyEvents: 30, shift: '1s', operations }),
  ],
});

async function record(): Promise<void> {
  const stack = await Stack.start();
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    await stack.worker(config, { nodeName: 'node' });
    const temporal = new Client({ connection });
    for (const { name, options } of resolveConfig(config).trackers) await live(stack, temporal, name, options);
    await save(temporal);
  } finally {
    await connection.close();
    await stack.close();
  }
}

/** All that can be said to a tracker and its pools, once. */
async function live(
  stack: Stack,
  temporal: Client,
  name: string,
  options: ReturnType<typeof resolveConfig>['trackers'][number]['options'],
): Promise<void> {
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker(name);
  const ids = Array.from({ length: 12 }, (_, i) => `id-${i}`);
  await tracker.start(options);
  await tracker.add(ids.slice(0, 4), { wait: true });
  // Through pool 0, which asks its root to grow.
  const pool = temporal.workflow.getHandle(poolWorkflowId(name, 0));
  await pool.signal('add', ids.slice(4));
  await pool.signal('add', 'by-hand');
  await pool.signal('add', { ids: 'garbage' });
  await eventually('it has grown', async () => (await tracker.pools()).length >= 3);
  await tracker.remove(['id-0'], { wait: true });
  await tracker.pause();
  await tracker.add(['while-paused'], { wait: true });
  await tracker.resume();
  await tracker.set({ 'operations.look.every': '200ms' });
  await tracker.set({ 'operations.look.nothing': 1 }).catch(() => undefined);
  await tracker.declare({ ...options, flushMs: 300 });
  for (let crashes = 0; crashes < 3; crashes++) {
    const token = async () =>
      (await stack.sql(`select token, quarantined_at from longwatch.pool where tracker = $1 and pool = 0`, [name]))[0];
    const before = await eventually('it is kept', async () =>
      (await tracker.pools())[0]!.onShift ? token() : undefined,
    );
    await tracker.crash(0);
    await eventually('it has crashed', async () => JSON.stringify(await token()) !== JSON.stringify(before));
  }
  await tracker.resume();
  await eventually('it is kept again', async () => (await tracker.pools())[0]!.onShift);
  await tracker.add(
    Array.from({ length: 20 }, (_, i) => `bulk-${i}`),
    { wait: true },
  );
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await tracker.stop();
  await eventually('all have ended', async () => {
    const query = `LongwatchTracker = '${name}' and ExecutionStatus = 'Running'`;
    return (await temporal.workflow.count(query)).count === 0;
  });
}

/** Of each workflow the first run, the longest, and the last. */
async function save(temporal: Client): Promise<void> {
  mkdirSync(HISTORIES, { recursive: true });
  for (const file of readdirSync(HISTORIES)) rmSync(path.join(HISTORIES, file));
  const byId = new Map<string, { runId: string; startedAt: number; events: number }[]>();
  for await (const { workflowId, runId, startTime, historyLength } of temporal.workflow.list()) {
    byId.set(workflowId, [
      ...(byId.get(workflowId) ?? []),
      { runId, startedAt: startTime.getTime(), events: historyLength },
    ]);
  }
  for (const [workflowId, runs] of byId) {
    runs.sort((a, b) => a.startedAt - b.startedAt);
    const longest = runs.reduce((a, b) => (b.events > a.events ? b : a));
    // Pools beyond the first two live as the second does.
    if (/\/([2-9]|\d\d)$/.test(workflowId)) continue;
    const chosen = new Map([
      ['first', runs[0]!],
      ['longest', longest],
      ['last', runs.at(-1)!],
    ]);
    const saved = new Set<string>();
    for (const [which, { runId }] of chosen) {
      if (saved.has(runId)) continue;
      saved.add(runId);
      const history = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
      const file = path.join(HISTORIES, `${workflowId.replaceAll('/', '-')}-${which}.json`);
      writeFileSync(file, `${JSON.stringify({ workflowId, history: withoutPlaces(historyToJson(history)) })}\n`);
      process.stdout.write(`${path.relative(process.cwd(), file)}: ${history.events!.length} events\n`);
    }
  }
}

function withoutPlaces(history: unknown): unknown {
  return JSON.parse(JSON.stringify(history), (key, value: unknown) => {
    if (key === 'identity') return 'someone';
    if (key === 'stackTrace') return '';
    return value;
  }) as unknown;
}

void record().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
