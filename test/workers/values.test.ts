/** The connection on which a node writes values is its own, of nobody else's limits. */
import { Database } from '../../activities/lib/database';
import type * as NodeModule from '../../activities/tracker/shift/node';
import type { NodeOptions } from '../../activities/tracker/shift/node-options';
import { defineTracker, resolveConfig } from '../../exports';
import { partsOf } from '../../workers/parts';
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

test('TR-H8: a worker gives its node a database of its own for values, which nothing else may use up', () => {
  partsOf({
    config: resolveConfig({
      trackers: [defineTracker({ name: 't', operations: { look: { every: '1m', run: () => ({ value: 1 }) } } })],
    }),
    temporal: { address: '127.0.0.1:1', namespace: 'default' },
    databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing',
    log: pino({ level: 'silent' }),
    watchdogMs: null,
  });
  expect(mockGiven).toHaveLength(1);
  const [{ database, values }] = mockGiven as [NodeOptions];
  expect(values).toBeInstanceOf(Database);
  expect(values).not.toBe(database);
});
