/**
 * A buffer that is stopped, set and started again, and shards that are terminated by hand: what was accepted is there
 * afterwards.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { patrol } from '../../activities/patrol';
import { lastPage, notePage } from '../../activities/buffer/store/buffers';
import { Database } from '../../activities/lib/database';
import { TemporalLink } from '../../activities/lib/temporal';
import { defineBuffer, defineConfig, resolveConfig } from '../../exports';
import type { BufferHandle } from '../../client/buffer/handle';
import type { BufferSummary } from '../../client/buffer/status';
import type { Longwatch } from '../../client/longwatch';
import { bufferWorkflowId, pushSignal, shardWorkflowId, wakeBufferSignal } from '../../workflows/buffer/contract';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

const seen: Record<string, number[]> = {};
let release: (() => void) | undefined;
let openGate: (() => void) | undefined;
/** Batches of `halted` wait for it. */
let lift: (() => void) | undefined;
const gate = new Promise<void>((resolve) => (lift = resolve));
let began = 0;
const quick = { retry: { base: '10ms', cap: '50ms' }, flushInterval: '20ms' } as const;
const noting = (name: string) => (entries: number[]) => void (seen[name] ??= []).push(...entries);

const config = defineConfig({
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
        await new Promise<void>((resolve) => (release = resolve));
        noting('slow')(entries);
      },
    }),
    defineBuffer({
      name: 'halted',
      ...quick,
      shards: 1,
      maxConcurrency: 1,
      run: async (entries: number[]) => {
        began++;
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
        await new Promise<void>((resolve) => (openGate = resolve));
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

let stack: Stack;
let longwatch: Longwatch;
let connection: Connection;
let temporal: Client;
let database: Database;
const optionsOf = (name: string) => resolveConfig(config).buffers.find((one) => one.name === name)!.options;

beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
  temporal = new Client({ connection });
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
}, 90_000);
afterAll(async () => {
  await database?.close();
  await connection?.close();
  await stack?.close();
});

function range(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
const asc = (list: number[] | undefined): number[] => [...(list ?? [])].sort((a, b) => a - b);

const drained = (buffer: BufferHandle): Promise<BufferSummary> =>
  eventually('drained', async () => {
    const status = await buffer.status();
    expect(status.balanced).toBe(true);
    return status.ageMs === 0 && status.pending + status.running === 0 && status;
  });

/** Its shards themselves have answered: until one has read its history it is shown as it last reported. */
const asked = (buffer: BufferHandle): Promise<BufferSummary> =>
  eventually('it is asked itself', async () => {
    const status = await buffer.status();
    return status.ageMs === 0 && status;
  });

const running = async (buffer: string): Promise<number> => {
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

test('stopped it takes nothing and keeps everything in PostgreSQL; started it goes on, also where it was paused before', async () => {
  const buffer = longwatch.buffer('kept');
  await buffer.start(optionsOf('kept'));
  await buffer.pause();
  await buffer.push(range(2_000), { wait: true });
  await buffer.push(range(50, 2_000), { at: Date.now() + 60_000 });
  await buffer.push(range(10, 3_000), { front: true });
  expect(await buffer.stop()).toEqual({ state: 'stopped', changed: true });
  // What is kept is kept by then; the parent completes a moment later.
  await eventually('its workflows have ended', async () => (await running('kept')) === 0);
  expect(await buffer.stop()).toEqual({ state: 'stopped', changed: false });

  const status = await buffer.status();
  expect(status).toMatchObject({ state: 'stopped', accepted: 2_060, pending: 2_060, running: 0, balanced: true });
  expect(status).toMatchObject({ ageMs: 0, stored: 2_060, inMemory: 0, putOff: 50 });
  await expect(buffer.push([1])).rejects.toThrow(/'kept' is stopped, so nothing was accepted; start it first/);
  await expect(buffer.push([1], { wait: true, front: true })).rejects.toMatchObject({ name: 'BufferStoppedError' });
  for (const act of [() => buffer.pause(), () => buffer.flush(), () => buffer.set({ maxConcurrency: 3 })]) {
    await expect(act()).rejects.toMatchObject({ name: 'BufferStoppedError' });
  }
  await expect(buffer.dead.retry({}, { apply: true })).rejects.toMatchObject({ name: 'BufferStoppedError' });
  expect(seen.kept).toBeUndefined();

  expect(await buffer.start()).toEqual({ alreadyRunning: false, state: 'running', differs: false });
  await eventually('what is due is handled', async () => (await buffer.status()).done === 2_010);
  expect(asc(seen.kept)).toEqual([...range(2_000), ...range(10, 3_000)]);
  expect(await buffer.status()).toMatchObject({ accepted: 2_060, pending: 50, putOff: 50, balanced: true });
});

test('a batch that runs ends before its buffer does; one that is started meanwhile goes on', async () => {
  const buffer = longwatch.buffer('slow');
  await buffer.start(optionsOf('slow'));
  await buffer.push([1]);
  await eventually('it runs', () => release);
  await buffer.push([2]);
  const stopped = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  // An update that comes before the shard has ended.
  await expect(longwatch.buffer('slow').push([3], { wait: true })).rejects.toMatchObject({
    name: 'BufferStoppedError',
  });
  release!();
  expect(await stopped).toEqual({ state: 'stopped', changed: true });
  expect(seen.slow).toEqual([1]);
  expect(await buffer.status()).toMatchObject({ accepted: 2, done: 1, pending: 1 });

  release = undefined;
  await buffer.start();
  await eventually('the next one runs', () => release);
  const again = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  const start = buffer.start();
  await eventually('it is wanted again', async () => (await buffer.status()).state === 'running');
  release!();
  await start;
  expect(await again).toMatchObject({ state: 'running' });
  expect(await drained(buffer)).toMatchObject({ accepted: 2, done: 2 });
  release = undefined;
  await buffer.push([4]);
  await eventually('it is taken', () => release).then((end) => end());
  // A push by signal may be accepted a moment after it was sent.
  await eventually('all three are done', async () => (await buffer.status()).done === 3);
  expect(await drained(buffer)).toMatchObject({ accepted: 3, done: 3 });
});

test('a shard that is ended by force while its buffer stops goes on, and ends: so does the stop', async () => {
  const buffer = longwatch.buffer('halted');
  await buffer.start(optionsOf('halted'));
  await buffer.push([1]);
  await eventually('it runs', () => began > 0);
  await buffer.push([2, 3], { wait: true });
  const stopped = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  await temporal.workflow.getHandle(shardWorkflowId('halted', 0)).terminate('by hand');
  await eventually('its parent has ended', async () => (await running('halted')) === 0);
  // Its batch runs again.
  lift!();
  await patrol(database, new TemporalLink(temporal), pino({ level: 'silent' }));
  expect(await stopped).toEqual({ state: 'stopped', changed: true });
  const [kept] = await stack.sql<{ saved: object | null }>(
    `select saved from longwatch.buffer_shard where buffer = 'halted'`,
  );
  expect(kept!.saved).not.toBeNull();
  expect(await buffer.status()).toMatchObject({ state: 'stopped', accepted: 3, balanced: true, ageMs: 0 });
  await buffer.start();
  expect(await drained(buffer)).toMatchObject({ accepted: 3, done: 3 });
  expect(asc([...new Set(seen.halted)])).toEqual([1, 2, 3]);
}, 120_000);

test('init goes on from its cursor, and no page is lost or read twice', async () => {
  const buffer = longwatch.buffer('paged');
  await buffer.start(optionsOf('paged'));
  await eventually('some pages', () => (seen.paged?.length ?? 0) >= 100);
  await buffer.stop();
  const { accepted } = await buffer.status();
  expect(accepted).toBeLessThan(500);
  await buffer.start();
  await eventually('all of it', async () => (await buffer.status()).done === 500);
  expect(asc(seen.paged)).toEqual(range(500));
});

test('a page whose shard is gone comes to it when it is there again, and once', async () => {
  const buffer = longwatch.buffer('gated');
  await buffer.start(optionsOf('gated'));
  await eventually('the page is asked for', () => openGate);
  await temporal.workflow.getHandle(shardWorkflowId('gated', 0)).terminate('by hand');
  openGate!();
  await eventually('the other shard has its part', () => seen.gated?.length === 50);
  const parent = temporal.workflow.getHandle(bufferWorkflowId('gated'));
  await eventually('it is sent again', async () => {
    const { raw } = await parent.describe();
    return (raw.pendingActivities ?? []).some(({ attempt }) => Number(attempt) > 1);
  });
  await patrol(database, new TemporalLink(temporal), pino({ level: 'silent' }));
  await eventually('all of it', () => seen.gated!.length === 100);
  expect(asc(seen.gated)).toEqual(range(100));
  expect(await drained(buffer)).toMatchObject({ accepted: 100, done: 100 });
});

test('a page that comes after later ones, from a worker that was frozen, is not noted, and so not sent', async () => {
  const page = (number: number) => ({
    pass: 7,
    page: number,
    chunks: [],
    entries: 0,
    cursor: number,
    last: false,
    seqs: [],
  });
  const note = (number: number) => database.transaction((db) => notePage(db, 'gated', page(number)));
  for (const number of [0, 1, 2]) await note(number);
  await expect(note(0)).rejects.toMatchObject({ type: 'Fenced' });
  // As it was noted before: its reader finds that one when it is tried again.
  await expect(note(2)).rejects.toMatchObject({ code: '23505' });
  expect(await database.transaction((db) => lastPage(db, 'gated'))).toEqual({ pass: 7, page: 2 });
});

test('options are shown with where they come from, and changed while it runs', async () => {
  const buffer = longwatch.buffer('set');
  await buffer.start(optionsOf('set'));
  const setting = async (path: string) => (await buffer.config()).find((one) => one.path === path);
  expect(await setting('maxBatchSize')).toMatchObject({ value: '50', source: 'defaults' });
  expect(await setting('maxConcurrency')).toMatchObject({ value: '1', source: 'definition' });
  expect(await setting('capacity')).toMatchObject({ value: '100000000', source: 'default' });

  expect(await buffer.set({ maxConcurrency: 8, flushInterval: 'never', 'retry.base': '2s' })).toMatchObject({
    changed: true,
  });
  expect(await setting('maxConcurrency')).toMatchObject({ value: '8', source: 'set', configured: '1' });
  expect(await setting('flushInterval')).toMatchObject({ value: 'never', compiled: null, source: 'set' });
  await buffer.push([1]);
  await eventually('it is taken in', async () => (await buffer.status()).accepted === 1);
  expect(seen.set).toBeUndefined();
  expect(await buffer.set({ flushInterval: null })).toMatchObject({ changed: true });
  await eventually('it waits no longer', () => seen.set?.length === 1);
  expect(await buffer.set({ flushInterval: null })).toMatchObject({ changed: false });

  // They outlive a new version of the definition, and a stop.
  await buffer.declare({ ...optionsOf('set'), maxBatchSize: 7 });
  await buffer.set({ shards: 3 });
  await eventually('a shard more', async () => (await buffer.status()).shards.length === 3);
  await buffer.stop();
  await buffer.start();
  expect(await setting('maxConcurrency')).toMatchObject({ value: '8', source: 'set' });
  expect(await setting('maxBatchSize')).toMatchObject({ value: '7' });
  expect((await buffer.status()).shards.length).toBe(3);
  await expect(buffer.set({ maxConcurency: 1 })).rejects.toThrow(
    /no option maxConcurency .*did you mean.*maxConcurrency/,
  );
  await expect(buffer.set({ maxConcurrency: 0 })).rejects.toThrow('maxConcurrency must be at least 1');
});

test('a shard that is terminated by hand goes on with all that it held, and so does one started anew', async () => {
  const buffer = longwatch.buffer<{ id: number }, null>(config.buffers!.find(({ name }) => name === 'cut') as never);
  const plain = longwatch.buffer('cut');
  await plain.start(optionsOf('cut'));
  await plain.pause();
  await buffer.push(
    range(500).map((id) => ({ id })),
    { wait: true },
  );
  await buffer.push(range(500, 500).map((id) => ({ id })));
  const link = new TemporalLink(temporal);
  const terminate = (shard: number) => temporal.workflow.getHandle(shardWorkflowId('cut', shard)).terminate('by hand');
  await terminate(0);
  await eventually('the patrol has it', async () => {
    await patrol(database, link, pino({ level: 'silent' }));
    return (await running('cut')) === 3;
  });
  expect(await asked(plain)).toMatchObject({ state: 'paused', accepted: 1_000, pending: 1_000, balanced: true });

  // A parent that looks before the patrol does.
  await terminate(1);
  await temporal.workflow.getHandle(bufferWorkflowId('cut')).signal(wakeBufferSignal);
  await eventually('the parent has it', async () => (await running('cut')) === 3);
  expect(await asked(plain)).toMatchObject({ accepted: 1_000, pending: 1_000, balanced: true });

  // All of it, and a start that comes before the patrol.
  await buffer.push(range(100, 1_000).map((id) => ({ id })));
  await terminate(0);
  await terminate(1);
  await temporal.workflow.getHandle(bufferWorkflowId('cut')).terminate('by hand');
  await plain.start();
  // Until a shard has read its history it is shown as it last reported.
  const there = await eventually(
    'all of them are there',
    async () => {
      const status = await plain.status();
      return status.ageMs === 0 && status.accepted >= 1_100 && status;
    },
    60_000,
  );
  expect(there).toMatchObject({ state: 'paused', accepted: 1_100, pending: 1_100, balanced: true });
  await plain.resume();
  expect(await drained(plain)).toMatchObject({ accepted: 1_100, done: 1_100 });
  expect([...new Set(asc(seen.cut))]).toEqual(range(1_100));
}, 120_000);

test('what was accepted by updates and signals right before a shard is terminated is there once, time after time, and in its order', async () => {
  const buffer = longwatch.buffer('torn');
  await buffer.start(optionsOf('torn'));
  await buffer.pause();
  const ids = [shardWorkflowId('torn', 0), bufferWorkflowId('torn')];
  // Each round replays what the ones before it did.
  for (const round of range(6)) {
    const first = round * 30;
    await buffer.push(range(10, first), { wait: true });
    await buffer.push(range(10, first + 20), { wait: true, front: true });
    for (const id of ids) await temporal.workflow.getHandle(id).terminate('by hand');
    // Its shards are told its options, by a signal.
    await buffer.start();
    await buffer.push(range(10, first + 10));
    await eventually('it has them', async () => {
      const { ageMs, accepted } = await buffer.status();
      return ageMs === 0 && accepted === first + 30;
    });
  }
  await buffer.resume();
  expect(await drained(buffer)).toMatchObject({ accepted: 180, done: 180, balanced: true });
  expect(seen.torn!.slice(0, 60)).toEqual(range(6).flatMap((round) => range(10, round * 30 + 20)));
  expect(asc(seen.torn)).toEqual(range(180));
}, 120_000);

test('a parent that is terminated after its last page was handled asks for the next one when it is started anew', async () => {
  const buffer = longwatch.buffer('polling');
  const passes = (): number => seen.polling?.length ?? 0;
  for (const round of [1, 2]) {
    await buffer.start(optionsOf('polling'));
    const before = passes();
    await eventually(`passes of round ${round}`, () => passes() >= before + 2);
    await temporal.workflow.getHandle(bufferWorkflowId('polling')).terminate('by hand');
    // What it had sent is handled: no page is on its way.
    await drained(buffer);
  }
  await buffer.start(optionsOf('polling'));
  await buffer.stop();
  expect(asc(seen.polling)).toEqual(range(passes()));
});

test('of entries with keys, some of them in PostgreSQL, the newest is handled after its shards were terminated too', async () => {
  const ids = 600;
  const buffer = longwatch.buffer('newest');
  await buffer.start(optionsOf('newest'));
  await buffer.pause();
  const push = (v: number) =>
    buffer.push(
      range(ids).map((id) => ({ id, v })),
      { wait: true },
    );
  await push(0);
  await eventually('some are in PostgreSQL', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.buffer_chunk where buffer = 'newest'`,
    );
    return row!.n > 0;
  });
  await push(1);
  await buffer.resume();
  await eventually('some are handled', () => (seen.newest?.length ?? 0) > 0);
  await buffer.pause();
  await push(2);
  await Promise.all(
    [0, 1].map((shard) => temporal.workflow.getHandle(shardWorkflowId('newest', shard)).terminate('by hand')),
  );
  await temporal.workflow.getHandle(bufferWorkflowId('newest')).signal(wakeBufferSignal);
  await eventually('the parent has them', async () => (await running('newest')) === 3);
  expect(await asked(buffer)).toMatchObject({ state: 'paused', accepted: 3 * ids, balanced: true });
  await buffer.resume();
  expect(await drained(buffer)).toMatchObject({ accepted: 3 * ids, dead: 0 });
  const last = new Map(seen.newest!.map((value) => [Math.floor(value / 10), value % 10]));
  expect(range(ids).map((id) => last.get(id))).toEqual(range(ids).map(() => 2));
}, 120_000);

test('a run that was ended before its first task, and ended again before the next, still has what was said to it', async () => {
  const link = new TemporalLink(temporal);
  const workflowId = shardWorkflowId('untouched', 0);
  // No worker reads from there.
  const started = await temporal.workflow.start('shard', { workflowId, taskQueue: 'nobody', args: [{}] });
  await started.signal(pushSignal, { entries: [1, 2] });
  const handle = temporal.workflow.getHandle(workflowId);
  for (let round = 1; round <= 3; round++) {
    await handle.terminate('by hand');
    const last = await link.lastRun(workflowId);
    expect(last).toMatchObject({ state: 'forced' });
    const end = await link.endOf(workflowId, (last as { runId: string }).runId);
    expect(end.updates).toEqual([]);
    expect(await link.reset(workflowId, end)).toBe(true);
    expect(await link.reset(workflowId, end)).toBe(false);
    expect(await link.lastRun(workflowId)).toMatchObject({ state: 'running' });
    const { events } = await handle.fetchHistory();
    expect(events!.filter((event) => event.workflowExecutionSignaledEventAttributes)).toHaveLength(1);
  }
  await handle.terminate('over');
});

test('stopped by several at once, while it is woken, one has stopped it and the others are told that it is; its parent ends', async () => {
  const handle = longwatch.buffer('set');
  const parent = temporal.workflow.getHandle(bufferWorkflowId('set'));
  let stopping = true;
  // As a patrol does that saw its shards run; a parent that was woken between two commands never ended once.
  const woken = (async () => {
    while (stopping) await parent.signal(wakeBufferSignal).catch(() => undefined);
  })();
  const answers = await Promise.all(range(5).map(() => handle.stop()));
  stopping = false;
  await woken;
  expect(answers.filter(({ changed }) => changed)).toHaveLength(1);
  for (const { state } of answers) expect(state).toBe('stopped');
  // It can be started again only when its parent has ended.
  expect(await handle.start()).toEqual({ alreadyRunning: false, state: 'running', differs: false });
});

const cli = (...args: string[]) => runCli(stack, ...args);

test('on the command line: config, config --set, stop', async () => {
  const shown = await cli('config', 'set');
  expect(shown.out).toMatch(/maxConcurrency.*8.*set \(configured: 1\)/);
  expect((await cli('config', 'set', '--set', 'poll=false', 'maxConcurrency=')).out).toMatch(/poll.*false.*set/);
  expect(await cli('config', 'set', '--set', 'bound.entries=none')).toMatchObject({ status: 2 });
  expect((await cli('stop', 'set')).out).toBe("'set' is stopped\n");
  expect((await cli('stop', 'set')).out).toBe("'set' is already stopped\n");
  expect((await cli('status', 'set')).out).toMatch(/set: stopped, 3 shards/);
  const refused = await cli('push', 'set', '1');
  expect(refused).toMatchObject({ status: 1 });
  expect(refused.err).toContain('start it first: npx longwatch start set');
});
