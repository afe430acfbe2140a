/**
 * The edges of what a buffer's code may do and its senders may meet: holds, time-outs, new states, order, capacity,
 * nobody at work.
 */
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { HoldError } from '../../exports';
import { defineBuffer, ok, retry, type AnyBuffer } from '../../config/define/buffer';
import { resolveDefinition } from '../../config/resolve/buffer';
import type { BufferHandle } from '../../client/buffer/handle';
import type { BufferSummary } from '../../client/buffer/status';
import type { Longwatch } from '../../client/longwatch';
import { shardWorkflowId } from '../../workflows/buffer/contract';
import { eventually, Stack } from '../support/stack';

const seen: Record<string, unknown[]> = {};
const note = (name: string, entry: unknown) => void (seen[name] ??= []).push(entry);
const quick = { retry: { base: '10ms', cap: '50ms' }, flushInterval: '20ms', shards: 1 } as const;

const held = defineBuffer({
  name: 'held',
  ...quick,
  retry: { attempts: 1 },
  run: (entries: number[]) => {
    note('held', Date.now());
    if (seen.held!.length < 4) throw new HoldError('the upstream asks for it', { afterMs: 200 });
    expect(entries).toEqual([1]);
  },
});

/** It is too slow for more than two entries, and heeds its signal. */
const slow = defineBuffer({
  name: 'slow',
  ...quick,
  timeout: '300ms',
  run: async (entries: number[], { signal }) => {
    if (entries.length > 2) await delay(60_000, undefined, { signal }).finally(() => note('aborted', signal.aborted));
    entries.forEach((entry) => note('slow', entry));
  },
});

const counting = defineBuffer({
  name: 'counting',
  ...quick,
  maxConcurrency: 1,
  state: { tries: 0 },
  run: (_entries: number[], { state }) => {
    note('counting', state.tries);
    return state.tries < 2 ? retry('all', { state: { tries: state.tries + 1 }, reason: 'not yet' }) : undefined;
  },
});

/** Each batch ends when the test says so. */
const ends: Record<string, () => void> = {};
const racing = defineBuffer({
  name: 'racing',
  ...quick,
  maxBatchSize: 1,
  maxConcurrency: 2,
  state: { by: 'nobody' },
  run: async ([entry]: string[], { state }) => {
    note('racing', `${entry} after ${state.by}`);
    await new Promise<void>((resolve) => (ends[entry!] = resolve));
    return ok({ by: entry! });
  },
});

/** The second entry ends when the test says so. */
const waiting = defineBuffer({
  name: 'waiting',
  ...quick,
  maxBatchSize: 1,
  maxConcurrency: 1,
  run: async ([entry]: number[]) => {
    if (entry === 1) await new Promise<void>((resolve) => (ends.waiting = resolve));
  },
});

const ordered = defineBuffer({
  name: 'ordered',
  retry: quick.retry,
  flushInterval: '20ms',
  ordered: true,
  maxBatchSize: 3,
  run: (entries: number[]) => {
    if (entries.includes(4) && seen.failed === undefined) {
      note('failed', 4);
      throw new Error('once');
    }
    entries.forEach((entry) => note('ordered', entry));
  },
});

const narrow = defineBuffer({
  name: 'narrow',
  ...quick,
  capacity: 20,
  run: (entries: number[]) => entries.forEach((entry) => note('narrow', entry)),
});

const told = defineBuffer({
  name: 'told',
  ...quick,
  retry: { attempts: 1, base: '10ms' },
  metadata: { team: 'blue' },
  run: (_entries: number[], { log }) => {
    log.info('in run');
    throw new Error('no');
  },
  onError: (error, { buffer, entries }) => note('told', `${buffer} ${entries} ${error.message}`),
});

const all: AnyBuffer[] = [held, slow, counting, racing, waiting, ordered, narrow, told];
const lines: Record<string, unknown>[] = [];
let stack: Stack;
let longwatch: Longwatch;
let metricsUrl: string;
let shutdown: () => Promise<void>;

beforeAll(async () => {
  stack = await Stack.start();
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  const worker = await stack.worker({ buffers: all }, { log: pino({ level: 'info' }, out) });
  ({ metricsUrl, shutdown } = worker);
  longwatch = await stack.connect();
  for (const one of all) await longwatch.buffer(one.name).start(resolveDefinition(one, []).options);
});
afterAll(() => stack.close());

const drained = (buffer: BufferHandle): Promise<BufferSummary> =>
  eventually('drained', async () => {
    const status = await buffer.status();
    expect(status.balanced).toBe(true);
    return status.accepted > 0 && status.pending + status.running === 0 && status;
  });

test('a HoldError holds the shard for as long as it says, and uses no attempt', async () => {
  await longwatch.buffer('held').push([1]);
  expect(await drained(longwatch.buffer('held'))).toMatchObject({ done: 1, dead: 0 });
  const times = seen.held as number[];
  expect(times.length).toBe(4);
  times.slice(1).forEach((at, i) => expect(at - times[i]!).toBeGreaterThanOrEqual(190));
});

test('a batch that is not done in time is aborted and halved, and no attempt is used', async () => {
  await longwatch.buffer('slow').push([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await drained(longwatch.buffer('slow'))).toMatchObject({ done: 8, dead: 0 });
  expect([...(seen.slow as number[])].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(seen.aborted!.every(Boolean)).toBe(true);
});

test('retry with a new state: it is the next batch’s', async () => {
  await longwatch.buffer('counting').push([1, 2]);
  const status = await drained(longwatch.buffer('counting'));
  expect(status).toMatchObject({ accepted: 2, done: 2, dead: 0 });
  expect(seen.counting).toEqual([0, 1, 2]);
  expect(status.shards[0]!.userState).toEqual({ tries: 2 });
});

test('batches at once start from the state last committed, and the last to finish wins', async () => {
  const buffer = longwatch.buffer('racing');
  const state = async () => (await buffer.status()).shards[0]!.userState;
  const runs = (batch: string) => eventually(`${batch} runs`, () => seen.racing?.includes(batch));
  await buffer.push(['a', 'b']);
  await Promise.all([runs('a after nobody'), runs('b after nobody')]);
  ends.b!();
  await eventually('b is done', async () => (await buffer.status()).done === 1);
  expect(await state()).toEqual({ by: 'b' });
  await buffer.push(['c']);
  await runs('c after b');
  ends.a!();
  await eventually('a is done', async () => (await buffer.status()).done === 2);
  expect(await state()).toEqual({ by: 'a' });
  ends.c!();
  await drained(buffer);
  expect(await state()).toEqual({ by: 'c' });
});

test('a timer that nothing waits for any more is taken back: it would be a task for nothing', async () => {
  const buffer = longwatch.buffer(waiting);
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  const shard = new Client({ connection, namespace: stack.servers.namespace }).workflow.getHandle(
    shardWorkflowId('waiting', 0),
  );
  await buffer.push([0]);
  // Now it rests, and waits for the time of its report.
  await eventually('one is done', async () => (await buffer.status()).done === 1);
  let pushed = 1;
  // One that has only just been set is left, so that there is more than one push.
  await eventually('it is taken back', async () => {
    await buffer.push([pushed++]);
    const { events } = await shard.fetchHistory();
    return events!.some(({ timerCanceledEventAttributes }) => timerCanceledEventAttributes);
  });
  ends.waiting!();
  expect(await drained(buffer)).toMatchObject({ accepted: pushed, done: pushed });
  await connection.close();
});

test('ordered: what fails holds the others, and all come in their order', async () => {
  await longwatch.buffer('ordered').push([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await drained(longwatch.buffer('ordered'));
  expect(seen.failed).toEqual([4]);
  expect(seen.ordered).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('past the capacity senders by signal wait too; the front is always admitted', async () => {
  const buffer = longwatch.buffer('narrow');
  await buffer.pause();
  await buffer.push(Array.from({ length: 20 }, (_, i) => i));
  await eventually(
    'it is reported',
    async () => (await longwatch.status()).buffers.find(({ name }) => name === 'narrow')!.pending === 20,
  );
  // The sender that filled it goes by what it saw up to a quarter of a second ago.
  const other = (await stack.connect()).buffer('narrow');
  await expect(other.push([99], { timeoutMs: 10_000 })).rejects.toMatchObject({
    name: 'BufferFullError',
    accepted: false,
  });
  await other.push([100], { front: true });
  const waiting = other.push([101], { timeoutMs: 60_000 });
  await buffer.resume();
  expect(await waiting).toMatchObject({ accepted: 1 });
  expect(await drained(buffer)).toMatchObject({ accepted: 22, done: 22 });
  expect((seen.narrow as number[])[0]).toBe(100);
  expect(seen.narrow).not.toContain(99);
});

test('callers at the same time share an update', async () => {
  const buffer = longwatch.buffer('narrow');
  const before = (await buffer.status()).accepted;
  await Promise.all(Array.from({ length: 15 }, (_, i) => buffer.push([200 + i], { wait: true })));
  expect((await drained(buffer)).accepted).toBe(before + 15);
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  const history = await new Client({ connection, namespace: stack.servers.namespace }).workflow
    .getHandle(shardWorkflowId('narrow', 0))
    .fetchHistory();
  await connection.close();
  const updates = history.events!.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length;
  expect(updates).toBeLessThan(8);
});

test('onError hears of a failure, log lines carry the metadata, the counts are a metric', async () => {
  await longwatch.buffer('told').push([1]);
  await eventually('it is dead', async () => (await longwatch.buffer('told').status()).dead === 1);
  expect(seen.told).toEqual(['told 1 no']);
  expect(lines.find(({ msg }) => msg === 'in run')).toMatchObject({ team: 'blue', buffer: 'told', shard: 0 });
  await eventually('it is in the metrics', async () =>
    (await (await fetch(metricsUrl)).text()).includes(
      'longwatch_buffer_entries{buffer="told",shard="0",state="dead"} 1',
    ),
  );
  const { dead } = longwatch.buffer('told');
  expect(await dead.count({ olderThanMs: 60_000 })).toBe(0);
  expect(await dead.count({ olderThanMs: 0 })).toBe(1);
});

test('without a worker a signal is kept, and whoever waits for the answer hears that there was none', async () => {
  const buffer = longwatch.buffer('narrow');
  const { done } = await buffer.status();
  await shutdown();
  expect(await buffer.push([301])).toMatchObject({ accepted: 1 });
  await expect(buffer.push([302], { wait: true, timeoutMs: 10_000 })).rejects.toMatchObject({
    name: 'PushUnansweredError',
    accepted: 'unknown',
  });
  await stack.worker({ buffers: all });
  await eventually('it is handled', async () => (await buffer.status()).done > done);
  expect(seen.narrow).toContain(301);
});
