/** The tracker's rows T1-T8 on real servers: one stack, several trackers, short intervals. */
import { setTimeout as delay } from 'node:timers/promises';
import { defineConfig, defineTracker, HoldError, resolveConfig } from '../../exports';
import type { TrackerHandle } from '../../client/tracker/handle';
import type { Longwatch } from '../../client/longwatch';
import type { ErrorContext } from '../../exports';
import { wrongCounts } from '../support/roster';
import { eventually, Stack } from '../support/stack';

const seen = { runs: new Map<string, number>(), errors: [] as string[], aborted: new Set<string>() };
const upstream = { open: undefined as boolean | undefined, asked: 0 };

const count = (name: string) => seen.runs.set(name, (seen.runs.get(name) ?? 0) + 1);
const runs = (name: string) => seen.runs.get(name) ?? 0;

const config = defineConfig({
  trackers: [
    defineTracker({
      name: 'basic',
      poolSize: 20,
      operations: {
        look: {
          every: '100ms',
          run: ({ id }) => {
            count(`basic/${id}`);
            return { value: { id } };
          },
        },
      },
    }),
    defineTracker({
      name: 'bad',
      operations: {
        look: {
          every: '100ms',
          timeout: '200ms',
          run: async ({ id, signal }) => {
            count(`bad/${id}`);
            if (id === 'throws') throw new Error('thrown');
            if (id === 'nothing') return undefined as never;
            if (id === 'held') throw new HoldError('leave me alone', { afterMs: 600_000, scope: 'member' });
            if (id === 'hangs') {
              signal.addEventListener('abort', () => seen.aborted.add(id));
              await new Promise(() => undefined);
            }
            return { value: id };
          },
        },
      },
      onError: (error: Error, context: ErrorContext) => {
        seen.errors.push(`${context.id ?? ''}: ${error.message}`);
        throw new Error('the hook fails too');
      },
    }),
    defineTracker({
      name: 'gated',
      poolSize: 5,
      gate: {
        every: '100ms',
        check: () => {
          upstream.asked++;
          if (upstream.open === undefined) throw new Error('no answer');
          return upstream.open;
        },
      },
      operations: {
        location: { every: '100ms', run: () => (count('gated/location'), { value: 1 }) },
        online: {
          every: '100ms',
          run: () => ({ value: { online: true } }),
          whenClosed: () => ({ value: { online: false } }),
        },
        offlineCheck: { every: '100ms', gated: false, run: () => (count('gated/offline'), { value: 1 }) },
      },
    }),
    defineTracker({
      name: 'slow',
      operations: {
        location: {
          every: '200ms',
          concurrency: 1,
          warnLag: '300ms',
          run: () => new Promise((resolve) => setTimeout(() => resolve({ value: 1 }), 400)),
        },
        ship: { every: '200ms', skipWhile: { operation: 'location', slowerThan: '300ms' }, run: () => ({ value: 1 }) },
      },
    }),
  ],
});

let stack: Stack;
let longwatch: Longwatch;
let metricsUrl: string;

async function started(name: string): Promise<TrackerHandle> {
  const tracker = longwatch.tracker(name);
  await tracker.start(resolveConfig(config).trackers.find((one) => one.name === name)!.options);
  return tracker;
}

const valueOf = async (tracker: TrackerHandle, id: string, operation: string) =>
  (await tracker.show(id)).values.find((value) => value.operation === operation);

beforeAll(async () => {
  stack = await Stack.start();
  ({ metricsUrl } = await stack.worker(config));
  longwatch = await stack.connect();
});
afterAll(() => stack.close());

test('ids come and go while it runs; a split leaves each in exactly one pool; a crash keeps all', async () => {
  const basic = await started('basic');
  const ids = Array.from({ length: 60 }, (_, i) => `id-${i}`);
  await basic.add(ids.slice(0, 15), { wait: true });
  await basic.add(ids, { wait: true });
  await basic.remove(['id-0', 'id-1'], { wait: true });
  await eventually('everybody is fetched', () => ids.slice(2).every((id) => runs(`basic/${id}`) > 1));
  await eventually('it has grown', async () => (await basic.pools()).length >= 3);
  const listed: string[] = [];
  for await (const member of basic.list()) listed.push(member.id);
  expect(listed.sort()).toEqual(ids.slice(2).sort());
  expect(await wrongCounts(stack)).toEqual([]);

  const before = await stack.sql<{ token: string }>(
    `select token from longwatch.pool where tracker = 'basic' and pool = 1`,
  );
  await basic.crash(1);
  await eventually('the crashed pool has a new holder', async () => {
    const [row] = await stack.sql<{ token: string }>(
      `select token from longwatch.pool where tracker = 'basic' and pool = 1`,
    );
    return Number(row!.token) > Number(before[0]!.token);
  });
  seen.runs.clear();
  await eventually('all members are fetched again', () => ids.slice(2).every((id) => runs(`basic/${id}`) > 0));
  expect(runs('basic/id-0')).toBe(0);
  const [left] = await stack.sql<{ n: number }>(
    `select count(*)::int as n from longwatch.value v join longwatch.member m on m.key = v.member
     where m.tracker = 'basic' and m.removed_at is not null`,
  );
  expect(left!.n).toBe(0);
});

test('the last stamp wins, from any sender, through any pool', async () => {
  const basic = longwatch.tracker('basic');
  const client = (await import('@temporalio/client')).Client;
  const { Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    const wrongPool = new client({ connection, namespace: stack.servers.namespace }).workflow.getHandle('pool/basic/0');
    const [{ stamp: older }] = (await stack.sql<{ stamp: number }>(
      `select nextval('longwatch.stamp')::int as stamp`,
    )) as [{ stamp: number }];
    await basic.add(['twice'], { wait: true });
    await basic.remove(['twice'], { wait: true });
    // An add that was sent before both, and arrives after them with an old layout.
    await wrongPool.signal('add', { ids: ['twice'], stamp: older });
    await wrongPool.signal('add', 'by-hand');
    await eventually('the id typed by hand is fetched', () => runs('basic/by-hand') > 0);
    const rows = await stack.sql<{ removed: boolean }>(
      `select removed_at is not null as removed from longwatch.member where tracker = 'basic' and id = 'twice'`,
    );
    expect(rows).toEqual([{ removed: true }]);
  } finally {
    await connection.close();
  }
});

test('what one id does harms no other, and each error reaches the hook', async () => {
  const bad = await started('bad');
  await bad.add(['good', 'throws', 'nothing', 'hangs', 'held'], { wait: true });
  await eventually('the hanging run is aborted', () => seen.aborted.has('hangs'));
  for (const text of ['throws: thrown', 'nothing: operation look returned', 'hangs: timed out']) {
    await eventually(`the hook hears of ${text}`, () => seen.errors.some((error) => error.includes(text)));
  }
  const before = runs('bad/good');
  await eventually('the good one goes on', () => runs('bad/good') > before + 3);
  expect(runs('bad/held')).toBe(1);
  const failed = await eventually('the error is stored', async () => {
    const value = await valueOf(bad, 'throws', 'look');
    return value?.error ? value : undefined;
  });
  expect(failed.error).toContain('thrown');
});

test('the gate is closed until known, closes and opens for every pool; ungated work goes on', async () => {
  const gated = await started('gated');
  await gated.add(
    Array.from({ length: 30 }, (_, i) => `g${i}`),
    { wait: true },
  );
  await eventually('the ungated operation runs', () => runs('gated/offline') > 30);
  await eventually('all are marked offline', async () => {
    const value = await valueOf(gated, 'g7', 'online');
    return value !== undefined && JSON.stringify(value.value) === '{"online":false}';
  });
  expect(runs('gated/location')).toBe(0);
  upstream.open = true;
  await eventually('the gate opens', () => runs('gated/location') > 60);
  upstream.open = false;
  await eventually('status says closed', async () => (await gated.status()).gate === 'closed');
  await eventually('nothing is fetched any more', async () => {
    const before = runs('gated/location');
    await delay(400);
    return runs('gated/location') === before;
  });
});

test('backpressure skips and counts; lag is warned about and on the metrics page', async () => {
  const slow = await started('slow');
  await slow.add(['a', 'b', 'c', 'd'], { wait: true });
  await eventually('ship is skipped', async () => {
    const { operations } = await slow.status();
    return operations.find((operation) => operation.name === 'ship')!.skipped > 0;
  });
  const page = await eventually('the lag is counted', async () => {
    const text = await (await fetch(metricsUrl)).text();
    return /longwatch_lag_warnings_total\{tracker="slow",operation="location"\} [1-9]/.test(text) ? text : undefined;
  });
  expect(page).toMatch(/longwatch_skipped_total\{tracker="slow",operation="ship",reason="lag"\} [1-9]/);
  expect(page).toMatch(/longwatch_pool_members\{tracker="slow",pool="0"\} 4/);
  expect(page).toMatch(/^temporal_/m);
});

test('pause, options and stop reach the running shift; a new start has the same members', async () => {
  const basic = longwatch.tracker('basic');
  await basic.pause();
  await eventually('nothing runs while paused', async () => {
    const before = runs('basic/id-5');
    await delay(500);
    return runs('basic/id-5') === before;
  });
  await basic.add(['while-paused'], { wait: true });
  expect(runs('basic/while-paused')).toBe(0);
  await basic.resume();
  await eventually('it goes on, with the new one', () => runs('basic/while-paused') > 0);

  await basic.set({ 'operations.look.every': '1h' });
  await eventually('the new interval holds', async () => {
    const before = runs('basic/id-5');
    await delay(500);
    return runs('basic/id-5') === before;
  });
  await basic.set({ 'operations.look.every': null });
  const { members } = await basic.status();
  await basic.stop();
  await expect(basic.add(['refused'])).rejects.toThrow(/stopped/);
  await eventually('all pools have ended', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.pool where tracker = 'basic' and released_at is null and node is not null`,
    );
    return row!.n === 0;
  });
  seen.runs.clear();
  await started('basic');
  await eventually('the same members are fetched', () => runs('basic/id-5') > 0 && runs('basic/while-paused') > 0);
  expect((await basic.status()).members).toBe(members);
});
