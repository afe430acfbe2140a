/** T5 in a worker process of its own: what operations do wrong, there and in threads, harms only their id. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { resolveConfig } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import type { TrackerHandle } from '../../client/tracker/handle';
import type { StoredValue } from '../../client/tracker/members';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config from './fixtures/bad.config';

const FILE = path.join(__dirname, 'fixtures/bad.config.ts');

let stack: Stack;
let longwatch: Longwatch;
let worker: WorkerProcess;
let errorsFile: string;

beforeAll(async () => {
  stack = await Stack.start();
  errorsFile = path.join(stack.dir, 'errors.txt');
  worker = stack.workerProcess(FILE, { BAD_ERRORS_FILE: errorsFile });
  await worker.ready;
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

async function started(name: string, ids: string[]): Promise<TrackerHandle> {
  const tracker = longwatch.tracker(name);
  await tracker.start(resolveConfig(config).trackers.find((one) => one.name === name)!.options);
  await tracker.add(ids, { wait: true });
  return tracker;
}

const valueOf = async (tracker: TrackerHandle, id: string): Promise<StoredValue | undefined> =>
  (await tracker.show(id)).values[0];

/** Waits until the id has been fetched again since now. */
async function goesOn(tracker: TrackerHandle, id: string): Promise<void> {
  const before = (await valueOf(tracker, id))?.fetchedAt ?? '';
  await eventually(`${id} goes on`, async () => ((await valueOf(tracker, id))?.fetchedAt ?? '') > before);
}

const errors = () => (existsSync(errorsFile) ? readFileSync(errorsFile, 'utf8') : '');

const FAILING: [string, RegExp][] = [
  ['rejects-after-time-out', /timed out after 300 ms/],
  ['emits-an-error', /an event nobody hears/],
  ['hangs', /timed out after 300 ms/],
  ['abort-listener-throws', /timed out after 300 ms/],
  ['nul', /an error with NUL \ufffd in it/],
  ['no-time', /expiresAt that is not a time/],
  ['huge', /at most 4194304 are stored/],
  ['held', /429/],
];
const STRAYS: [string, string][] = [
  ['rejects-late', 'nobody catches this'],
  ['callback-throws', 'thrown in a callback'],
];

test('an operation that hangs, throws late or returns garbage harms only its id; each error reaches the hook', async () => {
  const bad = await started('bad', [
    'good',
    'half-a-pair',
    'no-calendar',
    ...[...FAILING, ...STRAYS].map(([id]) => id),
  ]);
  for (const [id, message] of FAILING) {
    const value = await eventually(`${id} has failed`, async () => {
      const stored = await valueOf(bad, id);
      return stored?.error ? stored : undefined;
    });
    expect(value.error).toMatch(message);
    expect(value.fetchedAt).toBeNull();
    await eventually(`the hook hears of ${id}`, () => errors().includes(`${id}: `));
  }
  expect((await valueOf(bad, 'held'))!.heldUntil).not.toBeNull();
  for (const [id, message] of STRAYS) {
    await eventually(`the hook hears of ${message}`, () => errors().includes(`-: ${message}`));
    await goesOn(bad, id);
  }
  await eventually(
    'what cannot be stored is replaced',
    async () => (await valueOf(bad, 'half-a-pair'))?.value === '\ufffd',
  );
  await goesOn(bad, 'good');
  expect(worker.process.exitCode).toBeNull();
  const [pool] = await bad.pools();
  expect(pool).toMatchObject({ attempt: 1, crashes: 0, quarantinedAt: null });
});

test('code that never yields is ended with its thread when it is isolated; the other ids go on', async () => {
  const threads = await started('threads', ['good', 'endless', 'throws', 'exits', 'held']);
  const ended = await eventually('the endless run has timed out', async () => {
    const value = await valueOf(threads, 'endless');
    return value?.error ? value : undefined;
  });
  expect(ended.error).toMatch(/timed out after 4000 ms/);
  await eventually('a throw has failed', async () =>
    /thrown in a thread/.test((await valueOf(threads, 'throws'))?.error ?? ''),
  );
  await eventually('a hold is one', async () => (await valueOf(threads, 'held'))?.heldUntil != null);
  await eventually('an exit has failed', async () => ((await valueOf(threads, 'exits'))?.failures ?? 0) > 0);
  // More than once, so that threads that were ended are replaced, and what was stored is handed over.
  await goesOn(threads, 'good');
  await goesOn(threads, 'good');
  expect((await valueOf(threads, 'good'))!.value).toEqual({ id: 'good', etag: 'e1' });
  await goesOn(longwatch.tracker('bad'), 'good');
  expect(worker.process.exitCode).toBeNull();
});
