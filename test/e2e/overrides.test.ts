/** Rules of a definition in the place of Longwatch's own, on a whole stack: from the client to the rows. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { connect, RefusedError, resolveConfig, type ConfigDefinition, type Route } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { runCli } from '../support/cli';
import { eventually, Stack } from '../support/stack';
import coded from './fixtures/coded.config';

const CODED = path.join(__dirname, 'fixtures/coded.config.ts');

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(async () => {
  await stack?.close();
});

const optionsOf = (config: ConfigDefinition) => resolveConfig(config).trackers[0]!.options;

function fleet(route?: Route): ConfigDefinition {
  const operations = {
    look: { every: '1s', stagger: { window: 0 }, run: ({ id }: { id: string }) => ({ value: id }) },
  };
  return { trackers: [{ name: 'fleet', poolSize: 10, route, operations }] };
}

test('ids of one corporation are kept together, although the client knows of no route; another route is refused', async () => {
  const config = fleet({ name: 'by-corporation', of: (id) => id.split('/')[0] });
  await stack.worker(config);
  const tracker = longwatch.tracker('fleet');
  await tracker.start(optionsOf(config));
  const corporations = Array.from({ length: 8 }, (_, i) => `corp-${i}`);
  const ids = corporations.flatMap((name) => Array.from({ length: 5 }, (_, i) => `${name}/${i}`));
  await tracker.add(ids, { wait: true });

  const places = await Promise.all(ids.map((id) => tracker.where(id)));
  const pools = corporations.map((_, i) => new Set(places.slice(i * 5, i * 5 + 5).map(({ pool }) => pool)));
  expect(pools.map((of) => of.size)).toEqual(corporations.map(() => 1));
  expect(new Set(pools.flatMap((of) => [...of])).size).toBeGreaterThan(2);
  // Each pool has a shift, also one that no message went to.
  await eventually('all are fetched', async () => {
    const shown = await Promise.all(ids.map((id) => tracker.show(id)));
    return shown.every(({ id, values }) => values[0]?.value === id);
  });

  const other = optionsOf(fleet({ name: 'by-alliance', of: (id) => id }));
  expect(await tracker.start(other)).toMatchObject({ alreadyRunning: true, differs: true });
  await expect(tracker.declare(other)).rejects.toThrow(/fleet has members \(or mail\), which are placed by route/);
  await tracker.stop();
  await expect(tracker.start(other)).rejects.toBeInstanceOf(RefusedError);
  expect((await tracker.status()).state).toBe('stopped');
  expect(await tracker.start(optionsOf(config))).toMatchObject({ state: 'running' });

  await tracker.remove(ids, { wait: true });
  expect(await tracker.declare(other)).toMatchObject({ changed: true });
});

test('values are stored as their codec makes them, fed in clear, and shown in clear where the codec is known', async () => {
  const fed = path.join(stack.dir, 'fed.txt');
  const worker = stack.workerProcess(CODED, { CODED_FILE: fed });
  await worker.ready;
  const config = resolveConfig(coded);
  await longwatch.buffer('changes').start(config.buffers[0]!.options);
  const tracker = longwatch.tracker('coded');
  await tracker.start(config.trackers[0]!.options);
  await tracker.add(['a', 'odd'], { wait: true });

  const stored = await eventually('both are fetched', async () => {
    const members = await Promise.all(['a', 'odd'].map((id) => tracker.show(id)));
    return members.every(({ values }) => values.length === 2) ? members : undefined;
  });
  expect(stored[0]!.values).toMatchObject([
    { operation: 'packed', encodedBy: 'gzip', decodeError: null, error: null },
    { operation: 'thread', encodedBy: 'dates', value: { at: 5_000, odd: false }, error: null },
  ]);
  expect((stored[0]!.values[0]!.value as string).length).toBeLessThan(200);

  // Once for each of them: the same value is encoded to the same text.
  await eventually(
    'the buffer has been fed',
    () => existsSync(fed) && readFileSync(fed, 'utf8').split('\n').length > 2,
  );
  await eventually('it was fetched again', async () => {
    const { fetchedAt } = (await tracker.show('a')).values[0]!;
    return Date.parse(fetchedAt!) > Date.parse(stored[0]!.values[0]!.fetchedAt!);
  });
  expect(readFileSync(fed, 'utf8').trim().split('\n').sort()).toEqual(['a 1000', 'odd 1000']);

  const knowing = await connect({
    address: stack.servers.temporalAddress,
    namespace: stack.servers.namespace,
    databaseUrl: stack.servers.databaseUrl,
    trackers: coded.trackers,
  });
  const [packed, thread] = (await knowing.tracker('coded').show('a')).values;
  expect(packed).toMatchObject({ encodedBy: null, value: { id: 'a', long: 'x'.repeat(1_000) } });
  expect(thread).toMatchObject({ encodedBy: null, value: { at: new Date(5_000) } });
  expect((await knowing.tracker('coded').show('odd')).values[1]).toMatchObject({
    encodedBy: 'dates',
    decodeError: expect.stringMatching(
      /^codec 'dates' could not decode thread of odd in coded: .*the key was lost/,
    ) as string,
  });
  await knowing.close();

  const blind = await runCli(stack, 'show', 'coded', 'a');
  expect(blind).toMatchObject({ status: 0, out: expect.stringContaining('encoded by gzip') as string });
  expect(blind.err).toContain("values are encoded by 'gzip'");
  const clear = await runCli(stack, 'show', 'coded', 'a', '--config', CODED);
  expect(clear).toMatchObject({ status: 0, out: expect.stringContaining('{"id":"a","long":"xxx') as string, err: '' });
  expect((await runCli(stack, 'show', 'coded', 'odd', '--config', CODED)).err).toContain('the key was lost');
  await worker.kill('SIGTERM');
});
