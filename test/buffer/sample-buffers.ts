/**
 * A buffer for each thing that `buffers.test.ts` shows, and a worker that runs them. All of it starts where this is
 * imported.
 */
import { defineBuffer, ok, retry, type AnyBuffer } from '../../config/define/buffer';
import { TooLargeError } from '../../config/define/errors';
import { defineTracker } from '../../config/define/tracker';
import { resolveDefinition } from '../../config/resolve/buffer';
import type { BufferHandle } from '../../client/buffer/handle';
import type { BufferSummary } from '../../client/buffer/status';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';

export let stack: Stack;
export let longwatch: Longwatch;
export const seen: Record<string, unknown[]> = {};
const note = (name: string, entries: unknown[]) => (seen[name] ??= []).push(...entries);
const quick = { retry: { base: '10ms', cap: '50ms' }, flushInterval: '20ms' };

/** The source's number processor: some numbers at the start, more by hand, with a state. */
export const numbers = defineBuffer({
  name: 'numbers',
  ...quick,
  poll: false,
  flushInterval: '5s',
  maxBatchSize: 10,
  // Batches that run at once start from the same state.
  maxConcurrency: 1,
  shards: 1,
  state: { handled: 0 },
  init: ({ cursor }) => {
    const from = Number(cursor ?? 0);
    return { entries: [from, from + 1, from + 2, from + 3, from + 4], cursor: from + 5 < 50 ? from + 5 : undefined };
  },
  run: (entries: number[], { state }) => {
    note('numbers', entries);
    return ok({ handled: state.handled + entries.length });
  },
});

/** The source's task scheduler: what is not due yet is handed back, what fails comes again up to three times. */
interface Task {
  at: number;
  name: string;
  fails: number;
  tries?: number;
}
export const scheduler = defineBuffer({
  name: 'scheduler',
  ...quick,
  shards: 1,
  key: 'name',
  run: (tasks: Task[]) => {
    const now = Date.now();
    const later = tasks.filter((task) => task.at > now);
    const again = tasks
      .filter((task) => task.at <= now)
      .map((task) => ({ ...task, tries: (task.tries ?? 0) + 1 }))
      .filter((task) => {
        note('scheduler', [{ name: task.name, try: task.tries, early: now < task.at }]);
        return task.tries <= task.fails && task.tries <= 3;
      });
    return [retry(later, { at: (task) => task.at }), retry(again)];
  },
});

const poisoned = defineBuffer({
  name: 'poisoned',
  ...quick,
  maxBatchSize: 1_000,
  run: (entries: number[]) => {
    if (entries.includes(6_666)) throw new Error('poison');
    note('poisoned', entries);
  },
});

const picky = defineBuffer({
  name: 'picky',
  ...quick,
  shards: 1,
  run: (entries: number[]) => {
    if (entries.length > 30) throw new TooLargeError('at most 30');
    note('picky', entries);
  },
});

export const keyed = defineBuffer({
  name: 'keyed',
  ...quick,
  key: (entry: { id: number; v: number }) => entry.id,
  flushInterval: '300ms',
  run: (entries: { id: number; v: number }[]) => {
    note('keyed', entries);
  },
});

export const large = defineBuffer({
  name: 'large',
  ...quick,
  run: (entries: { text: string }[]) => {
    note('large', entries.map((entry) => entry.text.length)); // prettier-ignore
  },
});

const renewing = defineBuffer({
  name: 'renewing',
  ...quick,
  historyEvents: 60,
  bound: { entries: 200, bytes: 20_000 },
  maxBatchSize: 100,
  run: (entries: number[]) => {
    note('renewing', entries);
  },
});

const paused = defineBuffer({
  name: 'paused',
  ...quick,
  capacity: 10,
  shards: 1,
  run: (entries: number[]) => {
    note('paused', entries);
  },
});

export const changes = defineBuffer({
  name: 'changes',
  ...quick,
  key: 'id',
  run: (entries: { id: string; value: number; operation: string }[]) => {
    note('changes', entries);
  },
});
/** Five pages, one of which cannot be read at first; then passes that find one more each, then nothing. */
export const passes: { pass: number; cursor: unknown }[] = [];
const polled = defineBuffer({
  name: 'polled',
  ...quick,
  poll: '200ms',
  init: ({ cursor, pass }) => {
    passes.push({ pass, cursor });
    if (passes.length === 3) throw new Error('not now');
    const from = Number(cursor ?? 0);
    if (pass > 2) return { entries: [] };
    if (pass > 0) return { entries: [1_000 + pass] };
    return { entries: range(10).map((i) => from + i), cursor: from < 40 ? from + 10 : undefined };
  },
  run: (entries: number[]) => {
    note('polled', entries);
  },
});

/** A page that is too large to travel by itself, then a small one. */
export const pages = defineBuffer({
  name: 'pages',
  ...quick,
  shards: 2,
  key: ({ id }: { id: number; text: string }) => `number ${id}`,
  flushInterval: 'never',
  poll: false,
  init: ({ cursor }) =>
    cursor === undefined
      ? { entries: range(2_000).map((id) => ({ id, text: 'x'.repeat(400) })), cursor: 'small' }
      : { entries: [2_000, 2_001].map((id) => ({ id, text: 'y' })) },
  run: (entries: { id: number; text: string }[]) => {
    note('pages', entries);
  },
});

/** Its value changes twice and then stays. */
export let reads = 0;
export const watched = defineTracker({
  name: 'watched',
  flush: '50ms',
  operations: { look: { every: '100ms', buffer: 'changes', run: () => ({ value: Math.min(++reads, 3) }) } },
});

const all: AnyBuffer[] = [numbers, scheduler, poisoned, picky, keyed, large, renewing, paused, changes, polled, pages];

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker({ buffers: all, trackers: [watched] });
  longwatch = await stack.connect();
  await Promise.all(
    all.map((definition) => longwatch.buffer(definition.name).start(resolveDefinition(definition, []).options)),
  );
});
afterAll(() => stack.close());

export const drained = (buffer: BufferHandle<never> | BufferHandle): Promise<BufferSummary> =>
  eventually('drained', async () => {
    const status = await buffer.status();
    expect(status.balanced).toBe(true);
    return status.pending + status.running === 0 && status.accepted > 0 && status;
  });

export const asc = (list: unknown[]): number[] => (list as number[]).slice().sort((a, b) => a - b);
export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
