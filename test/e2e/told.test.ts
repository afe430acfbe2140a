/**
 * Holds and refetches as people meet them: a worker on real servers, the verbs, a restart in the middle of a hold, new
 * code for the same answers.
 */
import {
  defineConfig,
  defineTracker,
  HoldError,
  type ConfigDefinition,
  type RunContext,
  type RunResult,
} from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';
import { resolveConfig } from '../../config/resolve/config';

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

const seen = { runs: [] as string[], others: 0, refuse: false };

/** An upstream that says 304 to who knows its answer. */
const config = (
  name: string,
  version: number,
  make: (answer: { name: string; corp: number }) => unknown,
): ConfigDefinition =>
  defineConfig({
    trackers: [
      defineTracker({
        name,
        operations: {
          other: { every: '200ms', run: () => ({ value: ++seen.others }) },
          look: {
            every: '200ms',
            timeout: '300ms',
            version,
            run({ id, etag }: RunContext): RunResult {
              seen.runs.push(id);
              if (seen.refuse) throw new HoldError('429 \u001b[31mgo away', { afterMs: 24 * 60 * 60_000 });
              if (etag === 'v1') return { unchanged: true };
              return { value: make({ name: 'Ada', corp: 42 }) as never, etag: 'v1' };
            },
          },
        },
      }),
    ],
  });
const optionsOf = (one: ConfigDefinition) => resolveConfig(one).trackers[0]!.options;
const valueOf = async (name: string, id: string) =>
  (await longwatch.tracker(name).show(id)).values.find(({ operation }) => operation === 'look')?.value;

test('a hold outlives its worker, is shown with its words, and is lifted by a verb; no id is asked meanwhile', async () => {
  const held = config('held', 1, (answer) => answer.name);
  const first = await stack.worker(held);
  const tracker = longwatch.tracker('held');
  await tracker.start(optionsOf(held));
  await tracker.add(['a', 'b', 'c'], { wait: true });
  await eventually('all are fetched', async () => (await valueOf('held', 'c')) === 'Ada');
  expect((await runCli(stack, 'hold', 'list')).out).toBe('nothing is held\n');
  seen.refuse = true;
  await eventually('it is held', async () => (await tracker.holds()).length === 1);
  await first.shutdown();
  await first.ended;

  seen.runs.length = 0;
  await stack.worker(held);
  await eventually('the pool is kept again', async () => (await tracker.pools())[0]!.onShift);
  seen.others = 0;
  await eventually('the other operation has run five times for each', () => seen.others >= 15);
  expect(seen.runs).toEqual([]);

  const list = await runCli(stack, 'hold', 'list', 'held');
  // A day was asked for; the operation's maxHold is an hour.
  expect(list.out).toMatch(/held +look +(60|5\d) min/);
  expect(list.out).toContain('HoldError: 429');
  expect(list.out).not.toContain('\u001b');
  const json = JSON.parse((await runCli(stack, 'hold', 'list', '--json')).out) as unknown[];
  expect(json).toMatchObject([
    { tracker: 'held', operation: 'look', reason: expect.stringContaining('429') as string },
  ]);
  expect((await runCli(stack, 'status', 'held')).out).toMatch(
    /HELD: look, for .* \(npx longwatch hold open held look\)/,
  );
  expect((await runCli(stack, 'show', 'held', 'b')).out).toMatch(/HELD: look/);

  seen.refuse = false;
  const open = await runCli(stack, 'hold', 'open', 'held', 'look');
  expect([open.status, open.out]).toEqual([0, expect.stringMatching(/^lifted: look, for /)]);
  await eventually('all are asked again', () => new Set(seen.runs).size === 3);
  expect((await runCli(stack, 'hold', 'list', 'held')).out).toBe('nothing is held\n');
  expect(await runCli(stack, 'hold', 'open', 'held', 'nothing')).toMatchObject({ status: 2 });
  expect(await runCli(stack, 'hold', 'open', 'nobody')).toMatchObject({ status: 2 });
});

test('PU-6: new code for the same answer, by its version; and by hand', async () => {
  const old = config('people', 1, (answer) => answer.name);
  const first = await stack.worker(old);
  const tracker = longwatch.tracker('people');
  await tracker.start(optionsOf(old));
  await tracker.add(['a', 'b'], { wait: true });
  await eventually('all are fetched', async () => (await valueOf('people', 'b')) === 'Ada');
  await first.shutdown();
  await first.ended;

  const whole = { name: 'Ada', corp: 42 };
  const next = config('people', 2, (answer) => answer);
  const second = await stack.worker(next);
  await tracker.declare(optionsOf(next));
  await eventually('both are what the new code makes', async () =>
    (await Promise.all(['a', 'b'].map((id) => valueOf('people', id)))).every(
      (value) => (value as Partial<typeof whole> | null)?.corp === 42,
    ),
  );
  // A value that was fetched within its time-out and two seconds of it might be of a run that began before, and would
  // be asked for once more by the next shift.
  const renewed = Date.now();
  await eventually('both were fetched long after', async () => {
    const members = await Promise.all(['a', 'b'].map((id) => tracker.show(id)));
    return members.every(({ values }) =>
      values.every(({ fetchedAt }) => Date.parse(fetchedAt ?? '') > renewed + 2_500),
    );
  });
  await second.shutdown();
  await second.ended;

  // The same version, so the 304 keeps what there is.
  await stack.worker(config('people', 2, ({ corp }) => corp));
  const before = seen.runs.length;
  await eventually('it runs', () => seen.runs.length > before + 4);
  expect(await valueOf('people', 'a')).toEqual(whole);
  const refetch = await runCli(stack, 'refetch', 'people', 'a', 'nobody');
  expect(refetch.out).toBe('1 member will be asked anew\n');
  expect(refetch).toMatchObject({ status: 1, err: expect.stringContaining('not tracked: nobody') as string });
  await eventually('a is what the code makes now', async () => (await valueOf('people', 'a')) === 42);
  expect(await valueOf('people', 'b')).toEqual(whole);
  expect(await runCli(stack, 'refetch', 'people', '--operation', 'look')).toMatchObject({
    out: '2 members will be asked anew\n',
  });
  await eventually('so is b', async () => (await valueOf('people', 'b')) === 42);
});
