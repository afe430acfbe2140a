/**
 * An upstream that refuses everything, wordily: what is carried of it stays small, so the shards go on and end in dead
 * letters.
 */
import { defineBuffer } from '../../config/define/buffer';
import { resolveDefinition } from '../../config/resolve/buffer';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

const ENTRIES = 300;

const refused = defineBuffer({
  name: 'refused',
  shards: 1,
  flushInterval: '20ms',
  maxBatchSize: 200,
  maxConcurrency: 8,
  historyEvents: 200,
  bound: { entries: 500, bytes: 10_000 },
  retry: { base: '1ms', cap: '1ms', attempts: 2 },
  run: (entries: number[]) => {
    throw new Error(`${entries[0]} cannot be had: ${'because of this and that; '.repeat(20)}`);
  },
});

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker({ buffers: [refused] });
});
afterAll(() => stack.close());

test('all of them are dead, through many runs of the workflow', async () => {
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer('refused');
  await buffer.start(resolveDefinition(refused, []).options);
  await buffer.push(Array.from({ length: ENTRIES }, (_, i) => i));
  const status = await eventually('all are dead', async () => {
    const now = await buffer.status();
    expect(now.balanced).toBe(true);
    return now.dead === ENTRIES && now;
  });
  expect(status).toMatchObject({ accepted: ENTRIES, done: 0, pending: 0, running: 0 });
  expect(status.shards[0]!.runs).toBeGreaterThan(3);
});

test('the oldest of them are dropped, and others brought back, by their age on the command line', async () => {
  const cli = (...args: string[]) => runCli(stack, 'dead', ...args);
  const aged = (from: number, to: number, hours: number) =>
    stack.sql(
      `update longwatch.buffer_dead set died_at = died_at - make_interval(hours => $3)
       where buffer = 'refused' and (value #>> '{}')::int >= $1 and (value #>> '{}')::int < $2`,
      [from, to, hours],
    );
  await aged(0, 100, 3);
  await aged(100, 120, 1);
  const longwatch = await stack.connect();
  const buffer = longwatch.buffer('refused');

  const listed = await cli('list', 'refused', '--older-than', '7200', '--json');
  expect((JSON.parse(listed.out) as { dead: unknown[] }).dead).toHaveLength(100);
  const tried = await cli('drop', 'refused', '--older-than', '7200');
  expect(tried).toMatchObject({ status: 0, out: '100 dead letters would be dropped\n' });
  expect(tried.err).toContain('--apply');
  expect((await buffer.status()).dead).toBe(ENTRIES);
  expect((await cli('drop', 'refused', '--older-than', '7200', '--apply', '--note', 'too old')).out).toBe(
    '100 dead letters dropped\n',
  );
  expect(await buffer.status()).toMatchObject({ dead: ENTRIES - 100, dropped: 100, balanced: true });

  expect((await cli('retry', 'refused', '--older-than', '1800')).out).toBe('20 dead letters would be pending again\n');
  expect((await cli('retry', 'refused', '--older-than', '1800', '--apply')).out).toBe(
    '20 dead letters pending again\n',
  );
  // Brought back, they fail again: newly dead, and no longer old.
  await eventually('they are dead again', async () => (await buffer.status()).dead === ENTRIES - 100);
  expect((await cli('list', 'refused', '--older-than', '1800')).out).toBe('none\n');
  expect(await cli('drop', 'refused', '--older-than', 'soon')).toMatchObject({ status: 2 });
});
