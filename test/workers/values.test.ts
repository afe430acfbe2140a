/**
 * The node of a worker has what its setup says, and connections that nothing else may use up: for values, for its row,
 * and for handlers with transactions of their own. Nothing is opened here.
 */
import { hostname } from 'node:os';
import { BufferFeed } from '../../activities/buffer';
import { Database } from '../../activities/lib/database';
import type { Service } from '../../activities/lib/service';
import type * as NodeModule from '../../activities/tracker/shift/node';
import type { NodeOptions } from '../../activities/tracker/shift/node-options';
import { Watchdog } from '../../activities/tracker/shift/watchdog';
import { defineTracker, resolveConfig, type TrackerDefinition } from '../../exports';
import { partsOf } from '../../workers/parts';
import type { WorkerSetup } from '../../workers/setup';
import { pino } from 'pino';

const mockGiven: NodeOptions[] = [];
jest.mock('../../activities/tracker/shift/node', () => {
  const actual = jest.requireActual<typeof NodeModule>('../../activities/tracker/shift/node');
  class Node extends actual.Node {
    constructor(options: NodeOptions) {
      super(options);
      mockGiven.push(options);
    }
  }
  return { ...actual, Node };
});

const look = (receive?: unknown): TrackerDefinition => ({
  ...defineTracker({ name: 't', operations: { look: { every: '1m', run: () => ({ value: 1 }) } } }),
  ...(receive === undefined ? {} : { receive: receive as TrackerDefinition['receive'] }),
});

function worker(over: Partial<WorkerSetup> = {}, tracker = look()) {
  mockGiven.length = 0;
  const parts = partsOf({
    config: resolveConfig({ trackers: [tracker] }),
    temporal: { address: '127.0.0.1:1', namespace: 'default' },
    databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing',
    log: pino({ level: 'silent' }),
    watchdogMs: null,
    ...over,
  });
  expect(mockGiven).toHaveLength(1);
  return { parts, given: mockGiven[0]! };
}

test('TR-H8: a worker gives its node a database of its own for values, which nothing else may use up', () => {
  const { database, values, presence } = worker().given;
  expect(values).toBeInstanceOf(Database);
  expect(values).not.toBe(database);
  // The same for its row: a node whose row waits behind its work looks gone.
  expect(presence!.rows).toBeInstanceOf(Database);
  expect(new Set([database, values, presence!.rows]).size).toBe(3);
});

test('its connections are there before it, and go after it', async () => {
  const { parts, given } = worker();
  const closed: unknown[] = [];
  const close = jest.spyOn(Database.prototype, 'close').mockImplementation(function (this: Database) {
    closed.push(this);
    return Promise.resolve();
  });
  const at = (one: Service): number => parts.services.indexOf(one);
  expect(at(parts.node)).toBeGreaterThan(at(parts.jobs));
  const before = parts.services.slice(at(parts.page) + 1, at(parts.jobs));
  for (const each of before) await each.start();
  for (const each of before.reverse()) await each.stop();
  close.mockRestore();
  // The shared one goes last, for the others' ends are written by it.
  const named = { values: given.values, rows: given.presence!.rows };
  const names = closed.map((one) => Object.entries(named).find(([, each]) => each === one)?.[0] ?? 'another');
  expect(names).toEqual(['rows', 'values']);
});

test('handlers with transactions of their own have connections of their own; without such handlers there are none', () => {
  expect(worker().given.handlers).toBeUndefined();
  const receive = { handle: () => undefined };
  expect(worker({}, look(receive)).given.handlers).toBeUndefined();
  const { handlers, database, values } = worker({}, look({ ...receive, transaction: true })).given;
  expect(handlers).toBeInstanceOf(Database);
  expect([database, values]).not.toContain(handlers);
});

test('each kind of transaction pushes by a feed of its own', () => {
  const { buffers, newFeed } = worker().given;
  const [one, other] = [newFeed!(), newFeed!()];
  for (const feed of [buffers, one, other]) expect(feed).toBeInstanceOf(BufferFeed);
  expect(new Set([buffers, one, other]).size).toBe(3);
});

test('name, labels, address, places and watchdog are those of the setup, or the defaults', () => {
  const { given } = worker();
  expect(given.row).toMatchObject({ host: hostname(), address: hostname(), pid: process.pid, labels: undefined });
  expect(given).toMatchObject({ nodeConcurrency: 2_000, watchdog: undefined });
  expect(given.trackers.map(({ name }) => name)).toEqual(['t']);
  const setup = { nodeName: 'n', labels: ['gpu'], egress: 'nat-1', nodeConcurrency: 7, watchdogMs: 500 };
  const other = worker(setup).given;
  expect(other.row).toMatchObject({ name: 'n', labels: ['gpu'], address: 'nat-1' });
  expect(other.nodeConcurrency).toBe(7);
  expect(other.watchdog).toBeInstanceOf(Watchdog);
});

test('its row says where its metrics are, and it hears of its claim and of Temporal as they are by then', () => {
  const { parts, given } = worker();
  const page = jest.spyOn(parts.page, 'url', 'get').mockReturnValue('http://127.0.0.1:9464/metrics');
  expect(given.row.metricsUrl).toBe('http://127.0.0.1:9464/metrics');
  page.mockRestore();
  expect(given.presence!.incarnation!()).toBeUndefined();
  expect(given.presence!.temporalRefusedMs!()).toBeUndefined();
});
