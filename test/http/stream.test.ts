/**
 * The stream of the state, on real servers: a snapshot, then what has changed; one reading a second however many
 * listen, none when nobody does; and what a reader hears while the database is away.
 */
import { pino } from 'pino';
import type { Longwatch } from '../../client/longwatch';
import type { Dashboard } from '../../http/app';
import { ALL_BUT_DATES } from '../support/other-clock';
import { eventually } from '../support/stack';
import { Proxy } from '../support/proxy';
import { Desk } from './desk';
import { listen, type Heard } from './listener';

let desk: Desk;
let longwatch: Longwatch;
let dashboard: Dashboard;
let readings: jest.SpyInstance;

beforeAll(async () => {
  desk = await Desk.start();
  longwatch = await desk.stack.connect();
  readings = jest.spyOn(longwatch, 'status');
  dashboard = Desk.dashboard(desk.stack, { longwatch, open: true });
});
afterAll(async () => {
  await dashboard?.close();
  await desk?.close();
});

/** The next event, but for the word that a machine which stood still has not been read from for long. */
async function well(next: () => Promise<Heard>): Promise<Heard> {
  for (;;) {
    const heard = await next();
    if (heard.event !== 'problem') return heard;
  }
}

test('a snapshot, then what has changed, which makes the same as a new snapshot', async () => {
  const { next, leave } = await listen(dashboard);
  const snapshot = await next();
  expect(snapshot).toMatchObject({ event: 'snapshot', data: { status: { trackers: [{ name: 'things' }] } } });
  let state = snapshot.data;
  await longwatch.tracker('things').pause();
  await eventually('the pause in a delta', async () => {
    const { event, data } = await well(next);
    expect(event).toBe('delta');
    // A part that did not change is not told again.
    expect(data).not.toHaveProperty('buckets');
    state = { ...state, ...data };
    return (state as { status: { trackers: { paused: boolean }[] } }).status.trackers[0]!.paused;
  });
  await longwatch.tracker('things').resume();
  const again = await listen(dashboard);
  const { event, data } = await again.next();
  expect(event).toBe('snapshot');
  expect(Object.keys(data).sort()).toEqual(Object.keys(state).sort());
  await Promise.all([leave(), again.leave()]);
});

test('its time is the one by which all other times of it go: that of the database, whatever the clock here says', async () => {
  jest.useFakeTimers({ now: Date.now() + 2 * 3_600_000, doNotFake: ALL_BUT_DATES });
  try {
    const { body } = await desk.ask('/state');
    const { at, cluster } = body as { at: string; cluster: { nodes: { seenAt: string }[] } };
    expect(Math.abs(Date.parse(at) - Date.parse(cluster.nodes[0]!.seenAt))).toBeLessThan(60_000);
  } finally {
    jest.useRealTimers();
  }
});

test('one reading a second for all, and none when nobody listens', async () => {
  const pages = await Promise.all(Array.from({ length: 20 }, () => listen(dashboard)));
  for (const page of pages) expect((await page.next()).event).toBe('snapshot');
  const before = readings.mock.calls.length;
  const since = performance.now();
  for (let second = 0; second < 3; second++)
    for (const page of pages) expect((await well(page.next)).event).toBe('delta');
  // Three, as a rule; on a machine that is busy the pages are read for longer.
  expect(readings.mock.calls.length - before).toBeLessThanOrEqual(2 + (performance.now() - since) / 1_000);
  await Promise.all(pages.map((page) => page.leave()));
  const left = readings.mock.calls.length;
  // Another dashboard's seconds pass meanwhile.
  const clock = await listen(desk.dashboard);
  for (let second = 0; second < 4; second++) await clock.next();
  await clock.leave();
  expect(readings.mock.calls.length).toBe(left);
});

test('a reading that hangs is heard of', async () => {
  const { next, leave } = await listen(dashboard);
  expect((await next()).event).toBe('snapshot');
  let goOn = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (goOn = resolve));
  readings.mockImplementationOnce(async () => {
    await hanging;
    return desk.ask('/status').then(({ body }) => body);
  });
  await eventually('the problem', async () => {
    const { event, data } = await next();
    if (event !== 'problem') return false;
    expect(data).toMatchObject({ error: { code: 'TimedOut' } });
    return true;
  });
  goOn();
  expect((await well(next)).event).toBe('delta');
  await leave();
});

test('a reader that does not read is not kept all that it missed: it has the snapshot when it reads on', async () => {
  const status = await longwatch.status();
  // Each reading differs, and is larger than what may lie before a reader.
  let reading = 0;
  readings.mockImplementation(async () => ({
    ...status,
    nodes: [{ ...status.nodes[0]!, host: `${reading++}`.padEnd(200_000, 'x') }],
  }));
  const slow = await listen(dashboard);
  const quick = await listen(dashboard);
  for (let event = 0; event < 5; event++) await quick.next();
  const events: string[] = [];
  for (let event = 0; event < 6; event++) events.push((await slow.next()).event);
  expect(events[0]).toBe('snapshot');
  expect(events.slice(1)).toContain('snapshot');
  readings.mockRestore();
  readings = jest.spyOn(longwatch, 'status');
  await Promise.all([slow.leave(), quick.leave()]);
});

test('a doctor that fails is told to the log, and ends nothing', async () => {
  const unforeseen: string[] = [];
  const log = pino({}, { write: (line: string) => void unforeseen.push(line) });
  const doctor = jest.spyOn(longwatch, 'doctor').mockRejectedValue(new Error('a check that nobody foresaw'));
  const other = Desk.dashboard(desk.stack, { longwatch, open: true, log });
  const { next, leave } = await listen(other);
  expect((await next()).event).toBe('snapshot');
  await eventually('the line', async () => unforeseen.join('').includes('a check that nobody foresaw'));
  expect((await well(next)).event).toBe('delta');
  await leave();
  await other.close();
  doctor.mockRestore();
});

test('who is alone with it and leaves can come back', async () => {
  for (let time = 0; time < 3; time++) {
    const { next, leave } = await listen(dashboard);
    expect((await next()).event).toBe('snapshot');
    await leave();
  }
});

test('while the database is away a reader hears of it, and what is new when it is back', async () => {
  const { databaseUrl, temporalAddress: address, namespace } = desk.stack.servers;
  const proxy = await Proxy.start(databaseUrl);
  const away = Desk.dashboard(desk.stack, {
    environment: { temporal: { address, namespace }, databaseUrl: proxy.url },
    open: true,
  });
  const { next, leave } = await listen(away);
  expect((await next()).event).toBe('snapshot');
  proxy.refuse();
  await eventually('the problem', async () => {
    const { event, data } = await next();
    if (event === 'delta') return false;
    expect({ event, data }).toMatchObject({ event: 'problem', data: { error: { code: 'DatabaseUnavailable' } } });
    return true;
  });
  proxy.pass();
  await eventually('a delta', async () => (await next()).event === 'delta');
  await leave();
  await away.close();
  proxy.close();
});
