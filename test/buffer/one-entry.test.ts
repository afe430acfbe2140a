/**
 * One entry, from the push to done, station by station, as `docs/one-entry.md` walks it: the test looks where each
 * station has left something behind.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { defineBuffer, defineConfig, resolveConfig } from '../../exports';
import type { BatchInput } from '../../workflows/buffer/activities';
import { shardWorkflowId, type PushMessage } from '../../workflows/buffer/contract';
import { eventually, Stack } from '../support/stack';

const ROOT = path.join(__dirname, '../..');
const ENTRY = { number: 17 };

const ran: unknown[][] = [];
const blocks = defineBuffer({
  name: 'blocks',
  key: 'number',
  shards: 1,
  poll: false,
  flushInterval: '20ms',
  run: (entries: { number: number }[]) => {
    ran.push(entries);
  },
});
const config = defineConfig({ buffers: [blocks] });

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

test('the stations of docs/one-entry.md are files that exist', () => {
  const page = readFileSync(path.join(ROOT, 'docs/one-entry.md'), 'utf8');
  const stations = [...page.matchAll(/^\d+\. \*\*`([^`]+)`\*\*/gm)];
  expect(stations.length).toBeGreaterThanOrEqual(15);
  for (const [, file] of [...stations, ...page.matchAll(/`((?:workflows|activities|client)\/[^`]+\.ts)`/g)]) {
    expect(readFileSync(path.join(ROOT, file!), 'utf8').length).toBeGreaterThan(100);
  }
});

test('push → parcel → signal → intake → batch → run → settle → report → status', async () => {
  await stack.worker(config);
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer(blocks);
  await buffer.start(resolveConfig(config).buffers[0]!.options);
  await buffer.pause();

  // client/buffer/push.ts: Temporal has it.
  expect(await buffer.push([ENTRY])).toEqual({ accepted: 1, messages: 1 });

  // workflows/buffer/intake.ts: the shard has taken it in, and it waits.
  const pending = await eventually('it is pending', async () => {
    const { shards } = await buffer.status();
    return shards[0]!.pending === 1 ? shards[0] : undefined;
  });
  expect(pending).toMatchObject({ accepted: 1, done: 0, inMemory: 1, state: 'paused' });
  await buffer.resume();
  await eventually('it is done', async () => (await buffer.status()).done === 1);

  // activities/buffer/batch.ts: the code was given it, once.
  expect(ran).toEqual([[ENTRY]]);

  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    const handle = new Client({ connection, namespace: stack.servers.namespace }).workflow.getHandle(
      shardWorkflowId('blocks', 0),
    );
    const { events } = await handle.fetchHistory();
    // client/buffer/shard-sender.ts and workflows/buffer/contract.ts: the signal, with its sender's number and the key.
    const signalled = events!.find((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'push')!;
    const message = defaultPayloadConverter.fromPayload<PushMessage>(
      signalled.workflowExecutionSignaledEventAttributes!.input!.payloads![0]!,
    );
    expect(message).toMatchObject({ seq: 1, entries: [ENTRY], keys: ['17'] });

    // workflows/buffer/next-batch.ts and parts/batches.ts: a batch of it, in an activity that completes.
    const scheduled = events!.find(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'runBatch',
    )!;
    const input = defaultPayloadConverter.fromPayload<BatchInput>(
      scheduled.activityTaskScheduledEventAttributes!.input!.payloads![0]!,
    );
    expect(input).toMatchObject({ buffer: 'blocks', shard: 0, count: 1, chunks: [{ first: 1, entries: [ENTRY] }] });
    const completed = events!.filter(
      (event) =>
        String(event.activityTaskCompletedEventAttributes?.scheduledEventId ?? '') === String(scheduled.eventId),
    );
    expect(completed).toHaveLength(1);
  } finally {
    await connection.close();
  }

  // workflows/buffer/parts/reports.ts: PostgreSQL has the counts.
  await eventually('the report is in PostgreSQL', async () => {
    const rows = await stack.sql<{ done: number }>(
      `select (status ->> 'done')::int as done from longwatch.buffer_shard where buffer = 'blocks'`,
    );
    return rows[0]?.done === 1;
  });

  // client/buffer/status.ts: shown, and the counts add up.
  expect(await buffer.status()).toMatchObject({ accepted: 1, done: 1, pending: 0, running: 0, balanced: true });
});
