/**
 * Messages whose handler ends its process, on two workers as processes that somebody starts again: each of them ends
 * three, then it is a dead letter, or its request is answered. All others are handled.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Longwatch } from '../../client/longwatch';
import { HandlerFailedError } from '../../client/member/errors';
import { resolveConfig } from '../../config/resolve/config';
import { eventually, Stack } from '../support/stack';
import config, { type rooms } from './fixtures/fragile.config';

const FILE = path.join(__dirname, 'fixtures/fragile.config.ts');

let stack: Stack;
let longwatch: Longwatch;
let file: string;
let isOver = false;
const exits: (number | null)[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  file = path.join(stack.dir, 'rooms.log');
  writeFileSync(file, '');
  longwatch = await stack.connect();
  await Promise.all([begin('one'), begin('two')]);
  for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
});
afterAll(async () => {
  isOver = true;
  await stack?.close();
});

/** A worker that is started again when its process has ended. */
async function begin(name: string): Promise<void> {
  const worker = stack.workerProcess(FILE, { LONGWATCH_NODE: name, ROOMS_LOG: file });
  worker.process.once('exit', (code) => {
    if (isOver) return;
    exits.push(code);
    void begin(name);
  });
  await worker.ready.catch(() => undefined);
}

const room = (id: string) => longwatch.tracker<typeof rooms>('rooms').member(id);
const begun = (id: string): number =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line === id).length;

test('a message that ends its process ends three, and is a dead letter; a request is answered so', async () => {
  expect(await room('lobby').request({ say: 'before' }, { timeout: '60s' })).toEqual(['before']);
  await room('bad').send({ exit: true });
  await room('bad').send({ say: 'behind it' });
  const { dead } = longwatch.tracker('rooms');
  const [letter] = await eventually('it is dead', async () => (await dead.list()).length > 0 && dead.list(), 90_000);
  expect(letter).toMatchObject({ member: 'bad', value: { exit: true }, attempts: 3 });
  expect(letter!.error).toBe('ProcessEnded: its process ended 3 times while it was being handled');
  expect(begun('bad')).toBe(3);
  expect(await room('bad').request({ say: 'on' }, { timeout: '60s' })).toEqual(['behind it', 'on']);
  const asked = room('asked').request({ exit: true }, { timeout: '2m' });
  await expect(asked).rejects.toThrow(HandlerFailedError);
  await expect(asked).rejects.toThrow('its process ended 3 times');
  expect(begun('asked')).toBe(3);
  expect(await room('lobby').request({ say: 'after' }, { timeout: '60s' })).toEqual(['before', 'after']);
  expect(exits).toEqual([3, 3, 3, 3, 3, 3]);
  expect(await dead.list()).toHaveLength(1);
});
