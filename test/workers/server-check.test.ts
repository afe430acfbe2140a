/**
 * The words of a worker about a server that lacks something: from the server's answers, in one line, and nothing of one
 * that lacks nothing.
 */
import { Writable } from 'node:stream';
import { Connection } from '@temporalio/client';
import { pino } from 'pino';
import { lackOf, OLDEST_SERVER, tellServer } from '../../workers/server-check';
import { Stack } from '../support/stack';

const MB = 1024 * 1024;
const whole = { version: OLDEST_SERVER, updates: true };

test.each(['1.29.1', '1.29.2', '1.32.0', '2.0.0', 'v1.30.0', '1.100.0', '1.32.0-155.2', '', 'of our own', '1.29'])(
  'nothing is said of server %j',
  (version) => {
    expect(lackOf({ ...whole, version })).toBeUndefined();
    expect(lackOf({ ...whole, version, payloadBytes: 2 * MB })).toBeUndefined();
  },
);

test.each(['1.29.0', '1.28.9', '0.99.99', '1.9.30', '1.29.0-rc.1'])('server %s is said to be too old', (version) => {
  expect(lackOf({ ...whole, version })).toBe(
    `Temporal's server ${version}: it is older than 1.29.1, the oldest that Longwatch is tested on: upgrade it`,
  );
});

test('everything that is lacking stands in one line, with what to do', () => {
  const line = lackOf({ version: '1.20.0\n\u001b[2J', updates: false, payloadBytes: MB })!;
  expect(line).toMatch(/^Temporal's server \(of an unknown version\): /);
  expect(line).toContain('older than 1.29.1');
  expect(line).toContain('set frontend.enableUpdateWorkflowExecution to true');
  expect(line).toContain('payloads of 1048576 bytes at most');
  expect(line).not.toMatch(/\p{Cc}/u);
});

describe('on a real server', () => {
  let stack: Stack;
  let connection: Connection;
  beforeAll(async () => {
    stack = await Stack.start({ own: true });
    connection = await Connection.connect({ address: stack.servers.temporalAddress });
  });
  afterAll(async () => {
    await connection.close();
    await stack.close();
  });

  function logged(): { log: pino.Logger; lines: { level: number; msg: string }[] } {
    const lines: { level: number; msg: string }[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(JSON.parse(chunk.toString()) as (typeof lines)[number]);
        done();
      },
    });
    return { log: pino({ level: 'debug' }, stream), lines };
  }

  test('a worker asks it at the start, and has nothing to complain of', async () => {
    const { log, lines } = logged();
    const look = { every: '1s', run: () => ({ value: 1 }) };
    const worker = await stack.worker({ trackers: [{ name: 'mine', operations: { look } }] }, { log });
    await worker.shutdown();
    const { serverVersion } = await connection.workflowService.getSystemInfo({});
    expect(lines.filter(({ msg }) => msg.startsWith("Temporal's server"))).toMatchObject([
      { level: 20, msg: `Temporal's server is ${serverVersion}, and lacks nothing` },
    ]);
  });

  test('what it does not answer is lacking: one warning', async () => {
    const { log, lines } = logged();
    await tellServer(answering(connection, { namespaceInfo: { capabilities: {} } }), 'default', log);
    await tellServer(answering(connection, {}), 'default', log);
    expect(lines).toHaveLength(2);
    for (const { level, msg } of lines) {
      expect(level).toBe(40);
      expect(msg).toMatch(
        /^Temporal's server \d[\d.]*: it lacks workflow updates, .*enableUpdateWorkflowExecution to true$/,
      );
    }
  });
});

/** The server, as if it described its namespaces so. */
function answering(connection: Connection, description: object): Connection {
  const { workflowService } = connection;
  const service = new Proxy(workflowService, {
    get: (target, name, receiver) =>
      name === 'describeNamespace'
        ? () => Promise.resolve(description)
        : (Reflect.get(target, name, receiver) as unknown),
  });
  return new Proxy(connection, {
    get: (target, name, receiver) =>
      name === 'workflowService' ? service : (Reflect.get(target, name, receiver) as unknown),
  });
}
