/**
 * Entries that people push by the command line and no store keeps as they are: keys with NUL, halves of surrogate
 * pairs, of kilobytes; numbers that are not exact. They are handled or refused by name, and their buffer stops and
 * starts. And `resume` ends what an upstream has asked to wait for.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { defineBuffer, defineConfig, HoldError, resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';

interface Entry {
  url: string | number;
  n: number;
}
const seen: Record<string, Entry[]> = {};
let held = 0;
const quick = { shards: 1, retry: { base: '10ms', cap: '50ms' }, flushInterval: '20ms' } as const;
const config = defineConfig({
  buffers: [
    // It keeps little in memory: keys go to PostgreSQL.
    defineBuffer({
      name: 'odd',
      key: 'url',
      ...quick,
      bound: { entries: 3, bytes: 10_000 },
      run: (entries: Entry[]) => void (seen.odd ??= []).push(...entries),
    }),
    // Each of its entries dies, and is a letter with its key.
    defineBuffer({
      name: 'deadly',
      key: 'url',
      ...quick,
      maxBatchSize: 5,
      retry: { attempts: 1, base: '10ms', cap: '50ms' },
      run: (entries: Entry[]) => {
        throw new Error(`no\u0000 ${entries.map(({ url }) => String(url).slice(0, 10)).join()}\ud800`);
      },
    }),
    defineBuffer({
      name: 'held',
      ...quick,
      run: () => {
        if (++held === 1) throw new HoldError('429', { afterMs: 20 * 3_600_000 });
      },
    }),
  ],
});

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  await stack.worker(config);
  longwatch = await stack.connect();
  for (const { name, options } of resolveConfig(config).buffers) await longwatch.buffer(name).start(options);
});
afterAll(() => stack?.close());

const cli = (...args: string[]) => runCli(stack, ...args);
const settled = (name: string, count: number) =>
  eventually(`${count} of ${name} are settled`, async () => {
    const status = await longwatch.buffer(name).status();
    expect(status.balanced).toBe(true);
    return status.ageMs === 0 && status.done + status.dead + status.merged === count && status;
  });

/** As JSON says them: escapes, so that a file has them. */
const URLS = [
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"x\\udc00y"',
  `"${'u'.repeat(3_000)}"`,
  `"${'ж'.repeat(2_000)}"`,
  '17',
  '"17"',
  '"__proto__"',
];
const lines = (n: number): string => URLS.map((url) => `{"url": ${url}, "n": ${n}}\n`).join('');

test('keys that no store keeps are handled, the newest of each, through stop and start; stop comes back', async () => {
  const file = path.join(stack.dir, 'odd.jsonl');
  expect((await cli('pause', 'odd')).status).toBe(0);
  for (const n of [1, 2]) {
    writeFileSync(file, lines(n));
    expect(await cli('push', 'odd', '--file', file, '--wait')).toMatchObject({ status: 0 });
  }
  expect(await cli('stop', 'odd')).toMatchObject({ status: 0 });
  expect(await cli('push', 'odd', '{"url": "late", "n": 1}')).toMatchObject({ status: 1 });
  await longwatch.buffer('odd').start(resolveConfig(config).buffers[0]!.options);
  expect(await settled('odd', 2 * URLS.length)).toMatchObject({ dead: 0, done: URLS.length });
  expect(seen.odd!.map(({ n }) => n)).toEqual(URLS.map(() => 2));
  expect(new Set(seen.odd!.map(({ url }) => url))).toEqual(new Set(URLS.map((url) => JSON.parse(url) as string)));
});

test('letters with such keys and errors are buried, listed and retried', async () => {
  const file = path.join(stack.dir, 'deadly.jsonl');
  writeFileSync(file, lines(1));
  expect(await cli('push', 'deadly', '--file', file)).toMatchObject({ status: 0 });
  await settled('deadly', URLS.length);
  const listed = await eventually('they are buried', async () => {
    const { out } = await cli('dead', 'list', 'deadly', '--json');
    return out.split('"error"').length - 1 >= URLS.length && out;
  });
  expect(listed).not.toContain('\u0000');
  expect(await cli('dead', 'retry', 'deadly', '--all', '--apply')).toMatchObject({ status: 0 });
  expect(await cli('stop', 'deadly')).toMatchObject({ status: 0 });
});

test('a number that is not exact is refused by name, and nothing of its push is sent', async () => {
  const { accepted } = await longwatch.buffer('held').status();
  const refused = await cli('push', 'held', '1', '{"id": 9007199254740993}');
  expect(refused).toMatchObject({ status: 2, out: '' });
  expect(refused.err).toContain('9007199254740993');
  expect((await longwatch.buffer('held').status()).accepted).toBe(accepted);
});

test('resume ends what an upstream has asked to wait for, in a buffer that is not paused', async () => {
  await cli('push', 'held', '1');
  await eventually('it is held', () => Promise.resolve(held === 1));
  await eventually('its shard knows', async () => (await longwatch.buffer('held').status()).running === 0);
  expect(await cli('resume', 'held')).toMatchObject({ status: 0 });
  expect(await settled('held', 1)).toMatchObject({ done: 1, dead: 0 });
  expect(held).toBe(2);
});
