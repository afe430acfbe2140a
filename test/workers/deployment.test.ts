/**
 * The Temporal that a database belongs to, when its namespace fails over from one cluster to another; and a key that
 * may not look at all of it.
 */
import { Connection } from '@temporalio/client';
import type { QueryResultRow } from 'pg';
import { pino } from 'pino';
import { Database, type Statement } from '../../activities/lib/database';
import { claimDeployment, ensureSearchAttributes } from '../../activities/lib/deployment';
import { Stack } from '../support/stack';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';

let stack: Stack;
let database: Database;
let connection: Connection;
beforeAll(async () => {
  stack = await Stack.start({ own: true });
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  connection = await Connection.connect({ address: stack.servers.temporalAddress });
});
afterAll(async () => {
  await connection.close();
  await database.close();
  await stack.close();
});

/** The server, as if it were a cluster of this name: one machine runs no two that replicate a namespace. */
function clusterNamed(clusterId: string, isGlobalNamespace: boolean, namespaceId?: string): Connection {
  const { workflowService } = connection;
  const service = new Proxy(workflowService, {
    get: (target, name, receiver) => {
      if (name === 'getClusterInfo') return () => Promise.resolve({ clusterId });
      if (name !== 'describeNamespace') return Reflect.get(target, name, receiver) as unknown;
      return async (...args: Parameters<typeof workflowService.describeNamespace>) => {
        const found = await workflowService.describeNamespace(...args);
        const id = namespaceId ?? found.namespaceInfo?.id;
        return { ...found, isGlobalNamespace, namespaceInfo: { ...found.namespaceInfo, id } };
      };
    },
  });
  return new Proxy(connection, {
    get: (target, name, receiver) =>
      name === 'workflowService' ? service : (Reflect.get(target, name, receiver) as unknown),
  });
}
const claim = (cluster: Connection) => claimDeployment(database, cluster, 'default', false, false);
const claimFirst = (cluster: Connection) => claimDeployment(database, cluster, 'default', true, false);

test('a replicated namespace is the same one in the cluster that it fails over to, and back', async () => {
  await claimFirst(clusterNamed('west', true));
  await claim(clusterNamed('east', true));
  await claim(clusterNamed('west', true));
});

test('one that was noted with its cluster, before it was replicated, is too', async () => {
  await claimFirst(clusterNamed('west', false));
  await claim(clusterNamed('west', true));
  await claim(clusterNamed('east', true));
});

test.each([
  ['another cluster’s namespace that is not replicated', false, undefined],
  ['another replicated namespace', true, '11111111-2222-3333-4444-555555555555'],
])('%s is refused', async (_what, isGlobal, id) => {
  await claimFirst(clusterNamed('west', true));
  await expect(claim(clusterNamed('east', isGlobal, id))).rejects.toMatchObject({ type: 'ForeignDeployment' });
});

test('a copy with the ids of the first, in another cluster of PostgreSQL, is refused', async () => {
  await claimFirst(clusterNamed('west', true));
  class Copy extends Database {
    override rows<R extends QueryResultRow>(statement: Statement, values?: unknown[]): Promise<R[]> {
      if (statement.name === 'deployment-system') return Promise.resolve([{ system: '1' }] as unknown as R[]);
      return super.rows<R>(statement, values);
    }
  }
  const copy = new Copy({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
  const claiming = claimDeployment(copy, clusterNamed('west', true), 'default', false, false);
  await expect(claiming).rejects.toMatchObject({ type: 'ForeignDeployment' });
  await copy.close();
});

test('what is refused is left as it was', async () => {
  await claimFirst(clusterNamed('west', false));
  await expect(claim(clusterNamed('east', false))).rejects.toMatchObject({ type: 'ForeignDeployment' });
  await claim(clusterNamed('west', false));
});

/** The server as it answers to a key without a right: with this code of gRPC. */
function refusing(code: number): Connection {
  const operatorService = { listSearchAttributes: () => Promise.reject(Object.assign(new Error('no'), { code })) };
  return new Proxy(connection, {
    get: (target, name, receiver) =>
      name === 'operatorService' ? operatorService : (Reflect.get(target, name, receiver) as unknown),
  });
}

test.each([7, 12, 16])(
  'a key that may not look at search attributes (%i) is told what must be there, and goes on',
  async (code) => {
    const lines: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    await ensureSearchAttributes(refusing(code), 'default', log);
    expect(lines).toHaveLength(1);
    for (const [name, type] of Object.entries(SEARCH_ATTRIBUTES))
      expect(lines[0]).toContain(`${name} (${type.toLowerCase()})`);
  },
);

test('a server that is away is not taken for one that refuses', async () => {
  await expect(ensureSearchAttributes(refusing(14), 'default', pino({ level: 'silent' }))).rejects.toThrow('no');
});
