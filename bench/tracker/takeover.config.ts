/**
 * The config of the worker of `takeover`: a tracker that it keeps all along, whose runs note how late they are, and a
 * large one whose pools come over at once. Asked by the scenario over the process's channel.
 */
import { performance } from 'node:perf_hooks';
import { defineConfig, defineTracker } from '../../exports';

const EVERY_MS = 1_000;

const last = new Map<string, number>();
let late: number[] = [];
let made = 0;

process.on('message', (message) => {
  if (message !== 'late') return;
  process.send?.({ late });
  late = [];
});

export const busy = defineTracker({
  name: 'busy',
  operations: {
    look: {
      every: `${EVERY_MS}ms`,
      run: ({ id }) => {
        const now = performance.now();
        const before = last.get(id);
        if (before !== undefined) late.push(Math.max(0, now - before - EVERY_MS));
        last.set(id, now);
        return { value: ++made };
      },
    },
  },
});

export const large = defineTracker({
  name: 'large',
  poolSize: 5_000,
  operations: { look: { every: '1d', run: ({ id }) => ({ value: id }) } },
});

export default defineConfig({ trackers: [busy, large] });
