/**
 * A node with its tick and flush on the real PostgreSQL, without Temporal: checkups, warnings, metrics, the hooks' own
 * failures.
 */
import { pino } from 'pino';
import { takeFence } from '../../activities/tracker/store/fence';
import { Isolation } from '../../activities/tracker/shift/isolate';
import { Node } from '../../activities/tracker/shift/node';
import { PoolShift } from '../../activities/tracker/shift/pool-shift';
import { Database } from '../../activities/lib/database';
import { readTracker } from '../../activities/tracker/store/trackers';
import { NodeMetrics } from '../../activities/tracker/telemetry';
import { defineTracker, type ErrorContext, type TrackerDefinition } from '../../exports';
import { type ChangeNotice } from '../../workflows/tracker/contract';
import { eventually, Stack } from '../support/stack';
import { member, rowOf } from './shift-kit';
import { NOTIFY_CHANNEL } from '../../workflows/lib/contract';

interface Line {
  level: number;
  msg: string;
  [key: string]: unknown;
}

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack?.close());

interface Running {
  node: Node;
  shift: PoolShift;
  lines: Line[];
  page: () => Promise<string>;
}

/** Runs one pool of a tracker on a node of its own until `test` is done. */
async function onNode(definition: TrackerDefinition, members: number, test: (running: Running) => Promise<void>) {
  const lines: Line[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line) as Line) });
  const database = new Database({ url: stack.servers.databaseUrl, log });
  await stack.sql(`insert into longwatch.tracker (name, options) values ($1, $2)`, [
    definition.name,
    JSON.stringify(rowOf(definition).options),
  ]);
  const rows = await stack.sql<{ key: number; id: string }>(
    `insert into longwatch.member (tracker, id, hash, stamp, roster_version)
     select $1, 'm' || i, 0, 1, 0 from generate_series(1, $2) i returning key::int, id`,
    [definition.name, members],
  );
  const metrics = new NodeMetrics();
  const node = new Node({
    row: { name: `node-of-${definition.name}`, host: 'h', pid: 1, metricsUrl: null },
    database,
    trackers: [definition],
    log,
    metrics,
    isolation: new Isolation({ filename: '', workerData: {}, threads: 1 }),
    watchdog: undefined,
    nodeConcurrency: 100,
  });
  const claim = { tracker: definition.name, pool: 0, runId: 'r', shift: 1, attempt: 1, node: node.row.name };
  const fence = await takeFence(database, claim, () => Promise.resolve(true));
  const tracker = (await database.transaction((db) => readTracker(db, definition.name)))!;
  const shift = new PoolShift(
    { claim, fence, definition, host: node, log, latenessOf: (t, o) => node.latenessOf(t, o) },
    tracker,
  );
  shift.loadAll(
    rows.map(({ key, id }) => member(id, { key, addedAt: node.clock.now() })),
    [],
  );
  node.join(shift, definition);
  await node.start();
  try {
    await test({ node, shift, lines, page: () => metrics.registry.metrics() });
  } finally {
    shift.close();
    shift.abandon('the test is over');
    node.leave(shift);
    await node.stop();
    await database.close();
  }
}

/** As if half a minute had passed. */
const halfAMinuteLater = ({ node }: Running) => {
  const { clock } = node;
  const now = clock.now.bind(clock);
  clock.now = () => now() + 31_000;
};

const hanging = (name: string, over: object = {}) =>
  defineTracker({
    name,
    operations: {
      look: {
        every: '1s',
        concurrency: 1,
        timeout: '1h',
        stagger: { window: 0 },
        run: () => new Promise(() => undefined),
        ...over,
      },
    },
  });

test('TR-M16: what is announced of another tracker, or of another pool, makes a node flush nothing', async () => {
  await onNode(hanging('quiet'), 1, async ({ node }) => {
    const hinted = jest.spyOn(node.writer, 'hint');
    const announce = (notice: ChangeNotice) =>
      stack.sql('select pg_notify($1, $2)', [NOTIFY_CHANNEL, JSON.stringify(notice)]);
    await announce({ tracker: 'other' });
    await announce({ tracker: 'quiet', pools: [1, 2] });
    // They come in their order: whoever has heard this one has heard those.
    await announce({ tracker: 'quiet', pools: [0, 1] });
    await eventually('it is heard', () => hinted.mock.calls.length > 0);
    expect(hinted).toHaveBeenCalledTimes(1);
  });
});

test('OP-B2: how long the longest hold still lasts is on the page', async () => {
  await onNode(hanging('held'), 1, async ({ node, page }) => {
    const longest = async () => Number(/^longwatch_longest_hold_seconds\S* (\S+)$/m.exec(await page())![1]);
    expect(await longest()).toBe(0);
    node.holds.hold('held', 'look', node.clock.now() + 60_000);
    node.holds.hold('held', undefined, node.clock.now() + 600_000);
    expect(await longest()).toBeGreaterThan(500);
    expect(await longest()).toBeLessThanOrEqual(600);
  });
});

test('each half minute a backlog above the limit is warned about and counted, with members and memory', async () => {
  await onNode(hanging('backlog'), 60, async (running) => {
    await eventually('all are due', () => running.shift.loops.get('look')!.agenda.backlog === 59);
    expect(await running.page()).toMatch(/longwatch_backlog_warnings_total\{tracker="backlog",operation="look"\} 0/);
    halfAMinuteLater(running);
    const warning = await eventually('a warning', () =>
      running.lines.find((line) => line.level === 40 && line.msg.includes('more members are due')),
    );
    expect(warning).toMatchObject({ backlog: 59, members: 60 });
    expect(warning.rssMb).toBeGreaterThan(10);
    const page = await running.page();
    expect(page).toMatch(/longwatch_backlog_warnings_total\{tracker="backlog",operation="look"\} 1/);
    expect(page).toMatch(/longwatch_backlog\{tracker="backlog",pool="0",operation="look"\} 59/);
    expect(page).toMatch(/longwatch_pool_members\{tracker="backlog",pool="0"\} 60/);
    expect(page).toMatch(/process_resident_memory_bytes \d/);
  });
});

test('a backlog within the limit is noted and not warned about', async () => {
  await onNode(hanging('small', { warnBacklog: 60 }), 60, async (running) => {
    await eventually('all are due', () => running.shift.loops.get('look')!.agenda.backlog === 59);
    halfAMinuteLater(running);
    await eventually('a checkup', () => running.lines.find((line) => line.msg === 'checkup' && line.backlog === 59));
    expect(running.lines.some((line) => line.msg.includes('more members are due'))).toBe(false);
  });
});

test('rounds are counted with their duration by operation; one that lags more than warnLag is warned about', async () => {
  const definition = defineTracker({
    name: 'rounds',
    operations: {
      slow: {
        every: '100ms',
        warnLag: '50ms',
        run: () => new Promise((resolve) => setTimeout(() => resolve({ value: 1 }), 80)),
      },
      quick: { every: '100ms', warnLag: '1m', run: () => ({ value: 1 }) },
    },
  });
  await onNode(definition, 5, async ({ lines, page }) => {
    const text = await eventually('rounds of both', async () => {
      const now = await page();
      return /rounds_total\{tracker="rounds",operation="slow"\} [3-9]/.test(now) && now;
    });
    expect(text).toMatch(/longwatch_round_duration_seconds_count\{tracker="rounds",operation="slow"\} [1-9]/);
    expect(text).toMatch(/longwatch_rounds_total\{tracker="rounds",operation="quick"\} [1-9]/);
    expect(text).toMatch(/longwatch_lag_warnings_total\{tracker="rounds",operation="slow"\} [1-9]/);
    expect(text).toMatch(/longwatch_lag_warnings_total\{tracker="rounds",operation="quick"\} 0/);
    const warning = lines.find((line) => line.msg === 'a round lags behind')!;
    expect(warning).toMatchObject({ level: 40, members: 5, operation: 'slow' });
    expect(warning.lagMs).toBeGreaterThanOrEqual(50);
  });
});

test.each(['throws', 'rejects'])('an onError hook that %s is only logged, and hears of the next error', async (how) => {
  const heard: ErrorContext[] = [];
  const definition = defineTracker({
    name: `hook-${how}`,
    operations: {
      look: {
        every: '50ms',
        run: () => {
          throw new Error('of the run');
        },
      },
    },
    onError: (_error, context) => {
      heard.push(context);
      if (how === 'throws') throw new Error('of the hook');
      return Promise.reject(new Error('of the hook'));
    },
  });
  await onNode(definition, 1, async ({ lines, shift }) => {
    await eventually('three errors', () => heard.length >= 3);
    expect(heard[0]).toEqual({
      tracker: `hook-${how}`,
      pool: 0,
      operation: 'look',
      id: 'm1',
      node: `node-of-hook-${how}`,
    });
    await eventually('it is logged', () => lines.some((line) => line.msg === 'the onError hook failed'));
    expect(shift.isOver).toBe(false);
  });
});

test('TR-M15: a scrape goes through the loops once, not once for each metric', async () => {
  await onNode(hanging('scraped'), 5, async ({ shift, page }) => {
    let looks = 0;
    const loops = shift.loops.values.bind(shift.loops);
    await page();
    shift.loops.values = () => (looks++, loops());
    await page();
    // The counters together, the backlog, the stale ones; the node's own flush may look meanwhile.
    expect(looks).toBeLessThanOrEqual(6);
  });
});
