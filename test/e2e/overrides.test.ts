/** Rules of a definition in the place of Longwatch's own, on a whole stack: from the client to the rows. */
import { RefusedError, resolveConfig, type ConfigDefinition, type Route } from '../../exports';
import type { Longwatch } from '../../client/longwatch';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
let longwatch: Longwatch;
beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
}, 120_000);
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
}, 120_000);
