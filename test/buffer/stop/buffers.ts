/**
 * Buffers that are stopped and whose shards are ended by hand, and a worker that runs them, for the parts of
 * `stop.test.ts`. All of it starts where this is imported.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import { defineBuffer, defineConfig, resolveConfig } from '../../../exports';
import type { BufferHandle } from '../../../client/buffer/handle';
import type { BufferSummary } from '../../../client/buffer/status';
import type { Longwatch } from '../../../client/longwatch';
import { bufferWorkflowId, shardWorkflowId } from '../../../workflows/buffer/contract';
import { eventually, Stack } from '../../support/stack';

export const seen: Record<string, number[]> = {};
/** Tests open them: `release` a batch of `slow`, `open` a page of `gated`, `lift` all batches of `halted`. */
export const gates: { release?: () => void; open?: () => void; lift?: () => void; begun: number } = { begun: 0 };
const gate = new Promise<void>((resolve) => (gates.lift = resolve));
const quick = { retry: { base: '10ms', cap: '50ms' }, flushInterval: '20ms' } as const;
const noting = (name: string) => (entries: number[]) => void (seen[name] ??= []).push(...entries);

export const config = defineConfig({
  defaults: { buffer: { maxBatchSize: 50 } },
  buffers: [
    // It keeps part of it in memory, part in PostgreSQL, and some for later.
    defineBuffer({ name: 'kept', ...quick, bound: { entries: 200, bytes: 10_000 }, run: noting('kept') }),
    defineBuffer({
      name: 'slow',
      ...quick,
      shards: 1,
      maxConcurrency: 1,
      run: async (entries: number[]) => {
        await new Promise<void>((resolve) => (gates.release = resolve));
        noting('slow')(entries);
      },
    }),
    defineBuffer({
      name: 'halted',
      ...quick,
      shards: 1,
      maxConcurrency: 1,
      run: async (entries: number[]) => {
        gates.begun++;
        await gate;
        noting('halted')(entries);
      },
    }),
    defineBuffer({
      name: 'paged',
      ...quick,
      poll: false,
      init: async ({ cursor, signal }) => {
        const from = Number(cursor ?? 0);
        if (from === 200) await delay(500, undefined, { signal }).catch(() => undefined);
        return { entries: range(50, from), cursor: from < 450 ? from + 50 : undefined };
      },
      run: noting('paged'),
    }),
    defineBuffer({
      name: 'gated',
      ...quick,
      shards: 2,
      poll: false,
      init: async () => {
        await new Promise<void>((resolve) => (gates.open = resolve));
        return { entries: range(100) };
      },
      run: noting('gated'),
    }),
    defineBuffer({ name: 'set', ...quick, maxConcurrency: 1, run: noting('set') }),
    defineBuffer({
      name: 'cut',
      ...quick,
      key: 'id',
      run: (entries: { id: number }[]) => noting('cut')(entries.map(({ id }) => id)),
    }),
    defineBuffer({
      name: 'newest',
      ...quick,
      key: 'id',
      maxConcurrency: 1,
      bound: { entries: 100, bytes: 10_000 },
      run: (entries: { id: number; v: number }[]) => noting('newest')(entries.map(({ id, v }) => id * 10 + v)),
    }),
    defineBuffer({ name: 'torn', ...quick, shards: 1, maxConcurrency: 1, run: noting('torn') }),
    // Each pass finds one.
    defineBuffer({
      name: 'polling',
      ...quick,
      shards: 1,
      poll: '200ms',
      init: ({ pass }) => ({ entries: [pass] }),
      run: noting('polling'),
    }),
  ],
});

export let stack: Stack;
export let longwatch: Longwatch;
let connection: Connection;
export let temporal: Client;
export let database: Database;
export const optionsOf = (name: string) => resolveConfig(config).buffers.find((one) => one.name === name)!.options;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  temporal = new Client({ connection, namespace: stack.servers.namespace });
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database?.close();
  await connection?.close();
  await stack?.close();
});

export function range(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
export const asc = (list: number[] | undefined): number[] => [...(list ?? [])].sort((a, b) => a - b);

export const drained = (buffer: BufferHandle): Promise<BufferSummary> =>
  eventually('drained', async () => {
    const status = await buffer.status();
    expect(status.balanced).toBe(true);
    return status.ageMs === 0 && status.pending + status.running === 0 && status;
  });

export const running = async (buffer: string): Promise<number> => {
  const ids = [bufferWorkflowId(buffer), shardWorkflowId(buffer, 0), shardWorkflowId(buffer, 1)];
  const names = await Promise.all(
    ids.map(
      async (id) =>
        (
          await temporal.workflow
            .getHandle(id)
            .describe()
            .catch(() => undefined)
        )?.status.name,
    ),
  );
  return names.filter((name) => name === 'RUNNING').length;
};
