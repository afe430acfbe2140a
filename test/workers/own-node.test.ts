/** The node of a worker from its setup: what it refuses before anything is opened, and since when Temporal is away. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { ConfigError, resolveConfig } from '../../exports';
import { createWorker, type WorkerSetup } from '../../workers/worker';
import { releaseVersion } from '../../workers/release';
import { TemporalWatch } from '../../workers/temporal-watch';
import { trackerOf } from '../tracker/nodes-kit';

const refusal = (over: Partial<WorkerSetup>) =>
  createWorker({
    config: resolveConfig({ trackers: [trackerOf('t')] }),
    temporal: { address: '127.0.0.1:1', namespace: 'default' },
    databaseUrl: 'postgres://127.0.0.1:1/none',
    log: pino({ level: 'silent' }),
    watchdogMs: null,
    ...over,
  }).then(
    () => undefined,
    (error: unknown) => error,
  );

test.each<[Partial<WorkerSetup>, RegExp]>([
  [{ nodeTimeout: 'soon' as never }, /nodeTimeout must be a duration such as '10s', or '0' not to wait, not 'soon'/],
  [{ nodeTimeout: '-1s' }, /nodeTimeout must be a duration/],
  [{ egress: 'a\nb' }, /egress cannot be "a\\nb": .*control character/],
  [{ egress: '' }, /egress cannot be "": /],
  [{ nodeName: 'x'.repeat(201) }, /nodeName cannot be "x{60}": /],
  [{ nodeName: 'half \ud800' }, /nodeName cannot be .*surrogate/],
])('%j is refused', async (over, message) => {
  const error = await refusal(over);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).toMatch(message);
});

test('since when Temporal cannot be reached: from the first question without an answer until the next answer', async () => {
  const answers = [true, false, false, true];
  const watch = new TemporalWatch({ reachable: () => Promise.resolve(answers.shift()!) });
  await watch.look();
  expect(watch.refusedMs).toBeUndefined();
  await watch.look();
  const first = watch.refusedMs!;
  expect(first).toBeGreaterThanOrEqual(0);
  await watch.look();
  expect(watch.refusedMs!).toBeGreaterThanOrEqual(first);
  await watch.look();
  expect(watch.refusedMs).toBeUndefined();
});

test('the release is the package’s', () => {
  const file = path.join(__dirname, '../../package.json');
  expect(releaseVersion()).toBe((JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version);
});
