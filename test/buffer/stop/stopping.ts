/** Part of `stop.test.ts`: a buffer is stopped, set and started again. */
import { pino } from 'pino';
import { patrol } from '../../../activities/patrol';
import { TemporalLink } from '../../../activities/lib/temporal';
import { bufferWorkflowId, shardWorkflowId, wakeBufferSignal } from '../../../workflows/buffer/contract';
import { runCli } from '../../support/cli';
import { eventually } from '../../support/stack';
import { seen, gates, stack, longwatch, temporal, database, optionsOf, range, asc, drained, running } from './buffers';

test('stopped it takes nothing and keeps everything in PostgreSQL; started it goes on, also where it was paused before', async () => {
  const buffer = longwatch.buffer('kept');
  await buffer.start(optionsOf('kept'));
  await buffer.pause();
  await buffer.push(range(2_000), { wait: true });
  await buffer.push(range(50, 2_000), { at: Date.now() + 60_000 });
  await buffer.push(range(10, 3_000), { front: true });
  expect(await buffer.stop()).toEqual({ state: 'stopped', changed: true });
  // All is kept by then; the parent completes a moment later.
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
  await eventually('it runs', () => gates.release);
  await buffer.push([2]);
  const stopped = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  // An update that comes before the shard has ended.
  await expect(longwatch.buffer('slow').push([3], { wait: true })).rejects.toMatchObject({
    name: 'BufferStoppedError',
  });
  gates.release!();
  expect(await stopped).toEqual({ state: 'stopped', changed: true });
  expect(seen.slow).toEqual([1]);
  expect(await buffer.status()).toMatchObject({ accepted: 2, done: 1, pending: 1 });

  gates.release = undefined;
  await buffer.start();
  await eventually('the next one runs', () => gates.release);
  const again = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  const start = buffer.start();
  await eventually('it is wanted again', async () => (await buffer.status()).state === 'running');
  gates.release!();
  await start;
  expect(await again).toMatchObject({ state: 'running' });
  expect(await drained(buffer)).toMatchObject({ accepted: 2, done: 2 });
  gates.release = undefined;
  await buffer.push([4]);
  await eventually('it is taken', () => gates.release).then((end) => end());
  // A push by signal may be accepted a moment after it was sent.
  await eventually('all three are done', async () => (await buffer.status()).done === 3);
  expect(await drained(buffer)).toMatchObject({ accepted: 3, done: 3 });
});

test('a shard that is ended by force while its buffer stops goes on, and ends: so does the stop', async () => {
  const buffer = longwatch.buffer('halted');
  await buffer.start(optionsOf('halted'));
  await buffer.push([1]);
  await eventually('it runs', () => gates.begun > 0);
  await buffer.push([2, 3], { wait: true });
  const stopped = buffer.stop();
  await eventually('it is told', async () => (await buffer.status()).shards[0]!.state === 'stopped');
  await temporal.workflow.getHandle(shardWorkflowId('halted', 0)).terminate('by hand');
  await eventually('its parent has ended', async () => (await running('halted')) === 0);
  // Its batch runs again.
  gates.lift!();
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
