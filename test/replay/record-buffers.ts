/**
 * Records the histories of buffers and their shards: one that lives through all that can be said to it and all that its
 * entries can meet, one that continues as new often, and one that is stopped in the middle of it.
 */
import type { Client } from '@temporalio/client';
import { defineBuffer, defineConfig, ok, resolveConfig, retry, TooLargeError } from '../../exports';
import type { BufferHandle } from '../../client/buffer/handle';
import { memorySignal, shardWorkflowId } from '../../workflows/buffer/contract';
import { eventually } from '../support/stack';
import type { Part } from './record';

const quick = { flushInterval: '20ms', retry: { base: '20ms', cap: '100ms', attempts: 3 } } as const;

let failing = true;
const config = defineConfig({
  buffers: [
    defineBuffer({
      name: 'life',
      ...quick,
      key: 'id',
      maxBatchSize: 40,
      shards: 2,
      bound: { entries: 150, bytes: 10_000 },
      poll: '200ms',
      state: { batches: 0 },
      init: ({ cursor, pass }) => {
        const from = Number(cursor ?? 0);
        if (pass === 0 && from === 60 && failing) {
          failing = false;
          throw new Error('not now');
        }
        return pass > 0 ? { entries: [] } : { entries: items(30, from), cursor: from < 90 ? from + 30 : undefined };
      },
      run: (entries: { id: number; tries?: number }[], { state }) => {
        if (entries.length > 30) throw new TooLargeError('at most 30');
        if (entries.some(({ id }) => id === 1_013)) throw new Error('poison');
        const again = entries.filter(({ id, tries }) => id % 100 === 7 && tries === undefined);
        const later = entries.filter(({ id, tries }) => id % 100 === 8 && tries === undefined);
        const next = (list: typeof entries) => list.map((entry) => ({ ...entry, tries: 1 }));
        return [ok({ batches: state.batches + 1 }), retry(next(again)), retry(next(later), { after: '100ms' })];
      },
    }),
    defineBuffer({
      name: 'renewing',
      ...quick,
      historyEvents: 50,
      maxBatchSize: 20,
      bound: { entries: 100, bytes: 10_000 },
      run: () => undefined,
    }),
  ],
});

export const buffers: Part = {
  config,
  owns: /^(buffer|shard)\b/,
  async live(stack, temporal) {
    const longwatch = await stack.connect();
    const optionsOf = (name: string) => resolveConfig(config).buffers.find((one) => one.name === name)!.options;
    await liveOnce(longwatch.buffer('life'), temporal, optionsOf('life'));
    await renewOften(longwatch.buffer('renewing'), optionsOf('renewing'));
  },
};

type Options = ReturnType<typeof resolveConfig>['buffers'][number]['options'];

const items = (count: number, from: number): { id: number }[] =>
  Array.from({ length: count }, (_, i) => ({ id: from + i }));

const drained = (buffer: BufferHandle): Promise<unknown> =>
  eventually('drained', async () => {
    const { pending, running, putOff } = await buffer.status();
    return pending + running - putOff === 0;
  });

/** Whatever there is, once. */
async function liveOnce(buffer: BufferHandle, temporal: Client, options: Options): Promise<void> {
  await buffer.start(options);
  await eventually('init is read', async () => (await buffer.status()).done >= 120);
  await buffer.push(items(50, 1_000));
  await buffer.push(items(20, 1_100), { wait: true });
  await buffer.push(items(5, 1_200), { front: true });
  await buffer.push([{ id: 1_301 }, { id: 1_302, text: 'x'.repeat(200_000) }]);
  const shard = temporal.workflow.getHandle(shardWorkflowId('life', 0));
  for (let i = 0; i < 2; i++) await shard.signal('push', { sender: 'me', seq: 1, entries: items(3, 1_400) });
  await shard.signal('push', 'by-hand');
  await shard.signal('push', 4_711);
  const [letter] = await eventually('one is dead', async () => {
    const found = await buffer.dead.list();
    return found.length > 0 && found;
  });
  await buffer.dead.retry({ ids: [letter!.id] }, { apply: true, front: true });
  await eventually('it is dead again', async () => (await buffer.status()).dead === 1);
  await buffer.dead.drop({}, { apply: true });

  // Past the bound, and put off: to PostgreSQL and back.
  await buffer.pause();
  await buffer.push(items(600, 2_000));
  await buffer.push(items(10, 3_000), { at: Date.now() + 1_500 });
  await shard.signal(memorySignal, 'shrink');
  await eventually('it is stored', async () => (await buffer.status()).stored > 300);
  await shard.signal(memorySignal, 'grow');
  await buffer.resume();
  await drained(buffer);

  await buffer.set({ flushInterval: 'never', shards: 3 });
  await buffer.push(items(5, 4_000));
  await buffer.flush();
  await drained(buffer);
  await buffer.declare({ ...options, maxBatchSize: 30 });
  await buffer.set({ flushInterval: null });
  await buffer.pause();
  await buffer.push(items(50, 5_000));
  await buffer.stop();
  await buffer.start();
  await eventually('all is handled', async () => (await buffer.status()).pending === 0);
  await buffer.stop();
}

async function renewOften(buffer: BufferHandle, options: Options): Promise<void> {
  await buffer.start(options);
  for (let from = 0; from < 2_000; from += 40) await buffer.push(items(40, from), { wait: from % 400 === 0 });
  await drained(buffer);
  for (let i = 0; i < 40; i++) await buffer.flush();
  await buffer.stop();
}
