/**
 * Reads the flags of `temporal server start-dev` and writes what the server alone wants to have: a configuration file. A process that it
 * leaves behind registers the namespace and the search attributes once the server answers. Called by the script that
 * `newest-server.ts` writes: `start-dev.ts FOLDER server start-dev --port …`.
 */
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { msToTs } from '@temporalio/common/lib/time';
import { stringify } from 'yaml';

/** As the command has them: no rate limits, and a namespace's search attributes are known at once. */
const OWN_SETTINGS = {
  'frontend.namespaceRPS': [{ value: 100_000 }],
  'system.namespaceCacheRefreshInterval': [{ value: '100ms' }],
};

const RETENTION_MS = 3 * 24 * 3_600_000;

interface Flags {
  port: string;
  namespace: string;
  file: string;
  pragmas: Record<string, string>;
  dynamic: string[];
  attributes: string[];
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((listening) => server.once('listening', listening))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  servers.forEach((server) => server.close());
  return ports;
}

function flagsOf(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    strict: false,
    options: {
      port: { type: 'string' },
      namespace: { type: 'string' },
      'db-filename': { type: 'string' },
      'sqlite-pragma': { type: 'string', multiple: true },
      'dynamic-config-value': { type: 'string', multiple: true },
      'search-attribute': { type: 'string', multiple: true },
      headless: { type: 'boolean' },
    },
  });
  const list = (name: string): string[] => (values[name] as string[] | undefined) ?? [];
  return {
    port: String(values['port']),
    namespace: String(values['namespace'] ?? 'default'),
    file: String(values['db-filename']),
    pragmas: Object.fromEntries(list('sqlite-pragma').map((pragma) => pragma.split('=') as [string, string])),
    dynamic: list('dynamic-config-value'),
    attributes: list('search-attribute'),
  };
}

async function write(folder: string, flags: Flags): Promise<void> {
  const [matching, history, worker, http, ...members] = await freePorts(8);
  const store = {
    sql: {
      ...{ pluginName: 'sqlite', databaseName: flags.file, connectAddr: 'localhost', connectProtocol: 'tcp' },
      connectAttributes: { cache: 'private', setup: 'true', mode: 'rwc', ...flags.pragmas },
      ...{ maxConns: 1, maxIdleConns: 1 },
    },
  };
  const service = (grpcPort: number, membershipPort: number, more: object = {}) => ({
    rpc: { grpcPort, membershipPort, bindOnLocalHost: true, ...more },
  });
  const dynamic = Object.fromEntries(
    flags.dynamic.map((setting) => {
      const at = setting.indexOf('=');
      return [setting.slice(0, at), [{ value: JSON.parse(setting.slice(at + 1)) as unknown }]];
    }),
  );
  writeFileSync(path.join(folder, 'dynamic.yaml'), stringify({ ...OWN_SETTINGS, ...dynamic }));
  writeFileSync(
    path.join(folder, 'server.yaml'),
    stringify({
      log: { stdout: true, level: 'warn' },
      persistence: {
        ...{ defaultStore: 'store', visibilityStore: 'visibility', numHistoryShards: 1 },
        datastores: { store, visibility: store },
      },
      global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
      services: {
        frontend: service(Number(flags.port), members[0]!, { httpPort: http }),
        matching: service(matching!, members[1]!),
        history: service(history!, members[2]!),
        worker: service(worker!, members[3]!),
      },
      clusterMetadata: {
        ...{ enableGlobalNamespace: false, failoverVersionIncrement: 10 },
        ...{ masterClusterName: 'active', currentClusterName: 'active' },
        clusterInformation: {
          active: {
            enabled: true,
            initialFailoverVersion: 1,
            rpcName: 'frontend',
            rpcAddress: `127.0.0.1:${flags.port}`,
          },
        },
      },
      dcRedirectionPolicy: { policy: 'noop' },
      dynamicConfigClient: { filepath: path.join(folder, 'dynamic.yaml'), pollInterval: '1m' },
    }),
  );
  chmodSync(folder, 0o755);
}

/** What the command does for its server: the namespace, and search attributes by their names. */
async function register({ port, namespace, attributes }: Flags): Promise<void> {
  const { Connection } = await import('@temporalio/client');
  const types: Record<string, number> = { Keyword: 2, Int: 3 };
  const until = Date.now() + 60_000;
  while (Date.now() < until) {
    try {
      const connection = await Connection.connect({ address: `127.0.0.1:${port}`, connectTimeout: '2s' });
      try {
        await connection.workflowService
          .registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs(RETENTION_MS) })
          .catch(alreadyThere);
        const searchAttributes: Record<string, number> = {};
        for (const [name, type] of attributes.map((each) => each.split('='))) searchAttributes[name!] = types[type!]!;
        await connection.operatorService.addSearchAttributes({ namespace, searchAttributes }).catch(alreadyThere);
        return;
      } finally {
        await connection.close();
      }
    } catch {
      await delay(100);
    }
  }
}

function alreadyThere(error: unknown): void {
  if (!/already/i.test(String(error))) throw error;
}

async function main(): Promise<void> {
  const [folder, ...args] = process.argv.slice(2) as [string, ...string[]];
  const flags = flagsOf(args.filter((word) => word !== 'server' && word !== 'start-dev'));
  if (folder === '--register') return register(JSON.parse(args[0]!) as Flags);
  await write(folder, flags);
  spawn(process.execPath, ['--require', require.resolve('tsx/cjs'), __filename, '--register', JSON.stringify(flags)], {
    ...{ detached: true, stdio: 'ignore' },
  }).unref();
}

void main();
