/**
 * Records the histories of trackers and their pools: one that lives through all that can be said to it, one that
 * continues as new often.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { defineConfig, defineTracker, resolveConfig } from '../../exports';
import { poolWorkflowId } from '../../workflows/tracker/contract';
import { eventually, type Stack } from '../support/stack';
import type { Part } from './record';

const operations = { look: { every: '100ms', run: () => ({ value: 1 }) } } as const;
const config = defineConfig({
  trackers: [
    defineTracker({ name: 'life', poolSize: 5, heartbeatTimeout: '2s', operations }),
    defineTracker({ name: 'renewing', poolSize: 5, historyEvents: 30, shift: '1s', operations }),
    defineTracker({ name: 'placed', heartbeatTimeout: '1s', shift: '1s', placement: { on: 'gpu' }, operations }),
  ],
});

export const trackers: Part = {
  config,
  owns: /^(tracker|pool)\b/,
  async live(stack, temporal) {
    for (const { name, options } of resolveConfig(config).trackers) {
      await (name === 'placed' ? place(stack, temporal, name, options) : live(stack, temporal, name, options));
    }
  },
};

type Options = ReturnType<typeof resolveConfig>['trackers'][number]['options'];

/** A pool that no node begins for a minute, that stays on a node, and that is moved by hand, once to nobody. */
async function place(stack: Stack, temporal: Client, name: string, options: Options): Promise<void> {
  const longwatch = await stack.connect();
  const tracker = longwatch.tracker(name);
  await tracker.start(options);
  await tracker.add(['one'], { wait: true });
  const row = async () =>
    (await stack.sql<{ node: string; shift: number; unbegun: boolean }>(
      `select node, shift, unbegun_since is not null as unbegun from longwatch.pool where tracker = $1`,
      [name],
    ))[0]; // prettier-ignore
  await eventually('nobody begins its shift', async () => (await row())?.unbegun, 90_000);
  await stack.worker(config, { nodeName: 'other', labels: ['gpu'] });
  const keptBy = (node: string) =>
    eventually(`it stays with ${node}`, async () => {
      const first = await row();
      const stays = async () => (await row())!.node === node && (await row())!.shift > first!.shift + 1;
      return first?.node === node && eventually('its shifts go on there', stays);
    }); // prettier-ignore
  await keptBy('other');
  const pool = temporal.workflow.getHandle(poolWorkflowId(name, 0));
  await pool.signal('move', { to: 'node' });
  await keptBy('node');
  await pool.signal('move', { to: 'nobody' });
  await keptBy('other');
  await tracker.stop();
  await hasEnded(temporal, name);
}

/** All that can be said to a tracker and its pools, once. */
async function live(stack: Stack, temporal: Client, name: string, options: Options): Promise<void> {
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
  await delay(3_000);
  await tracker.stop();
  await hasEnded(temporal, name);
}

async function hasEnded(temporal: Client, name: string): Promise<void> {
  await eventually('all have ended', async () => {
    const query = `LongwatchTracker = '${name}' and ExecutionStatus = 'Running'`;
    return (await temporal.workflow.count(query)).count === 0;
  });
}
