/**
 * One tick of a regen, from the request to its row of history, station by station, as `docs/one-tick.md` walks it: what
 * each station leaves behind is looked at where it lies.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { defineConfig } from '../../exports';
import { setPointHook } from '../../activities/lib/points';
import { jobWorkflowId, type PassInput } from '../../workflows/job/contract';
import { Stack } from '../support/stack';
import { makePlayers, startJob, valuesOf } from './kit';

const ROOT = path.join(__dirname, '../..');
const config = defineConfig({
  regens: [{ name: 'stamina', every: '366d', table: 'player', set: { stamina: 'stamina + :elapsed' }, chunk: 40 }],
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await makePlayers(stack, 'player', 100);
});
afterAll(async () => {
  setPointHook(undefined);
  await stack?.close();
});

test('the stations of docs/one-tick.md are files that exist', () => {
  const page = readFileSync(path.join(ROOT, 'docs/one-tick.md'), 'utf8');
  const stations = [...page.matchAll(/^\d+\. \*\*`([^`]+)`\*\*/gm)];
  expect(stations.length).toBeGreaterThanOrEqual(12);
  const files = [...page.matchAll(/`((?:cli|client|workflows|activities|test)\/[^`]+)`/g)];
  for (const [, file] of files) expect(readFileSync(path.join(ROOT, file!), 'utf8').length).toBeGreaterThan(100);
});

test('client → contract → plan → pass → fence → parts → chunk → close → history', async () => {
  await stack.worker(config, { nodeName: 'node-1' });
  const longwatch = await stack.connect();
  const job = await startJob(longwatch, config, 'stamina');

  // The pass is stopped behind its first chunk, so that the open tick can be looked at.
  const { promise: committed, resolve: onCommitted } = later();
  const { promise: released, resolve: release } = later();
  setPointHook(async (point) => {
    if (point !== 'chunk.committed') return;
    setPointHook(undefined);
    onCommitted();
    await released;
  });
  const running = job.run();
  await Promise.race([committed, running]);

  // workflows/job/passes.ts: the activity in the history of the job's workflow, with the tick that was asked for.
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  let asked: PassInput;
  try {
    const handle = new Client({ connection, namespace: stack.servers.namespace }).workflow.getHandle(
      jobWorkflowId('stamina'),
    );
    const { events } = await handle.fetchHistory();
    const passes = events!
      .map((event) => event.activityTaskScheduledEventAttributes)
      .filter((scheduled) => scheduled?.activityType?.name === 'pass');
    expect(passes).toHaveLength(1);
    asked = defaultPayloadConverter.fromPayload<PassInput>(passes[0]!.input!.payloads![0]!);
  } finally {
    await connection.close();
  }
  expect(asked).toMatchObject({ job: 'stamina', pass: 1, tick: { elapsed: 1, skipped: 0 } });

  // activities/job/store/fence.ts: the token, and whose it is.
  const [fence] = await stack.sql(`select token::int, pass, attempt, node, ended_due from longwatch.job`);
  expect(fence).toEqual({ token: 1, pass: 1, attempt: 1, node: 'node-1', ended_due: null });

  // activities/job/store/ticks.ts: the open tick, and its one part up to the last key; the chunk's progress beside its
  // rows (activities/job/store/rows.ts).
  const tick = `select (extract(epoch from due) * 1000)::float8 as due, request, elapsed, rows::int, ended_at is not null as ended
                from longwatch.tick`;
  const { due, request } = asked.tick;
  expect(await stack.sql(tick)).toEqual([{ due, request, elapsed: 1, rows: 0, ended: false }]);
  expect(await stack.sql(`select part, after, upto, done, rows::int, token::int from longwatch.tick_range`)).toEqual([
    { part: 0, after: ['40'], upto: ['100'], done: false, rows: 40, token: 1 },
  ]);
  expect(await valuesOf(stack, 'player')).toEqual({ 0: 60, 1: 40 });

  // The end: the parts are gone, the tick has its sums, and no older one begins again.
  release();
  const summary = await running;
  expect(summary).toMatchObject({ rows: 100, failed: 0, chunks: 3 });
  expect(await valuesOf(stack, 'player')).toEqual({ 1: 100 });
  expect(await stack.sql(`select 1 from longwatch.tick_range`)).toEqual([]);
  expect(await stack.sql(tick)).toEqual([{ due, request, elapsed: 1, rows: 100, ended: true }]);
  expect(await stack.sql(`select (extract(epoch from ended_due) * 1000)::float8 as due from longwatch.job`)).toEqual([
    { due },
  ]);

  // client/job/handle.ts: shown.
  expect(await job.history()).toEqual([summary]);
});

function later(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
