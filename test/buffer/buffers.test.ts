/** Buffers on real servers: every way in, every answer of run, and the counts afterwards. */
import { shardOfKey } from '../../activities/buffer/keys';
import type { BufferSummary } from '../../client/buffer/status';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { shardWorkflowId } from '../../workflows/buffer/contract';
import { runCli } from '../support/cli';
import { eventually } from '../support/stack';
import { resolveConfig } from '../../config/resolve/config';
import {
  stack,
  longwatch,
  seen,
  numbers,
  scheduler,
  keyed,
  large,
  changes,
  passes,
  pages,
  reads,
  watched,
  drained,
  asc,
  range,
} from './sample-buffers';

test('the number processor: init by pages, pushes, front, flush, and the state of the last batch', async () => {
  const buffer = longwatch.buffer(numbers);
  await eventually('init', () => seen.numbers?.length === 50);
  await buffer.push([1_001, 1_002, 1_003]);
  await buffer.push([2_001, 2_002], { front: true });
  // Five of a batch of ten would wait for five seconds.
  const before = Date.now();
  await buffer.flush();
  await eventually('pushed', () => seen.numbers?.length === 55);
  expect(Date.now() - before).toBeLessThan(4_000);
  expect(seen.numbers!.slice(50)).toEqual([2_001, 2_002, 1_001, 1_002, 1_003]);
  expect(asc(seen.numbers!.slice(0, 50))).toEqual(range(50));
  const status = await drained(longwatch.buffer('numbers'));
  expect(status).toMatchObject({ accepted: 55, done: 55, dead: 0 });
  expect(status.shards[0]!.userState).toEqual({ handled: 55 });
});

test('the task scheduler: what is not due is put off without an attempt, what fails comes again, changed', async () => {
  const buffer = longwatch.buffer(scheduler);
  await buffer.push([
    { at: Date.now() + 1_500, name: 'late', fails: 0 },
    { at: 0, name: 'twice', fails: 1 },
    { at: 0, name: 'never', fails: 9 },
  ]);
  expect(await drained(longwatch.buffer('scheduler'))).toMatchObject({ accepted: 3, done: 3, dead: 0 });
  const runs = seen.scheduler as { name: string; try: number; early: boolean }[];
  expect(runs.filter((run) => run.early)).toEqual([]);
  const tries = (name: string) => runs.filter((run) => run.name === name).map((run) => run.try);
  expect(tries('late')).toEqual([1]);
  expect(tries('twice')).toEqual([1, 2]);
  expect(tries('never')).toEqual([1, 2, 3, 4]);
});

test('one poison entry of 10,000: exactly that one is dead; it is shown, retried and dropped', async () => {
  const buffer = longwatch.buffer('poisoned');
  await buffer.push(range(10_000));
  const status = await drained(buffer);
  expect(status).toMatchObject({ accepted: 10_000, done: 9_999, dead: 1 });
  expect(asc(seen.poisoned!)).toEqual(range(10_000).filter((n) => n !== 6_666));
  const [letter] = await buffer.dead.list();
  expect(letter).toMatchObject({ value: 6_666, attempts: 5, error: 'Error: poison' });
  expect((await buffer.dead.show(letter!.id)).errors.length).toBeGreaterThan(3);

  expect(await buffer.dead.retry({ error: 'POISON' })).toMatchObject({ chosen: 1, applied: false });
  expect(await buffer.dead.retry({ error: 'nothing like it' }, { apply: true })).toMatchObject({ chosen: 0 });
  expect((await buffer.status()).dead).toBe(1);
  expect(await buffer.dead.retry({ ids: [letter!.id] }, { apply: true, front: true, note: 'mended' })).toMatchObject({
    chosen: 1,
  });
  expect(await buffer.dead.show(letter!.id)).toMatchObject({ state: 'retried', note: 'mended' });
  const again = await eventually('dead again', async () => (await buffer.dead.list())[0]);
  expect(await buffer.dead.drop({ ids: [again.id] }, { apply: true })).toMatchObject({ chosen: 1, applied: true });
  expect(await drained(buffer)).toMatchObject({ accepted: 10_000, done: 9_999, dead: 0, dropped: 1, balanced: true });
  // The drop is taken back: it is an entry again, and dies again.
  expect(await buffer.dead.restore({ ids: [again.id] }, { apply: true })).toMatchObject({ chosen: 1, applied: true });
  // Its row is there before the shard has counted it.
  const after = await eventually('dead once more', async () => {
    const status = await buffer.status();
    return status.dead === 1 && status;
  });
  expect(after).toMatchObject({ accepted: 10_001, dropped: 1, balanced: true });
  expect(await buffer.dead.drop({}, { apply: true })).toMatchObject({ chosen: 1 });
});

test('a batch too large for the upstream is halved, and the size is learned', async () => {
  const buffer = longwatch.buffer('picky');
  await buffer.push(range(500));
  expect(await drained(buffer)).toMatchObject({ accepted: 500, done: 500, dead: 0 });
  expect(asc(seen.picky!)).toEqual(range(500));
  expect((await buffer.status()).shards[0]!.learnedSize).toBeLessThanOrEqual(35);
});

test('entries of one key are one while they are pending: the newest', async () => {
  const buffer = longwatch.buffer(keyed);
  await buffer.push(range(100).map((i) => ({ id: i % 10, v: i })));
  const status = await drained(longwatch.buffer('keyed'));
  expect(status).toMatchObject({ accepted: 100, done: 10, merged: 90 });
  expect(asc(seen.keyed!.map((entry) => (entry as { v: number }).v))).toEqual(range(100).slice(90));
});

test('5 MB in one entry, and none at all', async () => {
  const buffer = longwatch.buffer(large);
  expect(await buffer.push([])).toEqual({ accepted: 0, messages: 0 });
  await buffer.push([{ text: 'a' }, { text: 'x'.repeat(5_000_000) }, { text: 'bb' }], { wait: true });
  expect(await drained(longwatch.buffer('large'))).toMatchObject({ accepted: 3, done: 3 });
  expect(asc(seen.large!)).toEqual([1, 2, 5_000_000]);
  await eventually('its row is deleted', async () => {
    const [row] = await stack.sql<{ n: number }>(
      `select count(*)::int as n from longwatch.buffer_chunk where buffer = 'large'`,
    );
    return row!.n === 0;
  });
});

test('continue-as-new under a stream of signals, past the bound: nothing is lost', async () => {
  const buffer = longwatch.buffer('renewing');
  const pushes: Promise<unknown>[] = [];
  for (let from = 0; from < 8_000; from += 50) {
    pushes.push(buffer.push(range(50).map((i) => from + i)));
    if (pushes.length % 20 === 0) await Promise.all(pushes);
  }
  await Promise.all(pushes);
  const status = await drained(buffer);
  expect(status).toMatchObject({ accepted: 8_000, done: 8_000, dead: 0 });
  expect(asc(seen.renewing!)).toEqual(range(8_000));
  expect(status.shards.every((shard) => shard.runs > 1)).toBe(true);
});

test('paused it accepts up to its capacity, says so, and goes on when it is resumed', async () => {
  const buffer = longwatch.buffer('paused');
  expect(await buffer.pause()).toEqual({ state: 'paused', changed: true });
  expect(await buffer.push(range(10), { wait: true })).toEqual({ accepted: 10, messages: 1 });
  const refused = () =>
    buffer.push([99], { wait: true, timeoutMs: 2_000 }).catch((error: { accepted: unknown }) => error);
  // Nothing is known of an attempt that is cut off by the end of its time.
  await eventually('it is full', async () => (await refused()).accepted === false);
  expect(seen.paused).toBeUndefined();
  expect(await buffer.status()).toMatchObject({ state: 'paused', accepted: 10, pending: 10 });
  await buffer.resume();
  expect(await drained(buffer)).toMatchObject({ accepted: 10, done: 10 });
  expect(asc(seen.paused!)).toEqual(range(10));
});

test('a signal typed by hand, and a message that comes twice', async () => {
  const { Connection, Client } = await import('@temporalio/client');
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  const client = new Client({ connection, namespace: stack.servers.namespace });
  const handle = client.workflow.getHandle(shardWorkflowId('paused', 0));
  const before = (await longwatch.buffer('paused').status()).accepted;
  await handle.signal('push', [501, 502]);
  await handle.signal('push', 503);
  for (let i = 0; i < 3; i++) await handle.signal('push', { sender: 'me', seq: 1, entries: [504] });
  expect(await drained(longwatch.buffer('paused'))).toMatchObject({ accepted: before + 4 });
  expect(asc(seen.paused!).slice(-4)).toEqual([501, 502, 503, 504]);
  await connection.close();
});

test("a tracker's operation feeds each changed value to a buffer, and no other", async () => {
  const buffer = longwatch.buffer(changes);
  // By hand: 'one' belongs to another shard now than by the definition.
  await buffer.set({ shards: 5 });
  const tracker = longwatch.tracker('watched');
  await tracker.start(resolveConfig({ trackers: [watched], buffers: [changes] }).trackers[0]!.options);
  await tracker.add(['one'], { wait: true });
  const values = () => (seen.changes ?? []).map((entry) => (entry as { value: number }).value);
  await eventually('the last change', () => values().includes(3));
  await eventually('it goes on', () => reads > 10);
  const status = await drained(buffer);
  expect(status.accepted).toBeLessThanOrEqual(3);
  expect(status.shards.filter(({ accepted }) => accepted > 0).map(({ shard }) => shard)).toEqual([
    shardOfKey('one', 5),
  ]);
  expect(values().at(-1)).toBe(3);
  expect(seen.changes![0]).toMatchObject({ tracker: 'watched', operation: 'look', id: 'one' });
  expect(await stack.sql('select 1 from longwatch.buffer_outbox')).toEqual([]);
});

test('init goes on from its cursor after a failure, and is asked again when all is handled', async () => {
  await eventually('passes that find nothing', () => passes.some(({ pass }) => pass > 4));
  expect(asc(seen.polled!)).toEqual([...range(50), 1_001, 1_002]);
  expect(passes.slice(0, 7).map(({ cursor }) => cursor)).toEqual([undefined, 10, 20, 20, 30, 40, undefined]);
  expect(await longwatch.buffer('polled').status()).toMatchObject({ accepted: 52, done: 52, balanced: true });
});

test('a large page of init goes by its rows, a small one by itself', async () => {
  const buffer = longwatch.buffer(pages);
  await eventually('both pages', async () => (await buffer.status()).accepted === 2_002);
  const rows = await stack.sql<{ page: number; chunks: { row?: string; entries?: object[] }[] }>(
    `select page::int as page, result -> 'chunks' as chunks from longwatch.buffer_page where buffer = 'pages' order by page`,
  );
  expect(rows[0]!.chunks.map(({ row, entries }) => [row !== undefined, entries !== undefined])).toEqual([
    [true, false],
    [true, false],
  ]);
  expect(rows[1]!.chunks.flatMap(({ entries }) => entries)).toHaveLength(2);
  await buffer.flush();
  expect(await drained(buffer)).toMatchObject({ done: 2_002, merged: 0 });
  const handled = seen.pages as { id: number; text: string }[];
  expect(handled.map(({ id }) => id).sort((a, b) => a - b)).toEqual(range(2_002));
});

const cli = (...args: string[]) => runCli(stack, ...args);

test('on the command line: push, status, flush, pause, resume, dead', async () => {
  const file = path.join(stack.dir, 'entries.jsonl');
  writeFileSync(file, '1\n{"broken": \n3\nnonsense\n');
  const broken = await cli('push', 'paused', '--file', file);
  expect(broken.status).toBe(2);
  expect(broken.err).toMatch(/2 of the entries are not JSON; nothing was sent/);
  expect(broken.err).toMatch(/line 2: .*\n.*line 4: /);

  writeFileSync(file, '');
  expect(await cli('push', 'paused', '--file', file)).toMatchObject({
    status: 0,
    out: "0 entries accepted by 'paused'\n",
  });
  const { accepted: before } = await longwatch.buffer('paused').status();
  writeFileSync(file, '701\n\n702\n');
  expect(JSON.parse((await cli('push', 'paused', '700', '--file', file, '--wait', '--json')).out)).toMatchObject({
    accepted: 3,
    blankLines: 1,
  });
  const status = await drained(longwatch.buffer('paused'));
  expect(status.accepted).toBe(before + 3);
  expect((await cli('status', 'paused')).out).toContain(`${before + 3} accepted = ${before + 3} done + 0 pending`);
  const shown = JSON.parse((await cli('status', '--json')).out) as { buffers: BufferSummary[] };
  expect(shown.buffers.find((buffer) => buffer.name === 'poisoned')).toMatchObject({ dropped: 2, balanced: true });
  expect((await cli('flush', 'paused')).out).toBe("'paused' is flushed\n");
  const away = { servers: { ...stack.servers, temporalAddress: '127.0.0.1:1' } };
  expect(await runCli(away, 'flush', 'paused')).toMatchObject({
    status: 1,
    err: expect.stringMatching(/^Temporal does not answer at 127\.0\.0\.1:1: nothing was done/) as string,
  });
  expect((await cli('pause', 'paused')).out).toBe("'paused' is paused\n");
  expect((await cli('resume', 'paused')).out).toBe("'paused' is running\n");
  const mistyped = await cli('push', 'pused', '1');
  expect(mistyped.status).toBe(2);
  expect(mistyped.err).toContain("did you mean 'paused'");
  expect((await cli('dead', 'list', 'poisoned')).out).toBe('none\n');
  expect((await cli('dead', 'list', 'poisoned', '--recorded')).out).toContain('dropped');
  expect(await cli('dead', 'retry', 'poisoned')).toMatchObject({ status: 2 });
  expect((await cli('dead', 'retry', 'poisoned', '--all')).out).toBe('0 dead letters would be pending again\n');
});
